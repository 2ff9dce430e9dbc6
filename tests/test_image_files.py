from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from benchbench import DataError
from benchbench.images.image_files import read_image_files

ONE_OF_FOUR = "found 1 channel, expected 4 (flair, t1, t1ce, t2); give one file with all of them"
FOUR = ("flair", "t1", "t1ce", "t2")


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.nifti1.Nifti1Image(values.astype(np.float32), np.eye(4) if affine is None else affine), path)
    return path


def test_channels_can_be_along_the_fourth_or_fifth_axis_of_a_nifti_file(tmp_path: Path) -> None:
    values = np.arange(96).reshape(2, 3, 4, 4)
    fourth = save(tmp_path / "a.nii.gz", values)
    fifth = save(tmp_path / "b.nii.gz", values[:, :, :, None])
    for path in (fourth, fifth):
        image = read_image_files([path], channels=FOUR)
        assert image.channels.shape == (4, 2, 3, 4)
        assert image.channels[3, 1, 2, 0] == values[1, 2, 0, 3]
        assert image.spacing_mm == (1, 1, 1)


def test_a_file_for_each_channel_gives_them_in_the_order_of_the_files(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{number}.nii.gz", np.full((2, 3, 4), number)) for number in range(4)]
    image = read_image_files(files, channels=FOUR)
    assert image.channels[:, 0, 0, 0].tolist() == [0, 1, 2, 3]


def test_colours_of_tiff_and_png_are_channels(tmp_path: Path) -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", np.stack([pixels, pixels + 1]), photometric="rgb")
    for name in ("a.png", "a.tif"):
        image = read_image_files([tmp_path / name], channels=FOUR[:3])
        assert image.channels.tolist() == pixels.transpose(2, 0, 1).tolist()
    stack = read_image_files([tmp_path / "b.tif"], channels=FOUR[:3])
    assert stack.channels.shape == (3, 2, 3, 4)
    assert stack.channels[1, 1, 0, 0] == pixels[0, 0, 1] + 1


def test_pages_are_channels_where_there_are_as_many_and_slices_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 5, 6), np.uint16), photometric="minisblack")
    assert read_image_files([path], channels=FOUR).channels.shape == (4, 5, 6)
    assert read_image_files([path], channels=("ct",)).channels.shape == (1, 4, 5, 6)


@pytest.mark.parametrize(
    ("shape", "channels", "message"),
    [
        (
            (2, 3, 4),
            FOUR,
            f"{ONE_OF_FOUR}, or a file for each, named like case_0000 and case_0001 or like case_flair",
        ),
        ((2, 3, 4, 3), ("ct",), "found 3 channels, expected 1 (ct); give a file with this channel alone"),
    ],
)
def test_another_number_of_channels_is_refused(
    tmp_path: Path, shape: tuple[int, ...], channels: tuple[str, ...], message: str
) -> None:
    path = save(tmp_path / "a.nii.gz", np.zeros(shape))
    with pytest.raises(DataError, match=re.escape(f"{path}: {message}")):
        read_image_files([path], channels=channels)


def test_channels_on_different_grids_are_refused(tmp_path: Path) -> None:
    first = save(tmp_path / "a.nii.gz", np.zeros((2, 3, 4)))
    smaller = save(tmp_path / "b.nii.gz", np.zeros((2, 3, 3)))
    moved = save(tmp_path / "c.nii.gz", np.zeros((2, 3, 4)), np.diag([-1.0, 1, 1, 1]))
    with pytest.raises(DataError, match=r"b.nii.gz: found shape \(2, 3, 3\), expected \(2, 3, 4\) like a.nii.gz"):
        read_image_files([first, smaller], channels=("a", "b"))
    with pytest.raises(DataError, match=r"c.nii.gz: found another position or orientation than that of a.nii.gz"):
        read_image_files([first, moved], channels=("a", "b"))


def test_a_png_with_a_palette_and_a_file_of_another_format_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 4), np.uint8)).convert("P").save(tmp_path / "a.png")
    (tmp_path / "a.jpg").touch()
    with pytest.raises(
        DataError, match=r"a.png: found numbers of a palette, expected intensities; save the image"
    ):
        read_image_files([tmp_path / "a.png"], channels=("grey",))
    with pytest.raises(
        DataError, match=r"a.jpg: found a name of an unknown format, expected .nii.gz, .nii, .tiff"
    ):
        read_image_files([tmp_path / "a.jpg"], channels=("grey",))
