"""Mask DINO: queries that predict a class, its box and its mask from the features of a ResNet, in 2D.

Source: Li et al. 2023, arXiv:2206.02777; as published in IDEA-Research/MaskDINO, commit 3831d85, semantic
segmentation of ADE20K. The modules name further sources and differences of their own; for the whole network:
Differs: no detectron2 and no compiled operator; any number of input channels; batch normalisation is trained
unless frozen; images are prepared as the protocol says, not by the mean and deviation of ImageNet; optimiser,
rates, clipping and augmentation are the protocol's, as for every model; without published weights, scores are
turned into probabilities (see `scores`); an image with fewer pixels than `points` has as many points as pixels.
Not offered: the focal loss of the class, the fourth map and the boxes of masks with inclusive edges of other
configurations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbench import Geometry, ModelPlugin, hookimpl
from benchbench_models.mask_dino.design import BackboneName, Design, ScoreRule, Selection

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
    scores: ScoreRule = "auto",
    weights: str = "",
) -> nn.Module:
    """Return Mask DINO with one class for each output channel; it is trained by its own loss, not the protocol's.

    backbone: the network whose feature maps are decoded.
    frozen_batch_norm: the backbone's batch normalisation is fixed, and normalises nothing without `weights`.
    encoder_layers: number of layers of deformable attention over the feature maps.
    decoder_layers: number of layers of attention from the queries to the feature maps; the loss trains the
        prediction of every layer.
    queries: number of masks that are predicted for an image.
    selection: queries are "learned", or selected at the places of the image where an object is most likely
        ("two_stage"), with the boxes of their masks as the first boxes ("two_stage+mask_boxes").
    points: number of points of every mask from which costs and losses are computed, at most as many as
        the image has pixels.
    scores: how class and mask predictions of the queries become a map for each class: "published", as the source
        segments an image; "probability", which suits a threshold of one half (see `scores`); "auto" is published
        with `weights`, otherwise probability.
    weights: the name that `benchbench convert mask_dino FILE` prints for a published checkpoint of three maps.

    Memory of training the default in fp32: 0.7 GB for parameters, gradients and Adam, and 0.7 GB of activations
    for each image of 256 x 256 in the batch. On a CPU, the whole process was measured to need 2.9 GB at most for
    one image, 4.1 for two and 6.1 for four, and one core 5 s for each image of a step.

    Raises:
        IncompatibleError: a parameter is out of its range or does not fit the patch, or the weights do not fit.
        DataError: the weights are missing, or their content differs from the digits in their name.
    """
    if scores == "auto":
        scores = "published" if weights else "probability"
    design = Design(
        backbone=backbone,
        frozen_batch_norm=frozen_batch_norm,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        queries=queries,
        selection=selection,
        points=points,
        scores=scores,
    )
    design.check(geometry)
    from benchbench_models.mask_dino.model import MaskDino  # noqa: PLC0415 importing torchvision and scipy is slow

    model = MaskDino(geometry, design)
    if weights:
        from benchbench_models.mask_dino.weights import load_weights  # noqa: PLC0415

        model.pretrained = load_weights(model, weights)
        model.pretrained_on = ("ImageNet", "photographs of the published checkpoint")
    return model


def convert(file: Path) -> str:
    """Convert a published checkpoint and return the name to set as the parameter `weights`.

    Raises:
        DataError: the file is missing, contains anything but tensors, or those of another network.
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
            compiles=False,  # the number of targets differs from step to step, and each would be compiled
            convert=convert,
        )
    ]
