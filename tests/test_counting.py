"""Voxels are counted alike from bits, as on a CPU, and from sums of tensors, as on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from benchbench.engine.batches.unlabelled import mark_unlabelled
from benchbench.engine.inference.counting import count_regions, count_voxels
from benchbench.engine.network.regions import region_masks, scored_by_region

if TYPE_CHECKING:
    from torch import Tensor


@pytest.mark.parametrize("space", [(1,), (7, 9), (8, 8), (5, 13, 17)])
@pytest.mark.parametrize("scored_channels", [1, 3])
@pytest.mark.parametrize("way", ["bits", "bits by NumPy 1", "sums"])
def test_counts_are_those_of_voxels(
    monkeypatch: pytest.MonkeyPatch, space: tuple[int, ...], scored_channels: int, way: str
) -> None:
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: way == "sums")
    if way == "bits by NumPy 1":
        monkeypatch.setattr("benchbench.engine.inference.counting._HAS_BITWISE_COUNT", False)
    generator = torch.Generator().manual_seed(0)

    def draw(channels: int) -> Tensor:
        return torch.rand(2, channels, *space, generator=generator) < 0.5

    reference, prediction, scored = draw(3), draw(3), draw(scored_channels)

    counts = count_voxels(reference, prediction, scored)

    assert counts.dtype == torch.int64
    assert counts.shape == (2, 3, 4)
    marked = scored.expand(2, 3, *space).flatten(2)
    pairs = [(True, True), (False, True), (True, False), (False, False)]  # tp, fp, fn, tn
    for place, (is_reference, is_prediction) in enumerate(pairs):
        agree = (reference == is_reference) & (prediction == is_prediction)
        expected = (agree.flatten(2) & marked).sum(2)
        assert torch.equal(counts[..., place], expected)


def test_masks_in_another_order_of_memory_have_the_same_counts() -> None:
    masks = torch.zeros(1, 1, 4, 6, dtype=torch.bool)
    masks[0, 0, 1, 2:5] = True
    scored = torch.ones_like(masks)

    counts = count_voxels(masks.mT, masks.flip(2).flip(2).mT, scored.mT)

    assert counts.tolist() == [[[3, 0, 0, 21]]]


@pytest.mark.parametrize("space", [(1,), (8, 8), (5, 13, 17)])
@pytest.mark.parametrize("regions", [1, 3, 8])
@pytest.mark.parametrize("kind", ["labelled", "ignored voxels", "a region is not labelled"])
def test_counts_against_bit_masks_are_those_against_the_masks_of_regions(
    space: tuple[int, ...], regions: int, kind: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(1 << min(regions, 7), (37, *space), generator=generator, dtype=torch.uint8)
    labels[5] = 0
    if kind == "ignored voxels":
        labels[20:, 0] = 128
    if kind == "a region is not labelled":
        labels = mark_unlabelled(labels, torch.arange(37) % 2)
    prediction = torch.rand(37, regions, *space, generator=generator) < 0.5

    counts = count_regions(prediction, labels, has_background=False)

    scored = scored_by_region(labels, regions)
    assert torch.equal(counts, count_voxels(region_masks(labels, regions), prediction, scored))
