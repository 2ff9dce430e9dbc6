"""Augmentation steps of plugins, applied to one sample after the other on its device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchbench.contract import TransformPlugin
from benchbench.errors import PluginError
from benchbench.registry.extensions import build_once, extension
from benchbench.registry.faults import plugin_faults
from benchbench.spec.plugin_choice import PluginTransform


def apply_plugin(
    images: Tensor, labels: Tensor, step: PluginTransform, *, seeds: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return images (B, C, *patch) and labels (B, *patch); the seed of each sample decides its change.

    Raises:
        PluginError: the plugin is missing, fails, or returns other shapes or types.
    """
    plugin = extension(TransformPlugin, step.plugin)
    transform = build_once(plugin.name, plugin.build, step.params)
    new_images, new_labels = images.clone(), labels.clone()
    for number, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        if float(torch.rand((), generator=generator)) >= step.p:
            continue
        with plugin_faults(step.plugin, "the transform", PluginError):
            image, label = transform(images[number].clone(), labels[number].clone(), generator)
        _check(step, "image", image, images[number])
        _check(step, "label", label, labels[number])
        new_images[number], new_labels[number] = image, label
    return new_images, new_labels


def _check(step: PluginTransform, part: str, changed: Tensor, given: Tensor) -> None:
    if changed.shape != given.shape or changed.dtype != given.dtype:
        raise PluginError(
            f"transform '{step.plugin}': found {part} {tuple(changed.shape)} {changed.dtype}, expected"
            f" {tuple(given.shape)} {given.dtype}; correct its plugin"
        )
