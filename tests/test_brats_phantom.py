"""BraTS phantoms: their layouts, and how far their tumours and contrasts are like the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from brats_patients import case_ids
from file_bytes import file_bytes

from benchbench import BenchbenchError
from benchbench_datasets.brats20 import Brats20
from benchbench_datasets.brats21 import Brats21
from benchbench_datasets.brats_phantom import write_brats20, write_brats21


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write eight patients of BraTS 2021 and four of BraTS 2020."""
    root = tmp_path_factory.mktemp("phantoms")
    write_brats21(root / "brats21", patients=8, size=48, seed=0)
    write_brats20(root / "brats20", patients=4, size=32, seed=0)
    return root


@pytest.mark.parametrize("write", [write_brats20, write_brats21])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, write: Callable[..., None]) -> None:
    for name, seed in [("a", 3), ("b", 3), ("c", 4)]:
        write(tmp_path / name, patients=1, size=32, seed=seed)
    a, b, c = (file_bytes(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert all(a[name] != c[name] for name in a if "nii" in name)


def test_phantoms_have_no_date(phantoms: Path) -> None:
    assert all(data[4:8] == bytes(4) for data in file_bytes(phantoms / "brats21").values())


def test_a_phantom_patient_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    write_brats21(tmp_path / "one", patients=1, size=32, seed=3)
    write_brats21(tmp_path / "two", patients=2, size=32, seed=3)
    assert file_bytes(tmp_path / "one").items() <= file_bytes(tmp_path / "two").items()


def test_phantoms_are_not_written_over_patients(tmp_path: Path) -> None:
    write_brats21(tmp_path, patients=1, size=32, seed=3)
    with pytest.raises(BenchbenchError, match="expected none before phantoms are written"):
        write_brats21(tmp_path, patients=1, size=32, seed=3)


def test_phantoms_of_2021_have_the_archive_s_names(phantoms: Path) -> None:
    numbers = [path.name for path in sorted((phantoms / "brats21").iterdir())]
    assert numbers[:4] == ["BraTS2021_00000", "BraTS2021_00002", "BraTS2021_00003", "BraTS2021_00005"]
    assert len(file_bytes(phantoms / "brats21")) == 8 * 5
    assert all(name.endswith(".nii.gz") for name in file_bytes(phantoms / "brats21"))


def test_phantoms_of_2020_have_the_kaggle_copy_s_names(phantoms: Path) -> None:
    names = file_bytes(phantoms / "brats20")
    folder = "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"
    assert {f"{folder}/name_mapping.csv", f"{folder}/survival_info.csv"} <= names.keys()
    assert f"{folder}/BraTS20_Training_355/W39_1998.09.19_Segm.nii" in names
    assert case_ids(Brats20(phantoms / "brats20")) == [
        f"BraTS20_Training_{n}" for n in ("001", "002", "003", "355")
    ]
    assert not any(name.endswith(".gz") for name in names)
    metadata = Brats20(phantoms / "brats20").metadata()
    assert {row["Grade"] for row in metadata.values()} <= {"HGG", "LGG"}
    assert len(metadata) == 4


def test_phantoms_have_the_archive_s_headers(phantoms: Path) -> None:
    image = nibabel.load(phantoms / "brats21/BraTS2021_00000/BraTS2021_00000_t1.nii.gz")
    assert image.shape == (48, 48, 31)
    assert image.get_data_dtype() == np.int16
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == (5, 5, 5)
    assert image.affine[:3, 3].tolist() == [0, 235, 0]
    assert (image.header["qform_code"], image.header["sform_code"], image.header["xyzt_units"]) == (1, 1, 2)


def test_the_second_phantom_has_float_labels_without_sform(phantoms: Path) -> None:
    seg = nibabel.load(phantoms / "brats21/BraTS2021_00002/BraTS2021_00002_seg.nii.gz")
    assert seg.get_data_dtype() == np.float32
    assert (seg.header["qform_code"], seg.header["sform_code"]) == (1, 0)


def test_the_third_phantom_alone_has_no_enhancing_tumour(phantoms: Path) -> None:
    dataset = Brats21(phantoms / "brats21")
    labels = [set(np.unique(dataset.load(case.id).label).tolist()) for case in dataset.cases()]
    assert labels.pop(2) == {0, 1, 2}
    assert labels == [{0, 1, 2, 4}] * 7
    assert Brats20(phantoms / "brats20", require="enhancing").dropped == {"BraTS20_Training_003"}


def test_the_background_of_phantoms_is_0_in_all_modalities_and_only_there(phantoms: Path) -> None:
    dataset = Brats21(phantoms / "brats21")
    for case in dataset.cases():
        loaded = dataset.load(case.id)
        brain = loaded.image > 0
        assert (brain == brain[0]).all()
        assert loaded.image.min() == 0
        assert 0.10 < brain[0].mean() < 0.19  # real 0.11 to 0.19
        assert brain[0][loaded.label > 0].all()


def test_phantom_tumours_are_as_large_as_real_ones(phantoms: Path) -> None:
    dataset = Brats21(phantoms / "brats21")
    labels = np.stack([dataset.load(case.id).label for case in dataset.cases()])
    shares = np.stack([(labels == value).mean((1, 2, 3)) for value in (1, 2, 4)], axis=1)
    whole_ml = shares.sum(1) * 240 * 240 * 155 / 1000
    assert 50 < np.median(whole_ml) < 145  # real 90, quartiles 50 and 145
    assert 7 < whole_ml.min() < whole_ml.max() < 360  # the real extremes
    assert np.allclose(np.median(shares, axis=0), [0.0012, 0.0056, 0.0017], rtol=0.7)


def contrasts(dataset: Brats21, case_id: str) -> np.ndarray | None:
    """Return the mean intensity of necrosis, oedema and rim by that of the brain in each modality, (3, 4).

    None for a patient without enhancing tumour, and therefore without a rim.
    """
    case = dataset.load(case_id)
    if not (case.label == 4).any():
        return None
    brain = case.image[:, (case.image[0] > 0) & (case.label == 0)].mean(1)
    return np.stack([case.image[:, case.label == value].mean(1) / brain for value in (1, 2, 4)])


def test_phantom_contrasts_are_like_real_ones(phantoms: Path) -> None:
    dataset = Brats21(phantoms / "brats21")
    ratios = [contrasts(dataset, case.id) for case in dataset.cases()]
    necrosis, oedema, rim = np.mean([ratio for ratio in ratios if ratio is not None], axis=0)
    flair, t1, t1ce, t2 = range(4)
    assert oedema[flair] > 1.3  # real 1.55
    assert rim[t1ce] > 1.3  # real 2.1
    assert necrosis[t1ce] < 1
    assert rim[t1] < 1.1
    assert necrosis[t2] > oedema[t2] > 1.05  # real 1.6 and 1.1


def test_the_rim_is_around_the_necrosis(phantoms: Path) -> None:
    label = Brats21(phantoms / "brats21").load("BraTS2021_00000").label
    inner, outer = (np.argwhere(label == value) for value in (1, 4))
    centre = inner.mean(0)
    assert np.linalg.norm(outer - centre, axis=1).mean() > 1.2 * np.linalg.norm(inner - centre, axis=1).mean()


def test_small_phantoms_are_drawn_whatever_the_seed(tmp_path: Path) -> None:
    for seed in range(4):
        write_brats21(tmp_path / str(seed), patients=2, size=32, seed=seed)
        dataset = Brats21(tmp_path / str(seed))
        assert all({1, 2, 4} <= set(np.unique(dataset.load(case.id).label)) for case in dataset.cases())
