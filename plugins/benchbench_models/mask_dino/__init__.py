"""Mask DINO: queries that each find one class, its box and its mask, on a ResNet, in 2D.

Source: Li et al. 2023, arXiv:2206.02777; as published in IDEA-Research/MaskDINO, commit 3831d85, semantic
segmentation of ADE20K. The parts name sources of their own and where they differ; for the whole:
Differs: no detectron2 and no compiled operator; any number of input channels; batch normalisation is trained
unless frozen; images come as the protocol prepares them, not by the mean and deviation of ImageNet; optimiser,
rates, clipping and augmentation are the protocol's, as for every model; scores are made probabilities (`scores`).
Not offered: other configurations' focal loss of the class, fourth map, and boxes of masks with inclusive edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbench import Geometry, ModelPlugin, hookimpl
from benchbench_models.mask_dino.design import BackboneName, Design, Selection

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def build(
    geometry: Geometry,
    *,
    backbone: BackboneName = "resnet50",
    frozen_batch_norm: bool = False,
    encoder_layers: int = 6,
    decoder_layers: int = 9,
    queries: int = 100,
    selection: Selection = "learned",
    points: int = 12_544,
    weights: str = "",
) -> nn.Module:
    """Mask DINO with one class for each output channel, trained by a loss of its own in place of the protocol's.

    backbone: the network whose feature maps are decoded.
    frozen_batch_norm: the backbone's batch normalisation is fixed, and normalises nothing without `weights`.
    encoder_layers: of deformable attention over the feature maps.
    decoder_layers: of attention of the queries to the feature maps; each predicts, and is trained.
    queries: masks that are predicted for an image.
    selection: queries are "learned", or those of the places of the image where an object is likeliest
        ("two_stage"), with the boxes of their masks to begin with ("two_stage+mask_boxes").
    points: of every mask, at which costs and losses read it.
    weights: the name that `benchbench convert mask_dino FILE` prints for a published checkpoint of three maps.

    Memory of training the default in fp32: 0.7 GB for parameters, gradients and Adam, and 0.7 GB for each image of
    256 x 256 in the batch, kept until its gradient is known. On a CPU the whole process was measured to need
    2.9 GB at most for one image, 4.1 for two and 6.1 for four, and a core 5 s for each image of a step.

    Raises:
        IncompatibleError: a parameter is out of range or does not go with the patch, or the weights do not fit.
        DataError: the weights are not there or not what their name says.
    """
    design = Design(
        backbone=backbone,
        frozen_batch_norm=frozen_batch_norm,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        queries=queries,
        selection=selection,
        points=points,
    )
    design.check(geometry)
    from benchbench_models.mask_dino.model import MaskDino  # noqa: PLC0415 torchvision and scipy take a while

    model = MaskDino(geometry, design)
    if weights:
        from benchbench_models.mask_dino.weights import load_weights  # noqa: PLC0415

        model.pretrained = load_weights(model, weights)
    return model


def convert(file: Path) -> str:
    """Makes a published checkpoint ready for use and returns the name that the parameter `weights` takes.

    Raises:
        DataError: the file is not there, holds anything but tensors, or those of another network.
    """
    from benchbench_models.mask_dino import weights  # noqa: PLC0415 as above

    return weights.convert(file)


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    return [
        ModelPlugin(
            name="mask_dino",
            build=build,
            source="arXiv:2206.02777",
            ndims=frozenset({2}),
            licence="published weights: Apache-2.0, IDEA-Research/MaskDINO",
            needs=("torchvision", "scipy"),
            convert=convert,
        )
    ]
