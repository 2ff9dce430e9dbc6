"""Mask DINO: queries that each find one class, its box and its mask, on a ResNet, in 2D.

Source: Li et al. 2023, arXiv:2206.02777; as published in IDEA-Research/MaskDINO, commit 3831d85, semantic
segmentation of ADE20K. Each part names its own sources and where it differs; for the whole:
Differs: no detectron2 and no compiled operator; any number of input channels; batch normalisation is trained unless
frozen, since frozen it normalises nothing without published weights; images come as the protocol prepares them
instead of by the mean and deviation of ImageNet; optimiser, clipping and augmentation are the protocol's, the same
for every model; scores are made probabilities (`scores`).
Not offered: the focal loss of the class, the fourth map and the boxes from inclusive edges of other configurations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbench import Geometry, IncompatibleError, ModelPlugin, hookimpl
from benchbench_models.mask_dino.backbone import Name
from benchbench_models.mask_dino.model import MaskDino
from benchbench_models.mask_dino.selection import Selection

if TYPE_CHECKING:
    from torch import nn

STRIDE = 32


def build(
    geometry: Geometry,
    *,
    backbone: Name = "resnet50",
    frozen_batch_norm: bool = False,
    encoder_layers: int = 6,
    decoder_layers: int = 9,
    queries: int = 100,
    selection: Selection = "learned",
    points: int = 12_544,
    weights: str = "",
) -> nn.Module:
    """Mask DINO"""
    return MaskDino(geometry, backbone=backbone, frozen_batch_norm=frozen_batch_norm, encoder_layers=encoder_layers,
        decoder_layers=decoder_layers, queries=queries, selection=selection, points=points)


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    return [ModelPlugin(name="mask_dino", build=build, source="arXiv:2206.02777", ndims=frozenset({2}))]
