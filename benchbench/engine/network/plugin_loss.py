"""The loss of a plugin: whole batches, or groups of samples with the same labelled regions."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

from benchbench.contract import LossPlugin
from benchbench.engine.network.regions import is_partial, labelled_regions, region_masks, scored_voxels
from benchbench.errors import PluginError
from benchbench.images.arrays import IGNORED
from benchbench.registry.extensions import build_once, extension
from benchbench.spec.plugin_choice import PluginLoss


def plugin_loss(loss: PluginLoss, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a plugin, a scalar.

    Samples with the same labelled regions are computed together, with the channels of these regions only; their
    losses count by their number.

    Raises:
        PluginError: it is no scalar of floating point.
    """
    if not is_partial(labels):
        return _of_samples(loss, logits, labels)
    labelled = labelled_regions(labels, logits.shape[1] - loss.is_softmax)
    patterns, pattern_of = labelled.unique(dim=0, return_inverse=True)
    terms = []
    for number, pattern in enumerate(patterns):
        samples = pattern_of == number
        channels = F.pad(pattern, (1, 0), value=True) if loss.is_softmax else pattern
        value = _of_samples(loss, logits[samples][:, channels], _of_pattern(labels[samples], pattern))
        terms.append(value * samples.sum() / len(labels))
    return torch.stack(terms).sum()


def _of_pattern(labels: Tensor, labelled: Tensor) -> Tensor:
    """Return the bit masks (B, *space) of the labelled regions (K,) alone, without marks."""
    masks = region_masks(labels, len(labelled))[:, labelled]
    numbers = torch.arange(masks.shape[1], device=labels.device)
    bits = (masks << numbers.view(-1, *[1] * (labels.ndim - 1))).sum(1)
    return torch.where(scored_voxels(labels, len(labelled)), bits, IGNORED).to(torch.uint8)


def _of_samples(loss: PluginLoss, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a plugin for samples in which all regions are labelled."""
    regions = logits.shape[1] - loss.is_softmax
    scored = scored_voxels(labels, regions)
    plugin = extension(LossPlugin, loss.plugin)
    compute = build_once(plugin.name, plugin.build, loss.params)
    value = compute(logits.float(), region_masks(labels, regions).bool(), scored)
    if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
        raise PluginError(f"loss '{loss.plugin}': found {value!r}, expected a scalar tensor; correct its plugin")
    return value
