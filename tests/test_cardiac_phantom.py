"""Phantoms of the plugins cardiac, hvsmr2 and acdc: their layouts, and how far the hearts are like real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from file_bytes import file_bytes
from scipy import ndimage

from benchbench import DataError
from benchbench_datasets.acdc import Acdc
from benchbench_datasets.cardiac import Cardiac
from benchbench_datasets.cardiac_phantom import write_acdc, write_hvsmr2, write_hvsmr_2016
from benchbench_datasets.heart import LV_WALL, RV_WALL
from benchbench_datasets.heart_scan import scan_patient
from benchbench_datasets.hvsmr2 import Hvsmr2


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantoms")
    for name, write_phantom in (("cardiac", write_hvsmr_2016), ("hvsmr2", write_hvsmr2), ("acdc", write_acdc)):
        write_phantom(root / name, patients=3, size=48, seed=0)
    return root


@pytest.mark.parametrize("view", ["axial_full", "axial_crop"])
def test_the_axes_of_a_phantom_of_hvsmr_2016_are_posterior_inferior_and_right(view: str, phantoms: Path) -> None:
    for n, spacing_mm in enumerate([(0.885, 0.885, 0.89), (0.833, 0.833, 0.83), (0.885, 0.885, 0.89)]):
        for path in Cardiac(phantoms / "cardiac", view=view).files(f"pat{n}"):
            stored = nib.load(path)
            assert nib.aff2axcodes(stored.affine) == ("P", "I", "R")
            assert stored.header.get_zooms() == pytest.approx(spacing_mm)
            assert (stored.header["qform_code"], stored.header["sform_code"]) == (2, 1)
            assert np.allclose(stored.get_qform(), stored.get_sform(), atol=1e-4)
    assert nib.load(path).get_data_dtype() == np.uint16


def test_the_views_of_a_phantom_show_the_same_heart_in_the_same_place(phantoms: Path) -> None:
    cases = [
        Cardiac(phantoms / "cardiac", view=view).load("pat1") for view in ("axial_full", "axial_crop", "sa_crop")
    ]
    litres = [np.count_nonzero(case.label) * abs(np.linalg.det(case.affine)) for case in cases]
    middles = [case.affine[:3, :3] @ np.argwhere(case.label).mean(0) + case.affine[:3, 3] for case in cases]
    assert litres[0] == litres[1]
    assert litres[2] == pytest.approx(litres[0], rel=0.15)
    assert np.allclose(middles[0], middles[1])
    assert np.allclose(middles[0], middles[2], atol=1.5)
    assert len({nib.aff2axcodes(case.affine) for case in cases}) == 2


def test_intensities_of_a_phantom_are_those_measured_on_hvsmr_2016(phantoms: Path) -> None:
    dataset = Cardiac(phantoms / "cardiac", view="axial_full")
    cases = [dataset.load(case.id) for case in dataset.cases()]
    image = np.concatenate([case.image.ravel() for case in cases])
    label = np.concatenate([case.label.ravel() for case in cases])
    rest = image[(label == 0) & (image > 8)]
    check_mean_and_sd(image[label == 2], mean=(113, 129), sd=(11, 25))
    check_mean_and_sd(image[label == 1], mean=(60, 80), sd=(8, 20))
    check_mean_and_sd(rest, mean=(46, 68), sd=(20, 42))
    assert 0.5 < (image <= 3).mean() < 0.66


def check_mean_and_sd(voxels: np.ndarray, *, mean: tuple[float, float], sd: tuple[float, float]) -> None:
    assert mean[0] < voxels.mean() < mean[1]
    assert sd[0] < voxels.std() < sd[1]


def test_blood_in_every_phantom_is_brighter_than_the_wall(phantoms: Path) -> None:
    dataset = Cardiac(phantoms / "cardiac", view="axial_full")
    for case_ref in dataset.cases():
        case = dataset.load(case_ref.id)
        blood, wall = (case.image[0][case.label == value] for value in (2, 1))
        assert 1.5 < blood.mean() / wall.mean() < 2


def test_labels_of_a_phantom_are_ragged_and_of_the_measured_share(phantoms: Path) -> None:
    for n in range(3):
        label = Cardiac(phantoms / "cardiac").load(f"pat{n}").label
        assert 0.02 < (label == 1).mean() < 0.1
        assert 0.1 < (label == 2).mean() < 0.25
        assert 2 <= ndimage.label(label == 2)[1] < 200
        assert 11 <= ndimage.label(label == 1)[1] < 200
        assert 0.015 < (Cardiac(phantoms / "cardiac", view="axial_full").load(f"pat{n}").label > 0).mean() < 0.06


def test_the_wall_of_a_phantom_is_thicker_around_the_left_ventricle() -> None:
    tissue = scan_patient(0, size=64, seed=1).tissue
    left, right = (
        ndimage.distance_transform_edt(ndimage.binary_closing(tissue == wall)).max() for wall in (LV_WALL, RV_WALL)
    )
    assert left > 1.3 * right


def test_a_phantom_of_hvsmr2_has_every_region_and_normalised_images(phantoms: Path) -> None:
    dataset = Hvsmr2(phantoms / "hvsmr2", normalised=True)
    for case in dataset.cases():
        loaded = dataset.load(case.id)
        assert set(np.unique(loaded.label)) == set(range(9))
        assert 0 <= loaded.image.min() < 0.02
        assert loaded.image.max() == 1
        assert np.array_equal(loaded.label, Hvsmr2(phantoms / "hvsmr2").load(case.id).label)


def test_a_phantom_of_acdc_is_a_stack_of_thick_slices(phantoms: Path) -> None:
    dataset = Acdc(phantoms / "acdc")
    assert len(dataset.cases()) == 6
    for case_ref in dataset.cases():
        case = dataset.load(case_ref.id)
        assert case.label.shape[:2] == (48, 48)
        assert 8 <= case.label.shape[2] <= 10
        assert case.spacing_mm == pytest.approx((1.5, 1.5, 10), rel=0.15)
        header = nib.load(dataset.files(case_ref.id)[0]).header
        assert np.array_equal(header.get_sform(), np.diag([-1, -1, 1, 1]))  # as in the archive
        assert np.allclose(header.get_qform(), case.affine)


def test_the_heart_of_a_phantom_of_acdc_beats(phantoms: Path) -> None:
    dataset = Acdc(phantoms / "acdc")
    frames = [case.id for case in dataset.cases()]
    for first, last in zip(frames[::2], frames[1::2], strict=True):
        diastole, systole = dataset.load(first), dataset.load(last)
        assert np.allclose(diastole.affine, systole.affine)
        before, after = (np.bincount(case.label.ravel(), minlength=4) for case in (diastole, systole))
        assert 0.2 < after[3] / before[3] < 0.75
        assert after[1] < before[1]
        assert after[2] == pytest.approx(before[2], rel=0.3)


def test_info_of_a_phantom_of_acdc_names_its_two_frames(phantoms: Path) -> None:
    dataset = Acdc(phantoms / "acdc")
    expected = []
    for patient, info in dataset.metadata().items():
        expected += [f"{patient}_frame{int(info[key]):02d}" for key in ("ED", "ES")]
    assert [case.id for case in dataset.cases()] == expected


@pytest.mark.parametrize("write_phantom", [write_hvsmr_2016, write_hvsmr2, write_acdc])
def test_a_phantom_has_the_same_bytes_for_the_same_seed_and_is_written_once(
    write_phantom: Callable[..., None], tmp_path: Path
) -> None:
    roots = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for root, seed in zip(roots, (5, 5, 6), strict=True):
        write_phantom(root, patients=1, size=32, seed=seed)
    first, again, other = (file_bytes(root) for root in roots)
    assert first == again
    volumes = [name for name in first if name.endswith(".gz")]
    assert all(first[name][4:8] == bytes(4) for name in volumes)  # gzip's time
    assert all(first[name] != other[name] for name in volumes if name in other)
    with pytest.raises(DataError, match="before phantoms are written"):
        write_phantom(roots[0], patients=1, size=32, seed=5)
