"""The choices of a network, and which of them exclude each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchbench import Geometry
from benchbench_models.requirements import Requirements

BackboneName = Literal["resnet18", "resnet34", "resnet50", "resnet101"]
Selection = Literal["learned", "two_stage", "two_stage+mask_boxes"]
ScoreRule = Literal["auto", "probability", "published"]

STRIDE = 32


@dataclass(frozen=True, kw_only=True)
class Design:
    """The parameters of `build` that decide which network is built."""

    backbone: BackboneName
    frozen_batch_norm: bool
    encoder_layers: int
    decoder_layers: int
    queries: int
    selection: Selection
    points: int
    scores: Literal["probability", "published"] = "probability"

    def check(self, geometry: Geometry) -> None:
        """Raise IncompatibleError if no such network can be built for the geometry."""
        require = Requirements("mask_dino")
        require.at_least(
            1,
            encoder_layers=self.encoder_layers,
            decoder_layers=self.decoder_layers,
            queries=self.queries,
            points=self.points,
        )
        require.patch_multiple_of(STRIDE, geometry.patch)
        height, width = geometry.patch
        places = sum((height // stride) * (width // stride) for stride in (8, 16, 32))
        require.that(
            self.selection == "learned" or self.queries <= places,
            f"queries is {self.queries}, but a patch of {[height, width]} has {places} places to select them from;"
            " choose fewer, or selection 'learned'",
        )
        require.check()
