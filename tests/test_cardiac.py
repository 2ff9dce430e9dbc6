"""The plugins cardiac, hvsmr2 and acdc on handmade files, with every fault that has been seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchbench import CaseRef, DataError, DataNotFoundError, Dataset
from benchbench.data.case_checks import check_case
from benchbench.data.digests import case_digests
from benchbench_datasets import acdc, cardiac, hvsmr2
from benchbench_datasets.acdc import Acdc
from benchbench_datasets.cardiac import Cardiac
from benchbench_datasets.cardiac_phantom import write_acdc, write_hvsmr2, write_hvsmr_2016
from benchbench_datasets.hvsmr2 import Hvsmr2

SHAPE = (4, 5, 6)
PIR = np.array([[0, 0, 0.89, -1], [-0.885, 0, 0, 2], [0, -0.885, 0, 3], [0, 0, 0, 1]])
EVERY_DATASET = pytest.mark.parametrize(
    ("open_dataset", "image", "label"),
    [
        (Cardiac, "training_axial_crop_pat3", "training_axial_crop_pat3-label"),
        (Hvsmr2, "cropped/pat3_cropped", "cropped/pat3_cropped_seg"),
        (Acdc, "patient003/patient003_frame01", "patient003/patient003_frame01_gt"),
    ],
    ids=["cardiac", "hvsmr2", "acdc"],
)


def write(
    path: Path, value: float = 0, *, shape: tuple[int, ...] = SHAPE, dtype: str = "u2", affine: np.ndarray = PIR
) -> Path:
    voxels = np.full(shape, value, dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def write_pair(root: Path, image: str, label: str, *, value: int = 1, suffix: str = ".nii.gz") -> None:
    write(root / f"{image}{suffix}", 100, dtype="i2")
    write(root / f"{label}{suffix}", value)


def write_hvsmr(root: Path, *numbers: int, view: str = "axial_crop", value: int = 1) -> None:
    for n in numbers:
        write_pair(root, f"training_{view}_pat{n}", f"training_{view}_pat{n}-label", value=value)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantoms")
    for name, write_phantom in (("cardiac", write_hvsmr_2016), ("hvsmr2", write_hvsmr2), ("acdc", write_acdc)):
        write_phantom(root / name, patients=3, size=48, seed=0)
    return root


@pytest.mark.parametrize(("module", "name"), [(cardiac, "cardiac"), (hvsmr2, "hvsmr2"), (acdc, "acdc")])
def test_every_module_has_one_plugin_with_a_licence_a_page_and_a_phantom_that_it_reads(
    module: object, name: str, phantoms: Path
) -> None:
    (plugin,) = module.benchbench_datasets()
    assert plugin.name == name
    assert plugin.download.licence
    assert plugin.download.page.startswith("http")
    dataset = plugin.open(phantoms / name)
    assert len({case.patient for case in dataset.cases()}) == 3
    for case in dataset.cases():
        assert check_case(dataset.load(case.id), dataset.task, case.id) == []


@EVERY_DATASET
def test_a_case_is_its_image_with_a_channel_axis_and_its_label_as_stored(
    open_dataset: Callable[[Path], Dataset], image: str, label: str, tmp_path: Path
) -> None:
    write_pair(tmp_path, image, label)
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    nib.save(nib.Nifti1Image(voxels, PIR), tmp_path / f"{image}.nii.gz")
    nib.save(nib.Nifti1Image(voxels.astype(np.uint16) % 3, PIR), tmp_path / f"{label}.nii.gz")
    dataset = open_dataset(tmp_path)
    (case,) = dataset.cases()
    assert dataset.files(case.id) == [tmp_path / f"{image}.nii.gz", tmp_path / f"{label}.nii.gz"]
    loaded = dataset.load(case.id)
    assert np.array_equal(loaded.image, voxels[None])
    assert loaded.label.dtype == np.uint8
    assert np.array_equal(loaded.label, voxels % 3)
    assert loaded.spacing_mm == pytest.approx((0.885, 0.885, 0.89))
    assert np.allclose(loaded.affine, PIR)


@EVERY_DATASET
def test_files_without_compression_are_read_as_well(
    open_dataset: Callable[[Path], Dataset], image: str, label: str, tmp_path: Path
) -> None:
    write_pair(tmp_path, image, label, suffix=".nii")
    dataset = open_dataset(tmp_path)
    (case,) = dataset.cases()
    assert [path.suffix for path in dataset.files(case.id)] == [".nii", ".nii"]
    assert dataset.load(case.id).label.all()


@EVERY_DATASET
def test_missing_images_missing_labels_and_files_in_both_suffixes_are_all_reported(
    open_dataset: Callable[[Path], Dataset], image: str, label: str, tmp_path: Path
) -> None:
    write(tmp_path / f"{image}.nii.gz")
    write(tmp_path / f"{label.replace('3', '4')}.nii.gz")
    for suffix in (".nii", ".nii.gz"):
        write_pair(tmp_path, image.replace("3", "5"), label.replace("3", "5"), suffix=suffix)
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError) as caught:
        case_digests(dataset, dataset.cases(), threads=1)
    problems = caught.value.problems
    assert len(problems) == 4
    assert f"{image}.nii.gz: found no label, expected {Path(label).name}.nii.gz" in problems[0]
    assert f"{label.replace('3', '4')}.nii.gz: found no image" in problems[1]
    other = Path(image).name.replace("3", "5")
    assert f"{image.replace('3', '5')}.nii.gz: found {other}.nii as well" in problems[2]
    assert f"{label.replace('3', '5')}.nii.gz: found" in problems[3]


@EVERY_DATASET
def test_every_fault_of_both_files_is_reported_with_the_path_from_the_root(
    open_dataset: Callable[[Path], Dataset], image: str, label: str, tmp_path: Path
) -> None:
    write(tmp_path / f"{image}.nii.gz", np.nan, dtype="f4")
    write(tmp_path / f"{label}.nii.gz", 9)
    dataset = open_dataset(tmp_path)
    (case,) = dataset.cases()
    with pytest.raises(DataError) as caught:
        dataset.load(case.id)
    first, second = caught.value.problems
    assert re.match(rf"\w+: {re.escape(image)}\.nii\.gz: found 120 voxels that are nan", first)
    assert re.match(
        rf"\w+: {re.escape(label)}\.nii\.gz: found unexpected labels 9 \(120 voxels\), expected only 0, 1, 2",
        second,
    )


@EVERY_DATASET
@pytest.mark.parametrize("shape", [(4, 5, 7), (6, 5, 4)])
def test_a_label_of_another_shape_is_refused_with_both_shapes_and_its_values(
    open_dataset: Callable[[Path], Dataset], image: str, label: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    write(tmp_path / f"{image}.nii.gz")
    write(tmp_path / f"{label}.nii.gz", 9, shape=shape)
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError) as caught:
        dataset.load(dataset.cases()[0].id)
    assert f"{label}.nii.gz: found shape {shape}, expected {SHAPE}" in caught.value.problems[0]
    assert ("transpose" in caught.value.problems[0]) == (shape == (6, 5, 4))
    assert "9 (" in caught.value.problems[1]


@EVERY_DATASET
@pytest.mark.parametrize("affine", [PIR @ np.diag([-1, 1, 1, 1]), PIR + np.eye(4, k=3)], ids=["flip", "shift"])
def test_a_label_in_another_place_is_refused(
    open_dataset: Callable[[Path], Dataset], image: str, label: str, affine: np.ndarray, tmp_path: Path
) -> None:
    write(tmp_path / f"{image}.nii.gz")
    write(tmp_path / f"{label}.nii.gz", 1, affine=affine)
    dataset = open_dataset(tmp_path)
    with pytest.raises(
        DataError, match=rf"{re.escape(label)}\.nii\.gz: found orientation .* expected orientation PIR"
    ):
        dataset.load(dataset.cases()[0].id)


@EVERY_DATASET
def test_the_error_of_an_empty_folder_names_it_and_what_was_expected(
    open_dataset: Callable[[Path], Dataset], image: str, label: str, tmp_path: Path
) -> None:
    with pytest.raises(DataNotFoundError) as caught:
        open_dataset(tmp_path).cases()
    assert str(tmp_path) in str(caught.value)
    assert re.search(r"found no .*\.nii\.gz.*, expected .* for each patient; unpack", str(caught.value))


def test_the_error_of_an_absent_case_names_both_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no file, expected training_axial_crop_pat7\.nii\.gz and"):
        Cardiac(tmp_path).files("pat7")


def test_patients_of_hvsmr_are_ordered_by_number_without_those_for_testing(tmp_path: Path) -> None:
    write_hvsmr(tmp_path, 10, 2, 0)
    write(tmp_path / "testing_axial_crop_pat11.nii.gz")
    write(tmp_path / "._training_axial_crop_pat12.nii.gz")
    expected = [CaseRef("pat0", "pat0"), CaseRef("pat2", "pat2"), CaseRef("pat10", "pat10")]
    assert Cardiac(tmp_path).cases() == expected


def test_a_view_reads_only_its_own_files(tmp_path: Path) -> None:
    write_hvsmr(tmp_path, 1, view="axial_crop")
    write_hvsmr(tmp_path, 2, view="axial_full")
    write_hvsmr(tmp_path, 3, view="sa_crop")
    views = {view: Cardiac(tmp_path, view=view).cases() for view in ("axial_crop", "axial_full", "sa_crop")}
    assert {view: [case.id for case in cases] for view, cases in views.items()} == {
        "axial_crop": ["pat1"],
        "axial_full": ["pat2"],
        "sa_crop": ["pat3"],
    }
    assert Cardiac(tmp_path, view="sa_crop").files("pat3")[0].name == "training_sa_crop_pat3.nii.gz"


def test_the_error_of_unexpected_great_vessels_names_the_parameter_to_set(tmp_path: Path) -> None:
    write_hvsmr(tmp_path, 0)
    voxels = np.zeros(SHAPE, np.uint16)
    voxels[0, 0, :3], voxels[0, 1, :2] = 64, 71
    nib.save(nib.Nifti1Image(voxels, PIR), tmp_path / "training_axial_crop_pat0-label.nii.gz")
    with pytest.raises(DataError) as caught:
        Cardiac(tmp_path).load("pat0")
    assert "found unexpected labels 64 (3 voxels), 71 (2 voxels), expected only 0, 1, 2" in str(caught.value)
    assert "aorta" in str(caught.value)
    assert "great_vessels" in str(caught.value)


@pytest.mark.parametrize(
    ("great_vessels", "expected"), [("blood_pool", [0, 1, 2, 2, 2]), ("background", [0, 1, 2, 0, 0])]
)
def test_great_vessels_are_read_as_the_parameter_says(
    great_vessels: str, expected: list[int], tmp_path: Path
) -> None:
    write_hvsmr(tmp_path, 0)
    voxels = np.zeros(SHAPE, np.uint16)
    voxels[0, 0, :5] = [0, 1, 2, 64, 71]
    nib.save(nib.Nifti1Image(voxels, PIR), tmp_path / "training_axial_crop_pat0-label.nii.gz")
    label = Cardiac(tmp_path, great_vessels=great_vessels).load("pat0").label
    assert label[0, 0, :5].tolist() == expected
    assert not label[1:].any()


def test_hvsmr2_has_eight_regions_and_no_myocardium() -> None:
    names = "left_ventricle right_ventricle left_atrium right_atrium aorta pulmonary_artery superior_vena_cava inferior_vena_cava"
    assert Hvsmr2.task.regions == {name: (value,) for value, name in enumerate(names.split(), start=1)}


def test_hvsmr2_reads_the_chosen_images_and_no_endpoints(tmp_path: Path) -> None:
    for folder, value in (("cropped", 100), ("cropped_norm", 0.5)):
        write(tmp_path / folder / f"pat3_{folder}.nii.gz", value, dtype="f4")
        write(tmp_path / folder / "pat3_cropped_seg.nii.gz", 8)
        write(tmp_path / folder / "pat3_cropped_seg_endpoints.nii.gz", 77)
    for normalised, value in ((False, 100), (True, 0.5)):
        dataset = Hvsmr2(tmp_path, normalised=normalised)
        assert dataset.cases() == [CaseRef("pat3", "pat3")]
        assert (dataset.load("pat3").image == value).all()


def test_the_left_ventricle_of_acdc_is_3_and_the_right_1() -> None:
    assert Acdc.task.regions == {"right_ventricle": (1,), "myocardium": (2,), "left_ventricle": (3,)}


@pytest.mark.parametrize("folder", ["", "training", "database/training"])
def test_both_frames_of_acdc_belong_to_their_patient_and_4d_files_to_no_case(folder: str, tmp_path: Path) -> None:
    for name in (
        "patient002/patient002_frame12",
        "patient002/patient002_frame01",
        "patient010/patient010_frame01",
    ):
        write_pair(tmp_path / folder, name, f"{name}_gt")
    write(tmp_path / folder / "patient002" / "patient002_4d.nii.gz", shape=(*SHAPE, 2))
    assert Acdc(tmp_path).cases() == [
        CaseRef("patient002_frame01", "patient002"),
        CaseRef("patient002_frame12", "patient002"),
        CaseRef("patient010_frame01", "patient010"),
    ]
    assert Acdc(tmp_path).files("patient002_frame12")[1].name == "patient002_frame12_gt.nii.gz"


def test_info_of_acdc_is_metadata_and_a_malformed_line_is_reported(tmp_path: Path) -> None:
    for patient in ("patient001", "patient002"):
        write_pair(tmp_path, f"{patient}/{patient}_frame01", f"{patient}/{patient}_frame01_gt")
    info = tmp_path / "patient001" / "Info.cfg"
    info.write_text("ED: 1\nGroup: DCM\nHeight: 184.0\n\n")
    assert Acdc(tmp_path).metadata() == {"patient001": {"ED": "1", "Group": "DCM", "Height": "184.0"}}
    info.write_text("ED: 1\n<html>\n")
    with pytest.raises(DataError, match=r"acdc: patient001/Info\.cfg: found line '<html>', expected 'key: value'"):
        Acdc(tmp_path).metadata()


@EVERY_DATASET
def test_a_wrong_suffix_is_named_as_the_nearest_file(
    tmp_path: Path, open_dataset: Callable[..., Dataset], image: str, label: str
) -> None:
    stem = Path(image).name
    for number in (3, 33):  # the files of another case are not the nearest
        write(tmp_path / f"{image.replace('3', str(number))}.nii.gz")
        write(tmp_path / f"{label.replace('3', str(number))}.nii.gz")
    wrong = f"{stem}_sa_gt.nii.gz"
    (tmp_path / f"{label}.nii.gz").rename(tmp_path / Path(image).parent / wrong)
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError) as caught:
        dataset.files(next(case.id for case in dataset.cases() if "33" not in case.id))
    (problem,) = caught.value.problems
    assert f"expected {Path(label).name}.nii.gz for it" in problem
    assert problem.endswith(f"; the nearest name there is {wrong}: rename it if that is the file")
