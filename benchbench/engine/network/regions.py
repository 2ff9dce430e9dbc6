"""Masks of regions: from bit masks, from logits and from probabilities.

A sigmoid gives each of K regions a channel of its own. A softmax gives K disjoint classes and the background,
which is channel 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchbench.images.arrays import IGNORED, MOST_REGIONS
from benchbench.spec.protocol import Activation


def region_masks(labels: Tensor, regions: int) -> Tensor:
    """Return the mask of each region, bool (B, K, *space), for bit masks (B, *space)."""
    labels = labels.unsqueeze(1)
    if regions == 1:  # a GPU is then asked for two kernels in place of five
        return (labels & 1) != 0
    bits = 1 << torch.arange(regions, device=labels.device, dtype=labels.dtype)
    return (labels & _along_channels(bits, labels.ndim)).bool()  # on a CPU a third of the time of != 0


def scored_voxels(labels: Tensor, regions: int) -> Tensor:
    """Return bool (B, *space), False in the ignored voxels of bit masks (B, *space) of some number of regions."""
    if regions == MOST_REGIONS:  # their bits leave none for ignored voxels
        return torch.ones_like(labels, dtype=torch.bool)
    if is_partial(labels):
        return labels & IGNORED == 0
    return labels < IGNORED


def is_partial(labels: Tensor) -> bool:
    """Return True for bit masks of `mark_unlabelled`, which say which regions are labelled."""
    return labels.dtype == torch.int32


def labelled_regions(labels: Tensor, regions: int) -> Tensor:
    """Return bool (B, K), False where a region of a sample is not labelled, for bit masks of `mark_unlabelled`."""
    numbers = torch.arange(regions, device=labels.device, dtype=labels.dtype)
    marks = labels.flatten(1)[:, :1] >> MOST_REGIONS
    return marks >> numbers & 1 == 0


def scored_by_region(labels: Tensor, regions: int) -> Tensor:
    """Return bool (B, 1 or K, *space), False in ignored voxels, and in all voxels of a region without label."""
    scored = scored_voxels(labels, regions)[:, None]
    if not is_partial(labels):
        return scored
    labelled = labelled_regions(labels, regions)
    return scored & labelled.view(*labelled.shape, *[1] * (labels.ndim - 1))


def with_background(masks: Tensor) -> Tensor:
    """Return the mask of every class (B, 1 + K, *space), background first, for disjoint regions (B, K, *space)."""
    background = ~masks.any(1, keepdim=True)
    return torch.cat([background, masks], 1)


def activate(logits: Tensor, activation: Activation) -> Tensor:
    """Return the probabilities of logits (B, K, *space): of each region on its own, or of one class per voxel."""
    return logits.softmax(1) if activation == "softmax" else logits.sigmoid()


def activate_in_place(logits: Tensor, activation: Activation) -> Tensor:
    """Return the logits (B, K, *space), overwritten with what `activate` returns for them."""
    if activation == "softmax":
        return torch.softmax(logits, 1, out=logits)
    return logits.sigmoid_()


def masks_of_logits(logits: Tensor, activation: Activation) -> Tensor:
    """Return the mask of each region, bool (B, K, *space), for logits (B, K or 1 + K, *space).

    Sigmoid: a probability above one half. Softmax: the most probable class.
    """
    return _decide(logits, activation, threshold=0.0)


def masks_of_probabilities(probabilities: Tensor, activation: Activation) -> Tensor:
    """Return the mask of each region, bool (B, K, *space), for probabilities (B, K or 1 + K, *space).

    Sigmoid: a probability above one half. Softmax: the most probable class.
    """
    return _decide(probabilities, activation, threshold=0.5)


def _decide(values: Tensor, activation: Activation, *, threshold: float) -> Tensor:
    if activation == "sigmoid":
        return values > threshold
    classes = torch.arange(1, values.shape[1], device=values.device)
    return values.argmax(1, keepdim=True) == _along_channels(classes, values.ndim)


def _along_channels(values: Tensor, ndim: int) -> Tensor:
    """Return (K,) with axes of length 1 after it, so that it broadcasts over (B, K, *space) of `ndim` axes."""
    return values.view(-1, *[1] * (ndim - 2))
