"""Datasets in the layout of BIDS: channels by suffix, masks of derivatives, label names, and names that are unclear."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbench import CaseRef, DataError, DataNotFoundError
from benchbench.registry.parameters import resolve_params
from benchbench_datasets.bids import Bids, describe
from benchbench_datasets.bids_phantom import write_phantom
from benchbench_datasets.folder_writers import write_image

SHAPE = (4, 5, 3)
MASK = np.zeros(SHAPE, np.uint8)
MASK[1:3, 2:4, 1] = 1
MASK[0, 0, 0] = 2


def write(root: Path, *names: str, values: np.ndarray | None = None) -> None:
    """Write images, or masks of 1 and 2, at these paths below the root, without their ending."""
    for name in names:
        is_mask = name.endswith(("_dseg", "_mask"))
        voxels = MASK if is_mask else np.full(SHAPE, 100 + len(name), np.int16)
        path = root / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, (voxels if values is None else values)[None], spacing_mm=(1.0, 1.0, 3.0))


def labels_of(root: Path, name: str, text: str = "index\tname\n0\tbackground\n1\toedema\n2\tcore\n") -> None:
    (root / name).write_text(text)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two subjects with two channels and a segmentation."""
    root = tmp_path / "glioma"
    for subject in ("01", "10"):
        start = f"sub-{subject}/anat/sub-{subject}"
        write(root, f"{start}_T1w", f"{start}_FLAIR", f"derivatives/manual/{start}_dseg")
    labels_of(root, "derivatives/manual/dseg.tsv")
    return root


def open_bids(root: Path, **params: Any) -> Bids:
    """Open a dataset with parameters in the types of a benchmark."""
    return Bids(root, **resolve_params(Bids, params))


def test_channels_are_suffixes_and_labels_have_the_names_of_dseg_tsv(tree: Path) -> None:
    dataset = open_bids(tree, channels=("FLAIR", "T1w"))
    assert dataset.cases() == [CaseRef("01", "01"), CaseRef("10", "10")]
    assert dataset.task.channels == ("FLAIR", "T1w")
    assert dataset.task.regions == {"oedema": (1,), "core": (2,)}
    case = dataset.load("01")
    assert case.image.shape == (2, *SHAPE)
    assert case.image[0, 0, 0, 0] - case.image[1, 0, 0, 0] == len("FLAIR") - len("T1w")
    assert np.array_equal(case.label, MASK)
    assert case.spacing_mm == (1.0, 1.0, 3.0)
    names = [path.relative_to(tree).as_posix() for path in dataset.files("10")]
    assert names[0] == "sub-10/anat/sub-10_FLAIR.nii.gz"
    assert names[2] == "derivatives/manual/sub-10/anat/sub-10_dseg.nii.gz"


def test_what_the_files_give_becomes_parameters(tree: Path) -> None:
    assert describe(tree, channels=("T1w",)) == {"channels": ["T1w"], "regions": {"oedema": 1, "core": 2}}


def test_without_files_channels_and_regions_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give --data-root, or `channels` and `regions` in the benchmark file"):
        _ = open_bids(tmp_path / "absent", channels=("T1w",)).task
    assert open_bids(tmp_path / "absent", channels=("T1w",), regions={"a": 1}).task.regions == {"a": (1,)}


def test_sessions_and_runs_are_cases_of_one_patient(tmp_path: Path) -> None:
    start = "sub-a/ses-1/anat/sub-a_ses-1"
    write(tmp_path, f"{start}_run-1_T1w", f"{start}_run-2_T1w", "sub-a/ses-2/anat/sub-a_ses-2_T1w")
    write(tmp_path, f"derivatives/m/{start}_run-2_mask", "derivatives/m/sub-a/ses-2/anat/sub-a_ses-2_mask")
    dataset = open_bids(tmp_path)
    assert dataset.cases() == [CaseRef("a_ses-1_run-2", "a"), CaseRef("a_ses-2", "a")]
    assert [case.id for case in dataset.image_cases()] == ["a_ses-1_run-1", "a_ses-1_run-2", "a_ses-2"]


def test_a_mask_without_a_run_belongs_to_the_only_run(tmp_path: Path) -> None:
    write(tmp_path, "sub-a/anat/sub-a_run-1_T1w", "derivatives/m/sub-a/anat/sub-a_mask")
    assert open_bids(tmp_path).cases() == [CaseRef("a_run-1", "a")]


def test_masks_of_separate_regions_are_regions_and_may_overlap(tmp_path: Path) -> None:
    start = "derivatives/m/sub-a/anat/sub-a"
    write(tmp_path, "sub-a/anat/sub-a_T1w")
    write(tmp_path, f"{start}_label-oedema_mask", values=(MASK > 0).astype(np.uint8) * 255)
    write(tmp_path, f"{start}_label-core_mask", values=(MASK == 2).astype(np.uint8))
    dataset = open_bids(tmp_path)
    assert list(dataset.task.regions) == ["core", "oedema"]
    label = dataset.load("a").label
    assert np.isin(label, dataset.task.regions["oedema"]).sum() == 5
    assert np.isin(label, dataset.task.regions["core"]).sum() == 1
    chosen = open_bids(tmp_path, regions={"lesion": "label-oedema_mask"})
    assert chosen.load("a").label.sum() == 5


@pytest.mark.parametrize(
    ("sidecar", "region"), [({"Type": "Lesion"}, "lesion"), ({}, "foreground"), (None, "foreground")]
)
def test_a_mask_has_the_name_of_its_type(tmp_path: Path, sidecar: Mapping[str, str] | None, region: str) -> None:
    name = "derivatives/m/sub-a/anat/sub-a_desc-manual_mask"
    write(tmp_path, "sub-a/anat/sub-a_T1w")
    write(tmp_path, name, values=(MASK > 0).astype(np.uint8))
    if sidecar is not None:
        (tmp_path / f"{name}.json").write_text(json.dumps(sidecar))
    assert list(open_bids(tmp_path).task.regions) == [region]


def test_the_image_without_further_entities_is_preferred_and_others_can_be_named(tmp_path: Path) -> None:
    start = "sub-a/anat/sub-a"
    write(tmp_path, f"{start}_T1w", f"{start}_ce-gd_T1w", f"derivatives/m/{start}_mask")
    dataset = open_bids(tmp_path, channels=("T1w", "ce-gd_T1w"))
    names = [path.name for path in dataset.files("a")[:2]]
    assert names == ["sub-a_T1w.nii.gz", "sub-a_ce-gd_T1w.nii.gz"]


def test_images_of_a_derivative_and_masks_next_to_images_are_found(tmp_path: Path) -> None:
    write(tmp_path, "sub-a/anat/sub-a_T1w", "derivatives/prep/sub-a/anat/sub-a_desc-preproc_T1w")
    write(tmp_path, "derivatives/prep/sub-a/anat/sub-a_mask")
    dataset = open_bids(tmp_path, images="derivatives/prep")
    assert dataset.files("a")[0].name == "sub-a_desc-preproc_T1w.nii.gz"
    other = tmp_path / "other"
    write(other, "sub-a/anat/sub-a_T1w", "sub-a/anat/sub-a_dseg")
    assert open_bids(other, regions={"a": 1, "b": 2}).cases() == [CaseRef("a", "a")]


def test_participants_have_metadata(tree: Path) -> None:
    (tree / "participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t61\tF\nsub-10\tn/a\tM\n")
    assert open_bids(tree, channels=("T1w",)).metadata() == {"01": {"age": "61", "sex": "F"}, "10": {"sex": "M"}}


def test_a_region_that_a_case_lacks_can_be_declared(tmp_path: Path) -> None:
    for subject, regions in (("a", ("core", "oedema")), ("b", ("core",))):
        write(tmp_path, f"sub-{subject}/anat/sub-{subject}_T1w")
        for region in regions:
            name = f"derivatives/m/sub-{subject}/anat/sub-{subject}_label-{region}_mask"
            write(tmp_path, name, values=(MASK > 0).astype(np.uint8))
    with pytest.raises(DataError, match=r"sub-b_T1w.nii.gz: found no mask for it, expected one named sub-b_"):
        open_bids(tmp_path).load("b")
    dataset = open_bids(tmp_path, labelled_regions={"b": ("core",)})
    assert dataset.load("b").labelled_regions == ("core",)
    with pytest.raises(DataError, match=r"labelled_regions.c: found no case of that name"):
        open_bids(tmp_path, labelled_regions={"c": ("core",)}).cases()


UNCLEAR = [
    (
        ["sub-a/anat/sub-a_T1w", "sub-a/anat/sub-a_FLAIR", "derivatives/m/sub-a/anat/sub-a_mask"],
        {},
        'channels: found "FLAIR", "T1w", expected one kind of images; give those that are channels',
    ),
    (
        ["sub-a/anat/sub-a_acq-x_T1w", "sub-a/anat/sub-a_acq-y_T1w", "derivatives/m/sub-a/anat/sub-a_mask"],
        {"channels": ("T1w",)},
        'found sub-a/anat/sub-a_acq-x_T1w.nii.gz for the same case, expected one file; choose one by its name, such as "acq-y_T1w"',
    ),
    (
        ["sub-a/anat/sub-a_T1w", "derivatives/m/sub-a/anat/sub-a_mask", "derivatives/m/sub-b/anat/sub-b_mask"],
        {},
        "sub-b_mask.nii.gz: found no T1w image for it, expected one; add it or move the file away",
    ),
    (
        ["sub-a/anat/sub-a_run-1_T1w", "sub-a/anat/sub-a_run-2_T1w", "derivatives/m/sub-a/anat/sub-a_mask"],
        {},
        "sub-a_mask.nii.gz: found that it fits a_run-1 and a_run-2, expected one case; name session and run",
    ),
    (
        ["sub-a/anat/sub-a_T1w", "derivatives/m/sub-a/anat/sub-a_mask", "derivatives/n/sub-a/anat/sub-a_mask"],
        {},
        'derivative: found masks in m, n, expected one folder of `derivatives`; give its name, such as derivative = "m"',
    ),
    (
        [
            "sub-a/anat/sub-a_T1w",
            "derivatives/m/sub-a/anat/sub-a_desc-1_mask",
            "derivatives/m/sub-a/anat/sub-a_desc-2_mask",
        ],
        {},
        r"found masks of several kinds (desc-1_mask, desc-2_mask), expected one; choose one by `masks`",
    ),
    (
        [
            "sub-a/anat/sub-a_T1w",
            "derivatives/m/sub-a/anat/sub-a_desc-1_mask",
            "derivatives/m/sub-a/anat/sub-a_desc-2_mask",
        ],
        {"masks": "mask"},
        "sub-a_desc-2_mask.nii.gz: found derivatives/m/sub-a/anat/sub-a_desc-1_mask.nii.gz for the same case",
    ),
    (
        ["sub-a/anat/sub-a_T1w", "derivatives/m/sub-a/anat/sub-a_dseg"],
        {},
        "found no dseg.tsv with the names of the labels of dseg, expected one; add it, or give `regions`",
    ),
    (["sub-a/anat/sub-a_T1w"], {}, "found no image with a mask, expected sub-*_dseg.nii.gz or sub-*_mask.nii.gz"),
    (["sub-a/anat/sub-a_T1w"], {"channels": ("T1w.nii",)}, 'channels: found "T1w.nii", expected a suffix'),
    (["sub-a/anat/sub-a_T1w"], {"derivative": "../x"}, "derivative: found a path that leads out of the folder"),
    (
        ["sub-a/anat/sub-a_T1w"],
        {"regions": {"a": 1, "b": "label-b_mask"}},
        "regions: found values and kinds of files",
    ),
]


@pytest.mark.parametrize(("names", "params", "problem"), UNCLEAR)
def test_files_that_are_unclear_are_refused_by_name(
    tmp_path: Path, names: list[str], params: dict[str, Any], problem: str
) -> None:
    write(tmp_path, *names)
    with pytest.raises((DataError, DataNotFoundError)) as caught:
        open_bids(tmp_path, **params).cases()
    (line,) = caught.value.problems
    assert problem in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("label\tname\n1\ta\n", "found no table with columns index and name"),
        ("index\tname\none\ta\n", "found no table with columns index and name"),
        ("index\tname\n1\ta\n1\tb\n", "found a name or an index twice"),
        ("index\tname\n1\ta\n2\ta\n", "found a name or an index twice"),
    ],
)
def test_a_table_of_labels_that_cannot_be_used_is_one_line(tree: Path, text: str, problem: str) -> None:
    labels_of(tree, "derivatives/manual/dseg.tsv", text)
    with pytest.raises(DataError, match=f"derivatives/manual/dseg.tsv: {problem}"):
        describe(tree, channels=("T1w",))


def test_label_tables_of_subjects_must_agree(tree: Path) -> None:
    folder = "derivatives/manual/sub-10/anat"
    labels_of(tree, f"{folder}/sub-10_dseg.tsv", "index\tname\n1\tcore\n2\toedema\n")
    with pytest.raises(DataError, match="found other labels than in"):
        describe(tree, channels=("T1w",))


@pytest.mark.parametrize(
    "params",
    [
        {"channels": ("T1w", "FLAIR"), "regions": {"oedema": 1, "core": 2}},
        {"channels": ("T1w",), "regions": {"core": "label-core_mask", "oedema": "label-oedema_mask"}},
        {"channels": ("T1w",), "regions": {"lesion": 3}, "masks": "desc-manual_dseg", "derivative": "manual"},
        {},
    ],
)
def test_a_phantom_has_the_channels_and_regions_of_the_benchmark(tmp_path: Path, params: dict[str, Any]) -> None:
    write_phantom(tmp_path, patients=2, size=32, seed=0, **params)
    dataset = open_bids(tmp_path, **{key: value for key, value in params.items() if key != "regions"})
    assert [case.patient for case in dataset.cases()] == ["p001", "p002"]
    assert list(dataset.task.regions) == list(params.get("regions", {"foreground": 1}))
    label = dataset.load("p001").label
    for values in dataset.task.regions.values():
        assert np.isin(label, values).any()
    if params:
        open_bids(tmp_path, **params).load("p002")
