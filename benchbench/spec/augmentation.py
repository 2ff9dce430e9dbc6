"""The augmentation steps that a protocol can name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Tag

from benchbench.spec.strict import NonNegative, Positive, Probability, Strict

PositiveInterval = tuple[Positive, Positive]
Interval = tuple[NonNegative, NonNegative]


class Flip(Strict):
    """Mirrors each spatial axis with probability `p`."""

    name: Literal["flip"]
    p: Probability = 0.5


class Rot90(Strict):
    """A quarter, half or three-quarter turn of slices, each as likely."""

    name: Literal["rot90"]
    p: Probability = 0.5


class Transpose(Strict):
    """Swaps the two spatial axes of slices."""

    name: Literal["transpose"]
    p: Probability = 0.5


class Rotate(Strict):
    """A turn of slices by an angle drawn from [-degrees, degrees]."""

    name: Literal["rotate"]
    degrees: Positive
    p: Probability = 0.5


class Shift(Strict):
    """A move along each axis, drawn from [-fraction, fraction] of the patch."""

    name: Literal["shift"]
    fraction: Probability
    p: Probability = 0.5


class Scale(Strict):
    """A zoom about the centre; above 1 magnifies. Of slices it is linear; labels take their nearest pixel."""

    name: Literal["scale"]
    range: PositiveInterval
    interpolation: Literal["linear", "cubic"] = "linear"
    p: Probability = 0.5


class Brightness(Strict):
    """Adds a number drawn from [-limit, limit]; images are in [0, 1] or in standard deviations."""

    name: Literal["brightness"]
    limit: Positive
    p: Probability = 0.5


class MultiplicativeBrightness(Strict):
    """Multiplies by a number drawn from `range`."""

    name: Literal["multiplicative_brightness"]
    range: Interval
    p: Probability = 0.5


class Contrast(Strict):
    """Stretches each channel about its mean or about 0, clipped to the range it had."""

    name: Literal["contrast"]
    range: Interval
    about: Literal["mean", "zero"] = "mean"
    p: Probability = 0.5


class Gamma(Strict):
    """Raises each channel, rescaled to [0, 1] by its own range and back, to a power."""

    name: Literal["gamma"]
    range: PositiveInterval
    p: Probability = 0.5


class Noise(Strict):
    """Gaussian noise of a standard deviation drawn from `sigma`."""

    name: Literal["noise"]
    sigma: Interval
    p: Probability = 0.5


class Blur(Strict):
    """A Gaussian blur of a width in pixels drawn from `sigma`."""

    name: Literal["blur"]
    sigma: Interval
    p: Probability = 0.5


Transform = (
    Flip
    | Rot90
    | Transpose
    | Rotate
    | Shift
    | Scale
    | Brightness
    | MultiplicativeBrightness
    | Contrast
    | Gamma
    | Noise
    | Blur
)


class Albumentations(BaseModel):
    """Any albumentations transform by name, a step on the host; its parameters stand beside the name."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    albumentations: str

    @property
    def params(self) -> Mapping[str, Any]:
        """What is handed to the transform, `p` included."""
        return self.model_extra or {}


def _step_kind(step: object) -> object:
    if isinstance(step, Mapping):
        return "albumentations" if "albumentations" in step else step.get("name", "")
    return getattr(step, "name", "albumentations")


AugmentStep = Annotated[
    Annotated[Flip, Tag("flip")]
    | Annotated[Rot90, Tag("rot90")]
    | Annotated[Transpose, Tag("transpose")]
    | Annotated[Rotate, Tag("rotate")]
    | Annotated[Shift, Tag("shift")]
    | Annotated[Scale, Tag("scale")]
    | Annotated[Brightness, Tag("brightness")]
    | Annotated[MultiplicativeBrightness, Tag("multiplicative_brightness")]
    | Annotated[Contrast, Tag("contrast")]
    | Annotated[Gamma, Tag("gamma")]
    | Annotated[Noise, Tag("noise")]
    | Annotated[Blur, Tag("blur")]
    | Annotated[Albumentations, Tag("albumentations")],
    Discriminator(_step_kind),
]
