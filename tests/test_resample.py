"""Resampling to a voxel size and back, compared with nnU-Net's own functions and with SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_input import example

from benchbench.engine.preparation.resample import (
    Grid,
    new_grid,
    resample_image,
    resample_label,
    restore,
    separate_axis,
)

SHAPE = (6, 18, 20)
SPACINGS = [((1.5, 1, 1), (1, 1, 1)), ((5, 1, 1), (2, 0.8, 0.8)), ((2, 0.7, 0.9), (1.2, 1.2, 1.2))]
"""From, to: finer; thick slices, which are resampled one by one; coarser and finer."""


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float((one == other).mean())


@pytest.mark.parametrize("number", range(3))
def test_images_labels_and_the_way_back_are_those_of_nnunet(number: int) -> None:
    """Values of nnunetv2 2.8.1 with batchgenerators 0.25.5, computed outside of this repository from `example`.

    `resample_data_or_seg_to_shape` was called with `order_z=0` and `force_separate_z=None`; with order 3 for the
    image, order 1 and `is_seg` for the label, and order 1 for the image forth ("linear") and back ("back").
    """
    golden = np.load(Path(__file__).with_name("nnunet_resampled.npz"))
    image, label = example(SHAPE)
    grid = new_grid(SHAPE, *SPACINGS[number])
    assert grid.size == golden[f"image{number}"].shape
    spread = np.ptp(image)
    for method, key in (("cubic", "image"), ("linear", "linear")):
        resampled = resample_image(image[None], grid, method)[0]  # type: ignore[arg-type]
        assert np.abs(resampled - golden[f"{key}{number}"]).max() < 1e-3 * spread
    assert agreement(resample_label(label, grid, "linear"), golden[f"label{number}"]) > 0.999
    back = restore(torch.from_numpy(golden[f"linear{number}"])[None].float(), grid)[0].numpy()
    assert np.abs(back - golden[f"back{number}"]).max() < 1e-3 * spread


@pytest.mark.parametrize("number", range(3))
def test_images_and_labels_are_those_of_simpleitk_inside_the_image(number: int) -> None:
    """SimpleITK has other rules at the border, where it extrapolates by mirroring, and for thick slices.

    Where two labels have the same share, the nearest counts here, as in nnU-Net; such voxels are left out.
    """
    sitk = pytest.importorskip("SimpleITK")
    image, label = example((20, 30, 28))
    old, new = SPACINGS[number]
    grid = new_grid(image.shape, old, new)._replace(separate_axis=None)
    exact = [spacing * length / size for spacing, length, size in zip(old, image.shape, grid.size, strict=True)]

    def by_sitk(array: np.ndarray, interpolator: int) -> np.ndarray:
        stored = sitk.GetImageFromArray(array)
        stored.SetSpacing([float(spacing) for spacing in old[::-1]])
        origin = [(after - before) / 2 for after, before in zip(exact[::-1], old[::-1], strict=True)]
        size = list(grid.size[::-1])
        identity = sitk.Transform()
        axes = stored.GetDirection()
        resampled = sitk.Resample(stored, size, identity, interpolator, origin, exact[::-1], axes)
        return np.asarray(sitk.GetArrayFromImage(resampled))

    inner = (slice(4, -4),) * 3
    spread = np.ptp(image)
    smooth = np.sin(np.arange(28) / 5)[None, None] * image  # an edge rings, and both are clipped in other ways
    linear = resample_image(smooth[None], grid, "linear")[0][inner]
    assert np.abs(linear - by_sitk(smooth.astype(np.float32), sitk.sitkLinear)[inner]).max() < 1e-3 * spread
    cubic = resample_image(smooth[None], grid, "cubic")[0][inner]
    assert (
        np.quantile(np.abs(cubic - by_sitk(smooth.astype(np.float32), sitk.sitkBSpline)[inner]), 0.95)
        < 1e-3 * spread
    )
    shares = np.sort(
        [by_sitk((label == value).astype(np.float32), sitk.sitkLinear)[inner] for value in range(3)], 0
    )
    decided = shares[-1] - shares[-2] > 1e-3
    assert decided.mean() > 0.9
    labels = resample_label(label, grid, "linear")[inner]
    assert agreement(labels[decided], by_sitk(label, sitk.sitkLabelLinear)[inner][decided]) > 0.999


def test_a_line_is_resampled_as_on_paper() -> None:
    grid = Grid((1, 1, 4), (1, 1, 2), None)
    line = np.array([0.0, 10, 20, 30]).reshape(1, 1, 1, 4)
    # the centres of two voxels of twice the size are between the first two and between the last two
    assert resample_image(line, grid, "linear").ravel() == pytest.approx([5, 25])
    back = restore(torch.tensor([5.0, 25]).reshape(1, 1, 1, 2), grid)
    # at -0.25, 0.25, 0.75 and 1.25 of the two; beyond the ends the last value stays
    assert back.ravel().tolist() == pytest.approx([5, 10, 20, 25])


def test_labels_are_resampled_one_by_one_and_a_tie_goes_to_the_nearest() -> None:
    label = np.array([0, 0, 4, 4], np.uint8).reshape(1, 1, 4)
    # between 0 and 4 there is no 2
    assert resample_label(label, Grid((1, 1, 4), (1, 1, 8), None), "linear").ravel().tolist() == [0] * 4 + [4] * 4
    pair = np.array([1, 2], np.uint8).reshape(1, 1, 2)
    for method in ("linear", "nearest"):
        # the centre of one voxel is between both; the nearest rounds up, as in nnU-Net
        assert resample_label(pair, Grid((1, 1, 2), (1, 1, 1), None), method).ravel().tolist() == [2]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spacing", "target", "expected"),
    [
        ((5, 1, 1), (1, 1, 1), 0),
        ((1, 1, 1), (1, 4, 1), 1),
        ((3, 1, 1), (1, 1, 1), None),  # not more than three times
        ((0.24, 1.25, 1.25), (1, 1, 1), None),  # two coarse axes
    ],
)
def test_slices_are_separate_where_one_axis_is_much_coarser(
    spacing: tuple[float, ...], target: tuple[float, ...], expected: int | None
) -> None:
    assert separate_axis(spacing, target) == expected


def test_thick_slices_are_copied_and_not_mixed() -> None:
    volume = np.zeros((1, 2, 2, 2), np.float32)
    volume[0, 1] = 8
    grid = new_grid((2, 2, 2), (4, 1, 1), (2, 1, 1))
    resampled = resample_image(volume, grid, "cubic")
    assert resampled[0, :, 0, 0].tolist() == [0, 0, 8, 8]
    assert restore(torch.from_numpy(resampled), grid)[0, :, 0, 0].tolist() == [0, 8]
