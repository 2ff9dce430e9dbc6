"""The protocol: whatever could make two models' numbers differ unfairly, as data.

Every field is written in the benchmark file's [protocol] table. Nothing here is code that a model or a
dataset could bend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from benchbench.spec.document import nearest
from benchbench.spec.metric_names import Metric

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
NonNegativeCount = Annotated[int, Field(ge=0)]
PositiveInterval = tuple[Positive, Positive]
Interval = tuple[NonNegative, NonNegative]

EmptyPolicy = Literal["score", "nnunet", "monai", "brats", "zero", "stratify"]
Loss = Literal["bce+dice", "ce+dice", "bce", "ce", "dice", "focal+dice"]
Activation = Literal["sigmoid", "softmax"]
SliceAxis = Literal["axial", "coronal", "sagittal"]
Intensity = Literal["unit", "zscore", "zscore_nonzero", "percentile"]
Denoise = Literal["none", "tv"]

_MOST_SEARCHED = 6  # each nested region takes ten times the memory and time


class Strict(BaseModel):
    """A table of the benchmark file: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Adam(Strict):
    """Adam; weight decay enters the gradient.

    Source: Kingma and Ba 2015, arXiv:1412.6980.
    """

    name: Literal["adam"]
    lr: Positive
    weight_decay: NonNegative = 0.0


class AdamW(Strict):
    """Adam with decoupled weight decay.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """

    name: Literal["adamw"]
    lr: Positive
    weight_decay: NonNegative = 0.01


class Sgd(Strict):
    """Stochastic gradient descent; Nesterov's form where there is momentum."""

    name: Literal["sgd"]
    lr: Positive
    momentum: Probability = 0.0
    weight_decay: NonNegative = 0.0


Optimizer = Annotated[Adam | AdamW | Sgd, Field(discriminator="name")]


class Constant(Strict):
    """The optimiser's learning rate throughout."""

    name: Literal["constant"]


class Cosine(Strict):
    """Half a cosine from the optimiser's learning rate at the first epoch towards `min_lr`."""

    name: Literal["cosine"]
    min_lr: NonNegative = 0.0


class WarmupCosine(Strict):
    """A linear rise over `warmup_steps` optimiser steps, then half a cosine, step by step."""

    name: Literal["warmup_cosine"]
    warmup_steps: Count
    min_lr: NonNegative = 0.0


class Plateau(Strict):
    """Times `factor` whenever the validation loss has not fallen for more than `patience` epochs."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 10
    min_lr: NonNegative = 0.0


Schedule = Annotated[Constant | Cosine | WarmupCosine | Plateau, Field(discriminator="name")]


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


class EarlyStopping(Strict):
    """Ends a run when `select` has not improved on the inner validation for more than `patience` epochs."""

    patience: Count


class Postprocess(Strict):
    """How probabilities become masks, and which doubtful parts of these are removed.

    Region by region, in the task's order: where the probability is not below the threshold; then without small
    components, face to face; then without the whole region, if what remains is small. Only what is unsure is
    removed: what has a mean probability below `sure`.
    """

    nested: bool = False
    """The task's regions lie one in the other, the outermost first: a voxel is in none that an outer one lacks."""
    thresholds: dict[str, Probability] = {}
    """Region -> probability; 0.5 where none is given."""
    components: dict[str, NonNegativeCount] = {}
    """Region -> voxels; smaller components are removed from it, and with it from those inside it."""
    totals: dict[str, NonNegativeCount] = {}
    """Region -> voxels; if fewer are left of it, all of it is removed."""
    sure: Probability = 0.9
    search: bool = False
    """Thresholds of all regions from 0.3 to 0.7, then sizes of the `components` named from 0 to 100, are chosen by
    their Dice on the inner validation; what is given here decides between equals."""

    def check_regions(self, regions: Mapping[str, Sequence[int]]) -> list[str]:
        """A line for each thing that cannot be said of a task's regions, region -> label values."""
        named = [(key, region) for key in ("thresholds", "components", "totals") for region in getattr(self, key)]
        problems = [
            f"{key}.{region}: no such region; {nearest(region, list(regions))}"
            for key, region in named
            if region not in regions
        ]
        if not self.nested:
            return problems
        problems += [
            f"nested: found '{inner}', which is not inside '{outer}'; list regions from outside to inside"
            for outer, inner in pairwise(regions)
            if not set(regions[inner]) <= set(regions[outer])
        ]
        if self.search and len(regions) > _MOST_SEARCHED:
            problems.append(f"search: found {len(regions)} nested regions, expected {_MOST_SEARCHED} at most")
        return problems


class Inference(Strict):
    """How a case is predicted from what the network sees at a time."""

    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Of neighbouring windows, as a share of the patch; 3D only."""
    importance: Literal["gaussian", "constant"] = "gaussian"
    """How much a window counts from its centre to its border."""
    flips: bool = False
    """Test-time augmentation: the mean over all flips of the spatial axes."""
    average: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over flips, windows and checkpoints."""


class Protocol(Strict):
    """How every model of a benchmark is trained, selected, run and scored."""

    ndim: Literal[2, 3] = 2
    """2: slices of the case; 3: patches of the volume."""
    slice_axis: SliceAxis = "axial"
    """Across which slices are cut, by the case's affine; its first axis where it has none."""
    patch: Annotated[tuple[Count, ...], Field(min_length=2, max_length=3)]
    """What the network sees; slices are scaled to fit, padded, and predictions put back on the case's own grid."""
    folds: Annotated[int, Field(ge=2)] = 5
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the training patients kept for selection."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    epochs: Count
    """Times that every training slice, or `patches_per_case` patches of every training case, are seen."""
    batch: Count
    """Of an optimiser step, over all processes."""
    world_size: Count = 1
    """Processes that train a run together, each with as much of every batch and, if on GPUs, one of its own. The
    loss, Dice included, is that of the whole batch. Unless a network synchronises them, the statistics of batch
    normalisation are each process's own, of the part that it sees; the running ones of the first are kept."""
    patches_per_case: Count = 1
    """3D only."""
    oversample_foreground: Probability = 0.0
    """Chance that a patch is drawn so that it holds a labelled voxel; 3D only."""
    optimizer: Optimizer
    schedule: Schedule = Constant(name="constant")
    loss: Loss
    crop: Literal["none", "nonzero"] = "none"
    """nonzero: to the smallest box around what is not 0 in every channel; scores are of the whole case."""
    intensity: Intensity = "unit"
    """Per case and channel. unit: 8-bit images / 255, others by their range; zscore: mean 0 and standard deviation
    1; zscore_nonzero: the same of what is not 0; percentile: 0.5 and 99.5 percent to 0 and 1, clipped."""
    denoise: Denoise = "none"
    """tv: total-variation denoising of each slice in 2D and of the volume in 3D, channel by channel, when a case
    is prepared. It acts on what `intensity` gives: on values from 0 to 1 of unit and percentile, on standard
    deviations of zscore. Labels stay as they are."""
    denoise_weight: Positive = 0.1
    """Of the variation against likeness to the image, on the same scale; the larger, the smoother."""
    one_hot_foreground: bool = False
    """Appends a channel that is 1 where any other is not 0."""
    augment: tuple[AugmentStep, ...] = ()
    """Geometry first, as one resampling; then albumentations; then intensities."""
    validate_every: Count = 1
    """Epochs between two looks at the inner validation; the last epoch has one in any case."""
    keep: Count = 1
    """How many of the best checkpoints predict together."""
    select: Literal["dice", "iou", "loss"] = "dice"
    """What chooses the checkpoint on the inner validation: case mean, or the lowest loss."""
    select_on: Literal["validation", "report"] = "validation"
    """report: the checkpoint is chosen on the very cases that are scored, as publications without a third part do.
    Such a row is marked in every table and ranked only among its like; the inner validation is left unused."""
    early_stopping: EarlyStopping | None = None
    gradient_clip: Positive | None = None
    """Largest norm of the gradient."""
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """Autocast on a GPU; a CPU always computes in fp32, and the record says which it was."""
    inference: Inference = Inference()
    postprocess: Postprocess | None = None
    """From probabilities to regions; without it, above one half or the most probable class."""
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)] = (
        "dice",
        "iou",
        "accuracy",
        "precision",
        "sensitivity",
        "specificity",
    )
    empty: EmptyPolicy = "score"

    @property
    def activation(self) -> Activation:
        """What turns logits into probabilities: the loss decides."""
        return "softmax" if self.loss.startswith("ce") else "sigmoid"

    @model_validator(mode="after")
    def _patch_has_the_axes(self) -> Protocol:
        if len(self.patch) != self.ndim:
            raise ValueError(f"patch has {len(self.patch)} axes, expected {self.ndim} as ndim says")
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> Protocol:
        if self.batch % self.world_size:
            raise ValueError(
                f"batch is {self.batch}, expected a multiple of world_size, which is {self.world_size}"
            )
        return self

    @model_validator(mode="after")
    def _ranges_rise(self) -> Protocol:
        for number, step in enumerate(self.augment):
            for key in ("range", "sigma"):
                low, high = getattr(step, key, (0.0, 0.0))
                if low > high:
                    raise ValueError(f"augment[{number}].{key} must be [low, high], found [{low}, {high}]")
        return self
