"""The texts of tiny benchmark files that the scripts of this folder rehearse."""

from __future__ import annotations

from collections.abc import Sequence

_HEAD = """
title = "{title}"
datasets = [{{ name = "lgg" }}]
"""
_NETWORK = """
models = [{ name = "unet", widths = [2, 4] }]
"""
_NETWORKS = """
[[models]]
name = "unet"
{size}

[[models]]
name = "unet"
label = "unet_without_norm"
{size}
norm = "none"

[[ensembles]]
name = "both"
"""
_PROTOCOL = """
[protocol]
patch = [32, 32]
{design}
epochs = {epochs}
batch = {batch}
optimizer = {{ name = "adam", lr = 1e-2 }}
loss = "bce+dice"
augment = [{{ name = "flip" }}, {{ name = "rotate", degrees = 15, p = 0.5 }}]

[[tables]]
rows = "fold"
columns = "model"
value = "dice"

[rehearse]
data = {{ patients = 4, size = 32 }}
"""


def one_network(title: str, *, seeds: Sequence[int], epochs: int) -> str:
    """Return a benchmark of one network on one split, with a run for each seed."""
    design = f"folds = 1\ntest = 0.25\nseeds = {list(seeds)}"
    return _HEAD.format(title=title) + _NETWORK + _PROTOCOL.format(design=design, epochs=epochs, batch=64)


def two_networks(title: str, *, epochs: int, size: str = "widths = [2, 4]") -> str:
    """Return a benchmark of two networks and their ensemble on two folds; `size` is a key of a U-Net."""
    networks = _NETWORKS.format(size=size)
    return _HEAD.format(title=title) + networks + _PROTOCOL.format(design="folds = 2", epochs=epochs, batch=16)
