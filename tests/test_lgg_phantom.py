"""LGG phantoms: their layout, and how far their lesions and intensities are like the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from file_bytes import file_bytes
from scipy import ndimage

from benchbench_datasets.lgg import Lgg
from benchbench_datasets.lgg_phantom import HEADER, write_phantom


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantoms")
    write_phantom(root, patients=12, size=64, seed=0)
    return root


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in [("a", 3), ("b", 3), ("c", 4)]:
        write_phantom(tmp_path / name, patients=2, size=32, seed=seed)
    assert file_bytes(tmp_path / "a") == file_bytes(tmp_path / "b")
    slices, other_slices = slices_of(tmp_path / "a"), slices_of(tmp_path / "c")
    assert any(b"\xff" in data for data in slices)
    assert len(slices & other_slices) <= 1  # the mask without tumour


def slices_of(root: Path) -> set[bytes]:
    return {data for name, data in file_bytes(root).items() if name.endswith("tif")}


def test_a_phantom_patient_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    write_phantom(tmp_path / "one", patients=1, size=32, seed=3)
    write_phantom(tmp_path / "two", patients=2, size=32, seed=3)
    slices = {name: data for name, data in file_bytes(tmp_path / "one").items() if name.endswith(".tif")}
    assert slices.items() <= file_bytes(tmp_path / "two").items()


def test_phantoms_name_neither_date_nor_software(phantoms: Path) -> None:
    for path in [next(phantoms.rglob("*_1.tif")), next(phantoms.rglob("*_1_mask.tif"))]:
        with tifffile.TiffFile(path) as file:
            assert {"DateTime", "Software", "ImageDescription"}.isdisjoint(tag.name for tag in file.pages[0].tags)
            assert file.pages[0].compression == 1


def test_phantoms_have_the_archive_s_layout(phantoms: Path) -> None:
    assert {path.name for path in phantoms.iterdir()} == {"kaggle_3m"}
    files = {path.name for path in (phantoms / "kaggle_3m").iterdir() if path.is_file()}
    assert files == {"data.csv", "README.md", ".DS_Store"}
    lines = (phantoms / "kaggle_3m" / "data.csv").read_text().splitlines()
    assert len(lines) == 13
    assert lines[0].split(",") == HEADER.split(",")
    assert len(HEADER.split(",")) == 18


def test_phantoms_open_as_the_archive_does(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    cases, metadata = dataset.cases(), dataset.metadata()
    assert len(cases) == len(metadata) == 12
    assert all(len(columns) == 17 for columns in metadata.values())
    for case in cases:
        image = dataset.load(case.id).image
        assert 16 <= image.shape[1] <= 28
        assert image.shape[2:] == (64, 64)


def test_some_phantoms_repeat_a_channel_and_lack_clinical_data(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    identical, without_post = [], []
    for case in dataset.cases():
        pre, flair, post = dataset.load(case.id).image
        if np.array_equal(pre, flair) and np.array_equal(flair, post):
            identical.append(case.id)
        elif np.array_equal(flair, post):
            without_post.append(case.id)
    assert len(identical) == len(without_post) == 1
    metadata = dataset.metadata()
    assert metadata[identical[0]]["gender"] == ""
    assert metadata[without_post[0]]["gender"] != ""


def test_phantom_tumours_are_one_piece_on_neighbouring_slices(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    for case in dataset.cases():
        (slices,) = dataset.load(case.id).label.any((1, 2)).nonzero()
        assert len(slices) >= 3
        assert np.ptp(slices) == len(slices) - 1


def test_phantom_tumours_are_as_large_as_real_ones(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    labels = [dataset.load(case.id).label for case in dataset.cases()]
    areas = np.concatenate([label.sum((1, 2)) for label in labels]) * (256 / 64) ** 2
    lesion_areas = areas[areas > 0]
    assert 1000 < np.median(lesion_areas) < 2500  # real 1529
    assert lesion_areas.max() < 9000  # real 7929
    assert 0.25 < len(lesion_areas) / len(areas) < 0.5  # real 0.35
    assert 0.005 < np.concatenate(labels).mean() < 0.025  # real 0.0103


def test_phantom_intensities_are_like_real_ones(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    loaded = [dataset.load(case.id) for case in dataset.cases()]
    head = np.concatenate([case.image[1][head_of(case.image[1]) & (case.label == 0)] for case in loaded])
    tumour = np.concatenate([case.image[1][case.label > 0] for case in loaded])
    assert np.allclose(np.percentile(head, [25, 50, 75, 95]), [45, 56, 67, 99], rtol=0.25)
    assert np.allclose(np.percentile(tumour, [25, 50, 75, 95]), [65, 84, 108, 139], rtol=0.25)
    assert np.median([case.image.max() for case in loaded]) >= 206  # real 206 to 255
    assert 10 < np.mean([case.image[1].mean() for case in loaded]) < 30  # real 5 to 45


def test_the_background_of_phantoms_is_faint_noise(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    corners = np.concatenate([dataset.load(case.id).image[..., :5, :5].ravel() for case in dataset.cases()])
    assert 0.5 < corners.mean() < 2  # real 1.0
    assert 0.1 < (corners == 0).mean() < 0.5
    assert corners.max() < 12


def test_phantom_channels_are_related_but_not_the_same(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    images = [dataset.load(case.id).image for case in dataset.cases()]
    correlations = np.median([np.corrcoef(image[:, head_of(image[1])]) for image in images], axis=0)
    assert 0.7 < correlations[0, 2] < 0.95  # real 0.82
    assert 0.3 < correlations[0, 1] < 0.7  # real 0.46
    assert 0.2 < correlations[1, 2] < 0.7  # real 0.32


def head_of(flair: np.ndarray) -> np.ndarray:
    """Return the largest bright part of every slice, without holes."""
    masks = []
    for page in flair > 30:
        parts, count = ndimage.label(page)
        largest = 1 + np.argmax(np.bincount(parts.ravel())[1:]) if count else -1
        masks.append(ndimage.binary_fill_holes(parts == largest))
    return np.stack(masks)


@pytest.mark.slow
def test_small_heads_are_drawn_whatever_the_seed(tmp_path: Path) -> None:
    for seed in range(5):
        write_phantom(tmp_path / str(seed), patients=3, size=32, seed=seed)
        dataset = Lgg(tmp_path / str(seed))
        labels = [dataset.load(case.id).label for case in dataset.cases()]
        assert all(label.any((1, 2)).sum() >= 3 for label in labels)


@pytest.mark.slow
def test_a_large_phantom_has_as_many_slices_as_a_real_patient(tmp_path: Path) -> None:
    write_phantom(tmp_path, patients=1, size=256, seed=0)
    (case,) = Lgg(tmp_path).cases()
    image = Lgg(tmp_path).load(case.id).image
    assert 20 <= image.shape[1] <= 60
    assert image.shape[2:] == (256, 256)
