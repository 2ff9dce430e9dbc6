"""Deformable attention compared with a loop over points, and the pixel decoder that uses it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from benchbench_models.mask_dino.deformable import (
    DeformableAttention,
    Memory,
    flatten_maps,
    unflatten_maps,
    weighted_sum,
)
from benchbench_models.mask_dino.layers import WIDTH
from benchbench_models.mask_dino.pixel_decoder import PixelDecoder, pixel_centres

SIZES = ((3, 5), (2, 2))


def bilinear(values: Tensor, x: float, y: float) -> Tensor:
    """Return a map (H, W, D) interpolated between the centres of its pixels, 0 outside."""
    height, width, depth = values.shape
    column, row = x * width - 0.5, y * height - 0.5
    total = torch.zeros(depth)
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            if 0 <= i < height and 0 <= j < width:
                total += values[i, j] * (1 - abs(row - i)) * (1 - abs(column - j))
    return total


def test_the_weighted_sum_agrees_with_a_loop_over_points() -> None:
    torch.manual_seed(0)
    heads, depth, points = 2, 3, 4
    tokens = torch.randn(2, 19, heads, depth)
    places = torch.rand(2, 6, heads, len(SIZES), points, 2) * 1.4 - 0.2  # some outside
    weights = torch.rand(2, 6, heads, len(SIZES), points)
    sums = weighted_sum(Memory(tokens, SIZES), places, weights).view(2, 6, heads, depth)
    for image, query, head in itertools.product(range(2), range(6), range(heads)):
        expected, first = torch.zeros(depth), 0
        for level, (height, width) in enumerate(SIZES):
            values = tokens[image, first : first + height * width, head].view(height, width, depth)
            first += height * width
            for point in range(points):
                x, y = places[image, query, head, level, point].tolist()
                expected += weights[image, query, head, level, point] * bilinear(values, x, y)
        torch.testing.assert_close(sums[image, query, head], expected, atol=1e-5, rtol=1e-5)


def test_offsets_from_a_point_are_in_pixels_of_each_map() -> None:
    attention = DeformableAttention(2, levels=2, heads=1, points=1)
    with torch.no_grad():
        attention.value.weight.copy_(torch.eye(2))
        attention.output.weight.copy_(torch.eye(2))
        attention.offsets.bias.copy_(torch.tensor([2.0, 1.0, 1.0, 0.0]))  # x, y on the first map, then the second
        tokens = torch.arange(19.0)[None, :, None].expand(-1, -1, 2)
        reference = torch.tensor([[[0.5 / 5, 0.5 / 3]]])  # the first pixel of the first map
        features = attention(torch.zeros(1, 1, 2), reference, Memory(tokens, SIZES))
    # pixel (1, 2) of 3 x 5 is token 7; on 2 x 2 the point is at row -0.167, column 0.7, in pixels
    second = torch.tensor([[15.0, 16.0], [17.0, 18.0]])[..., None]
    expected = (7 + bilinear(second, 0.1 + 0.5, 1 / 6)) / 2
    assert features[0, 0, 0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_fourth_offset_from_a_box_reaches_its_edge() -> None:
    attention = DeformableAttention(1, levels=1, heads=1, points=4)
    ramp = torch.linspace(0.005, 0.995, 100)[None, :, None]  # a map of one row whose values are x
    with torch.no_grad():
        for linear in (attention.value, attention.output):
            linear.weight.fill_(1)
        attention.weights.bias.copy_(torch.tensor([0.0, 0, 0, 50]))  # only the last point
        box = torch.tensor([[[0.5, 0.5, 0.4, 0.2]]])
        features = attention(torch.zeros(1, 1, 1), box, Memory(ramp, ((1, 100),)))
    assert attention.offsets.bias.tolist() == pytest.approx([1, 0, 2, 0, 3, 0, 4, 0], abs=1e-6)
    assert features.item() == pytest.approx(0.5 + 0.4 / 2, abs=1e-4)


def test_initially_every_head_has_a_direction_of_its_own() -> None:
    offsets = DeformableAttention(8, levels=1).offsets.bias.view(8, 4, 2)
    # the corners of a square and the middles of its sides
    assert offsets[:, 0].round(decimals=4).tolist() == [
        [1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]
    ]  # fmt: skip
    torch.testing.assert_close(offsets[:, 3], 4 * offsets[:, 0])


def test_flattened_maps_are_restored() -> None:
    maps = [torch.randn(2, 3, *size) for size in SIZES]
    for features, restored in zip(maps, unflatten_maps(flatten_maps(maps)), strict=True):
        assert torch.equal(features, restored)


def test_pixel_centres_cover_the_whole_map_row_by_row() -> None:
    centres = pixel_centres((2, 4), device=torch.device("cpu"))
    assert centres[:5, 0].tolist() == [0.125, 0.375, 0.625, 0.875, 0.125]
    assert centres[:5, 1].tolist() == [0.25, 0.25, 0.25, 0.25, 0.75]


def test_zero_pixels_are_attended_to_like_all_others() -> None:
    torch.manual_seed(0)
    decoder = PixelDecoder((4, 8, 16, 32), layers=1)
    maps = [torch.randn(1, WIDTH, size, size) for size in (1, 2, 4)]
    maps[2][..., 2:, :] = 0  # as if padded below
    maps[2].requires_grad_()
    decoder.encode(maps)[2][0, :, 0].sum().backward()
    assert maps[2].grad is not None
    assert maps[2].grad[0, :, 2:].abs().sum() > 0


def test_the_mask_map_joins_the_finest_features_with_the_next_level_by_linear_upsampling() -> None:
    torch.manual_seed(0)
    decoder = PixelDecoder((4, 8, 16, 32), layers=1)
    features = [torch.randn(1, 4 * 2**level, 8 // 2**level, 8 // 2**level) for level in range(4)]
    mask_map, levels = decoder(features)
    assert [tuple(level.shape[2:]) for level in levels] == [(1, 1), (2, 2), (4, 4)]
    above = torch.nn.functional.interpolate(levels[2], scale_factor=2, mode="bilinear", align_corners=False)
    expected = decoder.to_masks(decoder.smooth(decoder.lateral(features[0]) + above).relu())
    torch.testing.assert_close(mask_map, expected)
