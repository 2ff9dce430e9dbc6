"""What can be chosen of the network, and what does not go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchbench import Geometry
from benchbench_models.requirements import Requirements

BackboneName = Literal["resnet18", "resnet34", "resnet50", "resnet101"]
Selection = Literal["learned", "two_stage", "two_stage+mask_boxes"]

STRIDE = 32


@dataclass(frozen=True, kw_only=True)
class Design:
    """One Mask DINO of all."""

    backbone: BackboneName
    frozen_batch_norm: bool
    encoder_layers: int
    decoder_layers: int
    queries: int
    selection: Selection
    points: int

    def check(self, geometry: Geometry) -> None:
        """Raises IncompatibleError where no such network can be built."""
        require = Requirements("mask_dino")
        require.at_least(
            1,
            encoder_layers=self.encoder_layers,
            decoder_layers=self.decoder_layers,
            queries=self.queries,
            points=self.points,
        )
        patch = list(geometry.patch)
        require.that(
            not any(size % STRIDE for size in patch),
            f"patch is {patch}, expected multiples of {STRIDE}; change the protocol's patch",
        )
        places = sum(patch[0] // stride * (patch[1] // stride) for stride in (8, 16, 32))
        require.that(
            self.selection == "learned" or self.queries <= places,
            f"queries is {self.queries}, but a patch of {patch} has {places} places to choose them from; choose"
            " fewer, or selection 'learned'",
        )
        require.check()
