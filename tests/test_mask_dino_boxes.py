"""Boxes, targets and positions, on examples small enough to work out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbench_models.mask_dino.boxes import box_logits, corners, generalised_iou, mask_boxes
from benchbench_models.mask_dino.position import box_position, map_position, waves
from benchbench_models.mask_dino.targets import region_targets


def mask(rows: slice, columns: slice, *, size: tuple[int, int] = (10, 20)) -> torch.Tensor:
    pixels = torch.zeros(size, dtype=torch.bool)
    pixels[rows, columns] = True
    return pixels


def test_the_upper_edges_of_a_box_are_exclusive() -> None:
    # columns 3 to 5 and rows 2 to 3 of 10 x 20: from 3 to 6 and from 2 to 4
    box = mask_boxes(mask(slice(2, 4), slice(3, 6)))
    assert (corners(box) * torch.tensor([20, 10, 20, 10])).tolist() == pytest.approx([3, 2, 6, 4])
    assert box.tolist() == pytest.approx([4.5 / 20, 3 / 10, 3 / 20, 2 / 10])


def test_a_full_mask_has_the_image_as_its_box_and_an_empty_one_zeros() -> None:
    boxes = mask_boxes(torch.stack([mask(slice(None), slice(None)), mask(slice(0), slice(0))]))
    assert boxes.tolist() == [[0.5, 0.5, 1, 1], [0, 0, 0, 0]]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 19)), min_size=1, max_size=5))
def test_a_box_is_the_smallest_around_its_pixels(pixels: list[tuple[int, int]]) -> None:
    region = torch.zeros(10, 20, dtype=torch.bool)
    for row, column in pixels:
        region[row, column] = True
    rows, columns = zip(*pixels, strict=True)
    expected = [min(columns) / 20, min(rows) / 10, (max(columns) + 1) / 20, (max(rows) + 1) / 10]
    assert corners(mask_boxes(region)).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param([0.5, 0.5, 0.4, 0.4], 1.0, id="the same"),
        pytest.param([0.7, 0.5, 0.4, 0.4], 0.08 / 0.24, id="moved by half: union and hull agree"),
        pytest.param([0.5, 0.5, 0.2, 0.2], 0.25, id="inside"),
        pytest.param([0.1, 0.5, 0.2, 0.4], -(0.28 - 0.24) / 0.28, id="apart by a tenth"),
    ],
)
def test_generalised_iou_is_as_worked_out_by_hand(other: list[float], expected: float) -> None:
    iou = generalised_iou(torch.tensor([0.5, 0.5, 0.4, 0.4]), torch.tensor(other))
    assert iou.item() == pytest.approx(expected, abs=1e-4)


def test_the_overlap_of_boxes_without_area_is_finite() -> None:
    assert generalised_iou(torch.zeros(4), torch.zeros(4)).isfinite()


def test_a_sigmoid_restores_boxes_and_the_logits_of_edges_are_finite() -> None:
    boxes = torch.tensor([0.0, 0.25, 0.5, 1.0])
    assert box_logits(boxes).sigmoid().tolist() == pytest.approx(boxes.tolist(), abs=2e-5)
    assert box_logits(boxes).abs().max() < 11.6


def test_every_region_is_a_target_of_its_own_and_they_may_overlap() -> None:
    whole, core = mask(slice(2, 8), slice(2, 8)), mask(slice(4, 6), slice(4, 6))
    empty = mask(slice(0), slice(0))
    targets = region_targets(torch.stack([whole, core, empty])[None], classes=3)
    assert targets.is_present.tolist() == [[True, True, False]]
    assert torch.equal(targets.masks[0, 0], whole)
    assert torch.equal(targets.masks[0, 1], core)
    assert targets.boxes[0, 1].tolist() == pytest.approx([5 / 20, 5 / 10, 2 / 20, 2 / 10])


def test_with_one_class_more_than_regions_the_first_is_the_background() -> None:
    region = mask(slice(2, 8), slice(2, 8))
    targets = region_targets(torch.stack([region, region & False])[None], classes=3)
    assert torch.equal(targets.masks[0, 0], ~region)
    assert targets.is_present.tolist() == [[True, True, False]]
    assert targets.boxes[0, 0].tolist() == [0.5, 0.5, 1, 1]


def test_a_position_alternates_between_sine_and_cosine() -> None:
    encoded = waves(torch.tensor([0.25, 1.0]), 4)
    slow = 2 * math.pi / 100
    assert encoded[0].tolist() == pytest.approx([1, 0, math.sin(slow / 4), math.cos(slow / 4)], abs=1e-6)
    assert encoded[1].tolist() == pytest.approx([0, 1, math.sin(slow), math.cos(slow)], abs=1e-6)


def test_a_map_has_the_position_of_y_before_that_of_x_and_counts_pixels_from_one() -> None:
    encoded = map_position((2, 4), 8, device=torch.device("cpu")).view(2, 4, 8)
    for row in range(2):
        for column in range(4):
            y, x = waves(torch.tensor((row + 1) / 2), 4), waves(torch.tensor((column + 1) / 4), 4)
            torch.testing.assert_close(encoded[row, column], torch.cat([y, x]), atol=1e-5, rtol=0)


def test_a_box_has_the_position_of_y_then_x_width_and_height() -> None:
    encoded = box_position(torch.tensor([0.1, 0.2, 0.3, 0.4]), 4)
    expected = torch.cat([waves(torch.tensor(value), 4) for value in (0.2, 0.1, 0.3, 0.4)])
    torch.testing.assert_close(encoded, expected)
