"""The augmentation steps of a protocol: `augment` in [protocol] is a list of them.

Spatial steps are combined into one resampling: images by linear interpolation unless a step says cubic, labels by
the nearest pixel, zeros beyond the border. Intensity steps change each sample (a slice or a patch) on the scale
that `intensity` gives: values in [0, 1] or standard deviations. Whether a step is applied is drawn for each sample
separately.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Tag

from benchbench.spec.plugin_choice import PluginTransform, is_plugin
from benchbench.spec.strict import NonNegative, Positive, Probability, Strict

PositiveInterval = tuple[Positive, Positive]
Interval = tuple[NonNegative, NonNegative]


class Flip(Strict):
    """Mirror the sample along each spatial axis, each with probability `p` independently of the others."""

    name: Literal["flip"]
    p: Probability = 0.5
    """Probability of mirroring one axis of a sample."""


class Rot90(Strict):
    """Rotate a slice by 90, 180 or 270 degrees, with equal chances. 2D only; the patch must be square."""

    name: Literal["rot90"]
    p: Probability = 0.5
    """Probability of rotating a sample."""


class Transpose(Strict):
    """Swap the two spatial axes of a slice. 2D only; the patch must be square."""

    name: Literal["transpose"]
    p: Probability = 0.5
    """Probability of transposing a sample."""


class Rotate(Strict):
    """Rotate a slice about its centre by a random angle. 2D only."""

    name: Literal["rotate"]
    degrees: Positive
    """Largest angle in degrees; the angle is drawn uniformly from [-degrees, degrees]."""
    p: Probability = 0.5
    """Probability of rotating a sample."""


class Shift(Strict):
    """Shift the sample by a random distance along each axis."""

    name: Literal["shift"]
    fraction: Probability
    """Largest shift as a fraction of the patch size; drawn uniformly from [-fraction, fraction] for each axis."""
    p: Probability = 0.5
    """Probability of shifting a sample."""


class Scale(Strict):
    """Scale the sample about its centre by a random factor, the same for all axes."""

    name: Literal["scale"]
    range: PositiveInterval
    """Lowest and highest factor; the factor is drawn uniformly. A factor above 1 magnifies."""
    interpolation: Literal["linear", "cubic"] = "linear"
    """Interpolation of images: linear, or cubic for 3D patches. Labels always take the nearest voxel."""
    p: Probability = 0.5
    """Probability of scaling a sample."""


class Brightness(Strict):
    """Add a random number to all values of the sample."""

    name: Literal["brightness"]
    limit: Positive
    """Largest change, on the scale of the image; drawn uniformly from [-limit, limit]."""
    p: Probability = 0.5
    """Probability of changing a sample."""


class MultiplicativeBrightness(Strict):
    """Multiply all values of the sample by a random factor."""

    name: Literal["multiplicative_brightness"]
    range: Interval
    """Lowest and highest factor; the factor is drawn uniformly."""
    p: Probability = 0.5
    """Probability of changing a sample."""


class Contrast(Strict):
    """Multiply the distance of values from a centre by a random factor, clipped to the channel's former range."""

    name: Literal["contrast"]
    range: Interval
    """Lowest and highest factor; the factor is drawn uniformly. A factor above 1 increases the contrast."""
    about: Literal["mean", "zero"] = "mean"
    """Centre of the change: mean is the mean of each channel, zero is the value 0."""
    p: Probability = 0.5
    """Probability of changing a sample."""


class Gamma(Strict):
    """Raise each channel, rescaled to [0, 1] by its own range, to a random power; then restore the range."""

    name: Literal["gamma"]
    range: PositiveInterval
    """Lowest and highest power; the power is drawn uniformly."""
    p: Probability = 0.5
    """Probability of changing a sample."""


class Noise(Strict):
    """Add Gaussian noise with mean 0, independent in every voxel."""

    name: Literal["noise"]
    sigma: Interval
    """Lowest and highest standard deviation on the scale of the image; the deviation is drawn uniformly."""
    p: Probability = 0.5
    """Probability of changing a sample."""


class Blur(Strict):
    """Blur the sample with a Gaussian kernel."""

    name: Literal["blur"]
    sigma: Interval
    """Lowest and highest standard deviation of the kernel in pixels; the deviation is drawn uniformly."""
    p: Probability = 0.5
    """Probability of changing a sample."""


class Albumentations(BaseModel):
    """A transform of the albumentations library, applied on the CPU. 2D only.

    Every other key of the step, such as `p`, is a parameter of the transform.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    albumentations: str
    """Class name of the transform in albumentations, such as "ElasticTransform"."""

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters that are passed to the transform, `p` included."""
        return self.model_extra or {}


def _step_kind(step: object) -> object:
    """Return the tag of a step for the tagged union below; a step is a mapping or an instance."""
    if is_plugin(step):
        return "plugin"
    if not isinstance(step, Mapping):
        return getattr(step, "name", "albumentations")
    if "albumentations" in step:
        return "albumentations"
    return step.get("name", "")


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
    | Annotated[Albumentations, Tag("albumentations")]
    | Annotated[PluginTransform, Tag("plugin")],
    Discriminator(_step_kind),
]
