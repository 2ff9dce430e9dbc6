"""True and false positives and negatives of predicted masks, counted on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchbench.engine.network.regions import (
    is_partial,
    masks_of_logits,
    region_masks,
    scored_by_region,
    scored_voxels,
    with_background,
)
from benchbench.images.arrays import IGNORED, Integers
from benchbench.spec.protocol import Protocol

Words = NDArray[np.uint64]
"""Masks as bits, 64 voxels in a word."""
_AT_ONCE = 8
"""Number of slices whose bits are made and counted in the processor's cache."""
_HAS_BITWISE_COUNT = hasattr(np, "bitwise_count")  # from NumPy 2 on


def count_voxels(reference: Tensor, prediction: Tensor, scored: Tensor) -> Tensor:
    """Return tp, fp, fn, tn of each sample and region, int64 (B, K, 4), for two bool masks (B, K, *space).

    `scored`, bool (B, 1 or K, *space), is False in ignored voxels, which are not counted.
    """
    if _is_on_cpu(reference):
        return _count_bits(reference, prediction, scored)
    axes = tuple(range(2, reference.ndim))
    reference = reference & scored
    prediction = prediction & scored
    tp = (reference & prediction).sum(axes)
    fp = prediction.sum(axes) - tp
    fn = reference.sum(axes) - tp
    voxels = scored.flatten(2).sum(2)
    tn = voxels - tp - fp - fn
    return torch.stack([tp, fp, fn, tn], -1)


def _is_on_cpu(voxels: Tensor) -> bool:
    return voxels.device.type == "cpu" and not torch.compiler.is_compiling()


def _count_bits(reference: Tensor, prediction: Tensor, scored: Tensor) -> Tensor:
    """Return what `count_voxels` does from eight voxels a byte, an eighth of the time of sums of bool tensors."""
    in_scored = _bits(scored)
    return _count_words(_bits(reference) & in_scored, _bits(prediction) & in_scored, _set_bits(in_scored))


def _count_labels(labels: Tensor, prediction: Tensor) -> Tensor:
    """Return what `count_regions` does without background; no mask of the reference is made, only its bits."""
    regions = prediction.shape[1]
    in_reference, in_prediction = _region_bits(labels, regions), _bits(prediction)
    if not is_partial(labels) and labels.numpy().max() < IGNORED:
        return _count_words(in_reference, in_prediction, np.array(labels[0].numel()))
    in_scored = _bits(scored_by_region(labels, regions))
    return _count_words(in_reference & in_scored, in_prediction & in_scored, _set_bits(in_scored))


def _count_words(reference: Words, prediction: Words, scored: Integers) -> Tensor:
    """Return tp, fp, fn, tn of bits (B, K, words); `scored` is the number of scored voxels, one or (B, 1 or K)."""
    tp = _set_bits(reference & prediction)
    fp = _set_bits(prediction) - tp
    fn = _set_bits(reference) - tp
    tn = scored - tp - fp - fn
    return torch.from_numpy(np.stack([tp, fp, fn, tn], -1))


def _bits(masks: Tensor) -> Words:
    """Return masks (B, K, *space) as bits (B, K, words), with zeros at the end."""
    voxels = masks.flatten(2).numpy()
    words = _zeros(voxels.shape)
    _fill(words, voxels)
    return words


def _region_bits(labels: Tensor, regions: int) -> Words:
    """Return the masks of the regions of bit masks (B, *space) as bits (B, K, words), with zeros at the end."""
    voxels = labels.flatten(1).numpy()
    words = _zeros((len(voxels), regions, voxels.shape[1]))
    bit = np.empty_like(voxels)
    for region in range(regions):
        np.bitwise_and(voxels, voxels.dtype.type(1 << region), out=bit)
        _fill(words[:, region], bit)
    return words


def _zeros(shape: Sequence[int]) -> Words:
    """Return words for masks (..., voxels)."""
    *samples, voxels = shape
    return np.zeros((*samples, -(-voxels // 64)), np.uint64)


def _fill(words: Words, voxels: NDArray[Any]) -> None:
    """Set the bits of the voxels (..., N) that are not 0."""
    packed = np.packbits(voxels, axis=-1)
    words.view(np.uint8)[..., : packed.shape[-1]] = packed


def _set_bits(words: Words) -> Integers:
    """Return the number of bits of each mask (B, K) that are set."""
    if _HAS_BITWISE_COUNT:
        return np.bitwise_count(words).sum(-1, dtype=np.int64)
    return np.unpackbits(words.view(np.uint8), axis=-1).sum(-1, dtype=np.int64)


def count_logits(logits: Tensor, labels: Tensor, protocol: Protocol) -> Tensor:
    """Return tp, fp, fn, tn of logits (B, K, *space) against bit masks (B, *space): int64 (B, K, 4).

    With a softmax they are counted for every class, (B, 1 + K, 4), background first. A region without label has
    counts of 0; a voxel that is predicted as one counts as background.
    """
    prediction = masks_of_logits(logits, protocol.activation)
    return count_regions(prediction, labels, has_background=protocol.activation == "softmax")


def count_regions(prediction: Tensor, labels: Tensor, *, has_background: bool) -> Tensor:
    """Return the counts of predicted masks (B, K, *space) against bit masks (B, *space).

    With the background they are (B, 1 + K, 4), without it (B, K, 4).
    """
    if not has_background and _is_on_cpu(labels):
        parts = zip(labels.split(_AT_ONCE), prediction.split(_AT_ONCE), strict=True)
        return torch.cat([_count_labels(*part) for part in parts])
    reference = region_masks(labels, prediction.shape[1])
    scored = scored_by_region(labels, prediction.shape[1])
    if has_background:
        if is_partial(labels):
            prediction = prediction & scored
            everywhere = scored_voxels(labels, reference.shape[1])[:, None]
            scored = torch.cat([everywhere, scored], 1)
        reference, prediction = with_background(reference), with_background(prediction)
    return count_voxels(reference, prediction, scored)


def counted_classes(protocol: Protocol, regions: int) -> int:
    """Return the number of regions, or of classes with a softmax, that `count_logits` counts."""
    return regions + 1 if protocol.activation == "softmax" else regions
