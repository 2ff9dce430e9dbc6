"""Faults of data that other tools ignore or crash on: the test that shows our message for each, or why there is none.

A fault that nothing stops in the usual libraries is marked "silent"; those are the ones that make wrong numbers.
"""

from __future__ import annotations

import ast
import gzip
import logging
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from carry import carry

from benchbench import CaseRef, DataError, Dataset
from benchbench.data import digests as digests_module
from benchbench.data.case_names import name_problems
from benchbench.data.phantom import phantom_root
from benchbench.data.retry import STORAGE_WAITS
from benchbench.data.verify import Verification, verify
from benchbench.images.nifti import read_image
from benchbench.registry.registry import discover
from benchbench.spec.benchmark_file import PhantomSize

pytestmark = pytest.mark.usefixtures("without_report")

TESTS = Path(__file__).parent

COVERED: Mapping[int, tuple[str, ...]] = {
    # files: silent are 1, 2, 5, 6, 11, 14, 17, 18 and 22
    1: (
        "test_nifti::test_a_truncated_gzip_is_named",
        "test_lgg_faults::test_a_tiff_that_was_cut_short_is_named",
        "test_brats::test_a_real_file_that_was_cut_short_is_named",
    ),
    2: (
        "test_nifti::test_one_flipped_bit_in_a_gzip_stream_is_detected",
        "test_nifti::test_a_wrong_gzip_checksum_is_detected",
        "test_faults::test_a_flipped_bit_where_no_checksum_is_stored_changes_the_fingerprint",
    ),
    3: (
        "test_nifti::test_the_actual_content_of_a_wrong_file_is_named",
        "test_lgg_faults::test_a_web_page_saved_as_tiff_is_named",
    ),
    4: (
        "test_nifti::test_gzip_is_recognised_by_content_not_by_name",
        "test_faults::test_a_suffix_in_capitals_is_named_and_never_passed_over",
    ),
    5: ("test_nifti::test_a_file_with_too_few_voxels_is_refused_with_both_sizes",),
    6: ("test_nifti::test_a_file_with_too_many_voxels_is_refused_with_both_sizes",),
    7: (
        "test_nifti::test_an_oversized_header_is_refused_before_memory_is_allocated",
        "test_nifti::test_a_header_larger_than_its_file_is_refused_before_memory_is_allocated",
    ),
    8: (
        "test_nifti::test_a_gzip_bomb_is_not_unpacked_beyond_its_header",
        "test_unpack::test_an_archive_bomb_is_refused_by_its_ratio",
    ),
    9: ("test_nifti::test_another_number_of_axes_than_three_is_refused",),
    10: ("test_nifti::test_an_impossible_voxel_size_is_refused",),
    11: ("test_nifti::test_voxel_sizes_of_affine_and_header_must_agree",),
    12: (
        "test_nifti::test_the_sform_has_priority_over_the_qform",
        "test_faults::test_an_ambiguous_affine_is_logged_with_the_one_that_is_used",
    ),
    13: (
        "test_nifti::test_a_transposed_file_is_recognised",
        "test_nifti::test_the_file_whose_shape_differs_from_most_is_named",
        "test_cardiac::test_a_label_of_another_shape_is_refused_with_both_shapes_and_its_values",
        "test_lgg_faults::test_the_error_of_a_mask_of_another_size_names_both_sizes",
    ),
    14: (
        "test_nifti::test_a_different_orientation_spacing_or_origin_is_named",
        "test_cardiac::test_a_label_in_another_place_is_refused",
    ),
    15: (
        "test_brats::test_labels_mirrored_from_left_to_right_are_refused_because_of_their_affine",
        "test_mirror::test_a_mirrored_label_is_found_with_its_axis",
        "test_mirror::test_verifying_remarks_on_a_mirrored_label",
    ),
    16: (
        "test_brats::test_unexpected_labels_are_counted",
        "test_cardiac::test_the_error_of_unexpected_great_vessels_names_the_parameter_to_set",
        "test_prepare::test_a_case_that_contradicts_its_task_is_refused",
    ),
    17: (
        "test_brats::test_label_3_in_data_of_2021_names_the_edition_to_set",
        "test_brats::test_label_4_in_data_of_2023_names_the_edition_to_set",
        "test_brats20::test_label_3_in_data_of_2020_is_refused",
    ),
    18: (
        "test_nifti::test_labels_that_are_nearly_whole_are_rounded",
        "test_nifti::test_fractional_labels_are_counted",
        "test_nifti::test_labels_halved_by_a_slope_are_refused",
        "test_nifti::test_a_mask_stored_with_slope_and_intercept_is_read_as_0_and_1",
    ),
    19: (
        "test_nifti::test_negative_labels_are_counted",
        "test_lgg_faults::test_a_mask_of_0_and_1_is_refused",
        "test_faults::test_a_label_of_255_is_refused_whether_it_means_foreground_or_minus_1",
    ),
    20: (
        "test_nifti::test_nan_and_infinite_voxels_are_counted",
        "test_nifti::test_a_label_that_is_nan_is_refused",
        "test_prepare::test_a_case_that_contradicts_its_task_is_refused",
    ),
    21: (
        "test_faults::test_a_constant_channel_and_an_empty_label_are_remarked_on",
        "test_faults::test_a_region_that_nobody_has_is_remarked_on",
        "test_prepare::test_zscore_has_mean_0_and_sd_1_and_a_constant_channel_is_0",
    ),
    22: (
        "test_lgg_faults::test_other_mask_values_are_counted",
        "test_lgg_faults::test_only_the_commonest_of_many_other_mask_values_are_counted",
        "test_nifti::test_fractional_labels_are_counted",
    ),
    24: (
        "test_nifti::test_a_fourth_axis_of_one_is_dropped",
        "test_nifti::test_another_number_of_axes_than_three_is_refused",
        "test_nifti::test_voxels_of_a_type_that_is_no_single_number_are_refused",
        "test_prepare::test_an_image_of_two_dimensions_is_one_slice",
    ),
    25: (
        "test_brats::test_a_missing_file_is_named",
        "test_brats20::test_chosen_modalities_are_the_channels_in_the_same_order",
        "test_lgg_faults::test_an_image_of_another_kind_is_named",
        "test_prepare::test_a_case_that_contradicts_its_task_is_refused",
    ),
    26: (
        "test_predict::test_the_identity_model_returns_the_label_on_the_own_grid_of_the_case",
        "test_prepare::test_a_larger_slice_is_scaled_by_one_factor_and_centred",
    ),
    27: (
        "test_nifti::test_every_type_and_byte_order_is_read_in_native_order",
        "test_nifti::test_large_unsigned_values_stay_positive",
    ),
    28: ("test_faults::test_dicom_in_place_of_nifti_is_refused",),
    29: (
        "test_nifti::test_a_file_without_permission_is_named",
        "test_nifti::test_a_broken_link_to_an_image_is_named",
        "test_nifti::test_a_pipe_is_refused_without_waiting",
        "test_nifti::test_a_folder_with_the_name_of_a_file_is_named",
        "test_lgg_faults::test_a_broken_link_is_named",
        "test_faults::test_a_loop_of_links_is_named",
    ),
    30: (
        "test_faults::test_a_file_changed_after_its_digest_stops_the_benchmark_and_is_not_kept",
        "test_pinned::test_a_file_changed_while_it_is_read_is_refused",
        "test_fingerprint::test_only_a_changed_file_is_read_again",
        "test_orchestrate::test_only_runs_with_a_changed_setting_or_file_are_repeated",
    ),
    32: (
        "test_faults::test_a_name_that_would_not_survive_is_refused",
        "test_faults::test_a_benchmark_refuses_such_a_name_before_anything_is_read",
        "test_report::test_text_from_outside_is_escaped_in_every_file",
        "test_unpack::test_no_member_is_written_outside_the_folder_or_over_another",
    ),
    # datasets and parts: silent are 35, 36 and 38
    33: (
        "test_lgg_faults::test_an_image_without_mask_is_named",
        "test_lgg_faults::test_a_mask_without_image_is_named",
        "test_lgg_faults::test_all_faults_of_the_names_are_reported_at_once",
        "test_brats::test_a_file_in_both_suffixes_is_named",
        "test_brats::test_all_missing_and_unexplained_files_are_reported_at_once",
        "test_cardiac::test_missing_images_missing_labels_and_files_in_both_suffixes_are_all_reported",
        "test_folds::test_a_case_listed_twice_is_named",
    ),
    34: (
        "test_folds::test_too_few_patients_are_refused_with_what_is_enough",
        "test_folds::test_one_patient_per_part_is_enough",
        "test_lgg_faults::test_a_folder_without_patients_is_named_in_one_line",
        "test_brats::test_the_error_of_a_folder_without_patients_names_it",
        "test_cardiac::test_the_error_of_an_empty_folder_names_it_and_what_was_expected",
        "test_orchestrate::test_more_folds_than_patients_is_a_data_error",
    ),
    35: (
        "test_orchestrate::test_an_image_under_two_patients_is_refused",
        "test_data::test_verifying_lists_all_problems_and_remarks",
        "test_duplicates::test_a_near_duplicate_under_another_patient_is_found",
    ),
    36: (
        "test_folds::test_no_patient_is_in_two_parts_and_no_part_is_empty",
        "test_brats::test_later_editions_have_other_names_and_several_visits_of_a_patient",
        "test_cardiac::test_both_frames_of_acdc_belong_to_their_patient_and_4d_files_to_no_case",
        "test_lgg::test_one_case_is_one_patient",
    ),
    37: (
        "test_folds::test_every_case_is_in_exactly_one_part_of_every_fold",
        "test_folds::test_folds_do_not_change_between_releases",
        "test_folds::test_a_case_listed_twice_is_named",
    ),
    38: (
        "test_folds::test_the_digest_depends_on_the_part_of_every_case",
        "test_report::test_the_leaderboard_says_when_runs_used_different_files",
        "test_orchestrate::test_only_runs_with_a_changed_setting_or_file_are_repeated",
    ),
    39: (
        "test_faults::test_a_region_that_a_part_of_a_fold_lacks_is_remarked_on_with_the_part",
        "test_faults::test_a_region_that_nobody_has_is_remarked_on",
    ),
    40: (
        "test_lgg::test_a_row_of_another_length_than_the_header_is_named",
        "test_brats20::test_a_table_that_cannot_be_joined_is_named",
        "test_cardiac::test_info_of_acdc_is_metadata_and_a_malformed_line_is_reported",
    ),
    41: (
        "test_faults::test_a_mount_that_comes_back_is_waited_for",
        "test_faults::test_the_file_of_a_mount_that_stays_away_is_named",
        "test_faults::test_looking_at_data_changes_nothing_there",
        "test_retry::test_a_read_is_repeated_until_the_storage_is_back",
    ),
}
CANNOT_OCCUR: Mapping[int, str] = {
    23: "no dataset is read from PNG: masks are TIFF, whose palette is not applied, or NIfTI, which has none",
    28: "no dataset is read from a DICOM series, so none can lack a slice; DICOM in place of NIfTI is covered",
    31: "no dataset is read from .npy or .npz; the cache is read by numpy's default, which runs no pickle",
    37: "there is no split file to edit: parts follow from the patients' names alone, and their digest is recorded",
    40: "there is no dataset.json: regions are the plugin's code; the tables that datasets bring are covered",
}


def test_every_fault_has_a_test_or_a_reason() -> None:
    assert sorted({*COVERED, *CANNOT_OCCUR}) == list(range(1, 42))


@pytest.mark.parametrize("fault", sorted(COVERED))
def test_the_tests_that_are_named_exist(fault: int) -> None:
    for named in COVERED[fault]:
        module, _, name = named.partition("::")
        assert name in _functions(module), named


@cache
def _functions(module: str) -> frozenset[str]:
    tree = ast.parse((TESTS / f"{module}.py").read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


# what the modules' own tests leave ---------------------------------------------------------------------------------


@pytest.fixture
def phantom(tmp_path: Path) -> Callable[[str], tuple[Dataset, Path]]:
    def make(name: str) -> tuple[Dataset, Path]:
        plugin = discover([name]).dataset(name)
        root = phantom_root(plugin, PhantomSize(patients=2, size=32), cache=tmp_path) / name
        return plugin.open(root), root

    return make


def looked_at(dataset: Dataset, **options: int) -> Verification:
    return verify(dataset, threads=1, progress=lambda: None, **options)


def edit(path: Path, change: Callable[[np.ndarray], Any]) -> None:
    """Changes the voxels of a NIfTI file and nothing else."""
    image: Any = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(change(np.asarray(image.dataobj)), image.affine, image.header), path)


def rewrite(path: Path, **arrays: np.ndarray) -> None:
    """Changes arrays of a case of squares."""
    with np.load(path) as stored:
        np.savez(path, **{**stored, **arrays})


@pytest.fixture
def opened(squares: Path) -> Dataset:
    from toy_plugin import Squares

    dataset: Dataset = Squares(squares / "squares")
    return dataset


def test_a_flipped_bit_where_no_checksum_is_stored_changes_the_fingerprint(
    phantom: Callable[[str], tuple[Dataset, Path]],
) -> None:
    dataset, root = phantom("lgg")
    before = looked_at(dataset).digest
    path = min(root.rglob("*_5.tif"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    after = looked_at(dataset)
    assert after.problems == ()
    assert after.digest != before


@pytest.mark.parametrize("name", ["lgg", "brats20", "brats21", "cardiac", "hvsmr2", "acdc"])
def test_a_suffix_in_capitals_is_named_and_never_passed_over(
    phantom: Callable[[str], tuple[Dataset, Path]], name: str
) -> None:
    dataset, _ = phantom(name)
    count = len(dataset.cases())
    last = dataset.cases()[-1].id
    for path in dataset.files(last)[-2:]:  # of LGG the last slice and its mask: no gap would tell
        stem, dot, suffix = path.name.partition(".")
        path.rename(path.with_name(f"{stem}{dot}{suffix.upper()}"))
    verified = looked_at(dataset)
    assert len(verified.cases) == count
    assert verified.problems
    assert all(name in problem and last.partition("_")[0] in problem for problem in verified.problems)


def test_an_ambiguous_affine_is_logged_with_the_one_that_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    path = tmp_path / "a.nii"
    remarks = {}
    shifted = np.eye(4)
    shifted[0, 3] = 3
    for name, codes in {"same": (1, 1), "apart": (1, 1), "qform": (0, 1), "sform": (1, 0), "none": (0, 0)}.items():
        image.set_sform(shifted if name == "apart" else np.eye(4), code=codes[0])
        image.set_qform(np.eye(4), code=codes[1])
        nibabel.save(image, path)
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            read_image(path)
        remarks[name] = caplog.messages
    assert remarks.pop("apart") == [f"{path}: found sform and qform up to 3 mm apart; the sform is used"]
    (none,) = remarks.pop("none")
    assert "neither sform nor qform" in none
    assert list(remarks.values()) == [[], [], []]


@pytest.mark.parametrize(
    "change", [lambda label: np.where(label > 0, 255, 0), lambda label: np.where(label > 0, label, 255)]
)
def test_a_label_of_255_is_refused_whether_it_means_foreground_or_minus_1(
    phantom: Callable[[str], tuple[Dataset, Path]], change: Callable[[np.ndarray], np.ndarray]
) -> None:
    for name in ("acdc", "brats21"):
        dataset, _ = phantom(name)
        label = dataset.files(dataset.cases()[0].id)[-1]
        edit(label, lambda voxels: change(voxels).astype(np.uint8))
        (problem,) = looked_at(dataset).problems
        assert "255 (" in problem
        assert "expected only 0, 1, 2" in problem
        assert label.name in problem


def test_a_constant_channel_and_an_empty_label_are_remarked_on(opened: Dataset, squares: Path) -> None:
    rewrite(squares / "squares" / "patient00-a.npz", image=np.full((1, 3, 32, 32), 7, np.uint8))
    rewrite(squares / "squares" / "patient01-a.npz", label=np.zeros((3, 32, 32), np.uint8))
    verified = looked_at(opened)
    assert verified.problems == ()
    assert "patient00-a: channel grey has one value only, 7" in verified.remarks
    assert "patient01-a: nothing is labelled" in verified.remarks


def test_a_region_that_nobody_has_is_remarked_on(opened: Dataset, squares: Path) -> None:
    for path in (squares / "squares").iterdir():
        rewrite(path, label=np.zeros((3, 32, 32), np.uint8))
    assert any("in no case, so that nothing can be learnt" in remark for remark in looked_at(opened).remarks)


def test_a_region_that_a_part_of_a_fold_lacks_is_remarked_on_with_the_part(opened: Dataset, squares: Path) -> None:
    for number in (1, 2, 3):
        rewrite(squares / "squares" / f"patient0{number}-a.npz", label=np.zeros((3, 32, 32), np.uint8))
    (remark,) = (remark for remark in looked_at(opened, folds=2).remarks if remark.startswith("region"))
    assert "in 1 of 4 cases, in none of " in remark
    assert remark.count("test of fold") == 1  # the one patient is tested in the other
    assert not any(
        remark.startswith("region") for remark in looked_at(opened, folds=5).remarks
    )  # too few patients


@pytest.mark.parametrize("start", [b"\0" * 128 + b"DICM", b"\x08\0\5\0\x0a\0\0\0ISO_IR 100"])
def test_dicom_in_place_of_nifti_is_refused(tmp_path: Path, start: bytes) -> None:
    plain, packed = tmp_path / "a.nii", tmp_path / "b.nii.gz"
    plain.write_bytes(start + bytes(500))
    packed.write_bytes(gzip.compress(start + bytes(500)))
    for path in (plain, packed):
        with pytest.raises(
            DataError, match=r"found (another format|a gzip of something else).*expected a NIfTI file"
        ):
            read_image(path)


def test_a_loop_of_links_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.nii").symlink_to(tmp_path / "b.nii")
    (tmp_path / "b.nii").symlink_to(tmp_path / "a.nii")
    with pytest.raises(DataError, match=r"a\.nii: found a broken link"):
        read_image(tmp_path / "a.nii")


def run(file: Path, data_root: Path) -> None:
    carry(file, data_root, file.parent, "protocol.epochs=1", only=["fold=0"])


def test_a_file_changed_after_its_digest_stops_the_benchmark_and_is_not_kept(
    benchmark_file: Path, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (squares / "squares" / f"patient0{number}-a.npz" for number in (0, 1))
    real = digests_module.case_digests

    def digest_then_change(*given: Any, **named: Any) -> dict[str, str]:
        digests = real(*given, **named)
        first.write_bytes(second.read_bytes())
        return digests

    original = first.read_bytes()
    monkeypatch.setattr("benchbench.data.fingerprint.case_digests", digest_then_change)
    with pytest.raises(DataError, match=r"patient00-a\.npz changed since the start"):
        run(benchmark_file, squares)
    monkeypatch.undo()
    first.write_bytes(original)
    run(benchmark_file, squares)  # what the other cases were prepared into is used, and the first prepared now
    assert len(list((benchmark_file.parent / "cache" / "prepared").glob("*/*/case.json"))) == 4


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("a", "A"), "found another name"),
        (("\u00e9", "e\u0301"), "found another name"),
        (("-rf",), "an option or a path"),
        (("..",), "an option or a path"),
        (("a/b",), "an option or a path"),
        (("a\\b",), "an option or a path"),
        (("a\nb",), "unprintable"),
        (("a\u202eb",), "unprintable"),
        (("",), "empty"),
        (("x" * 201,), "too long"),
    ],
)
def test_a_name_that_would_not_survive_is_refused(names: tuple[str, ...], reason: str) -> None:
    (problem,) = name_problems([CaseRef(name, f"patient {number}") for number, name in enumerate(names)])
    assert reason in problem
    assert repr(names[-1]) in problem


@pytest.mark.parametrize("name", ["plain", "with space", "dots.in.it", "TCGA_CS_4941_19960909", "é", "007", "NA"])
def test_a_name_that_survives_is_accepted(name: str) -> None:
    assert list(name_problems([CaseRef(name, name), CaseRef(f"{name} again", name)])) == []


def test_a_benchmark_refuses_such_a_name_before_anything_is_read(
    benchmark_file: Path, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = squares / "squares" / "patient00-a.npz"
    path.rename(path.with_name("PATIENT01-a.npz"))
    monkeypatch.setattr("benchbench.launch.preparation.remembered_digests", None)
    with pytest.raises(DataError, match="'patient01-a': found another name 'PATIENT01-a'"):
        run(benchmark_file, squares)


class Mount:
    """Storage that fails some reads of a file before it gives them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, away: int, number: int) -> None:
        self.waited: list[float] = []
        real = Path.open

        def open_(path: Path, *given: Any, **named: Any) -> Any:
            nonlocal away
            if path.name == "patient01-a.npz" and away > 0:
                away -= 1
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *given, **named)

        monkeypatch.setattr(Path, "open", open_)
        monkeypatch.setattr("benchbench.data.retry.time.sleep", self.waited.append)


def test_a_mount_that_comes_back_is_waited_for(opened: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    before = looked_at(opened)
    mount = Mount(monkeypatch, away=2, number=errno.EIO)
    assert looked_at(opened) == before
    assert mount.waited == list(STORAGE_WAITS[:2])


def test_the_file_of_a_mount_that_stays_away_is_named(opened: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    Mount(monkeypatch, away=99, number=errno.ENOTCONN)
    (problem,) = looked_at(opened).problems
    assert "patient01-a.npz" in problem
    assert os.strerror(errno.ENOTCONN) in problem


def test_looking_at_data_changes_nothing_there(phantom: Callable[[str], tuple[Dataset, Path]]) -> None:
    dataset, root = phantom("lgg")

    def state() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in (root, *root.rglob("*"))}

    before = state()
    looked_at(dataset)
    assert state() == before
