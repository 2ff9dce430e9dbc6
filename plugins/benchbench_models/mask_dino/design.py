"""What can be chosen of the network, and what does not go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from benchbench import Geometry

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

    def problems(self, geometry: Geometry) -> Iterator[str]:
        """Why no such network can be built, a line each."""
        for name in ("encoder_layers", "decoder_layers", "queries", "points"):
            if getattr(self, name) < 1:
                yield f"mask_dino: {name} is {getattr(self, name)}, expected at least 1; choose another"
        if any(size % STRIDE for size in geometry.patch):
            yield (
                f"mask_dino: patch is {list(geometry.patch)}, expected multiples of {STRIDE};"
                " change the protocol's patch"
            )
        places = sum(geometry.patch[0] // stride * (geometry.patch[1] // stride) for stride in (8, 16, 32))
        if self.selection != "learned" and self.queries > places:
            yield (
                f"mask_dino: queries is {self.queries}, but a patch of {list(geometry.patch)} has {places} places"
                " to choose them from; choose fewer, or selection 'learned'"
            )
