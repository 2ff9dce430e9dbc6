"""The protocol: whatever could make two models' numbers differ unfairly, as data.

Every field is written in the benchmark file's [protocol] table. Nothing here is code that a model or a
dataset could bend.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from benchbench.spec.augmentation import AugmentStep
from benchbench.spec.inference import Inference, Postprocess
from benchbench.spec.metric_names import Metric
from benchbench.spec.optimisation import Constant, EarlyStopping, Optimizer, Schedule
from benchbench.spec.strict import Count, Positive, Probability, Strict

EmptyPolicy = Literal["score", "nnunet", "monai", "brats", "zero", "stratify"]
Loss = Literal["bce+dice", "ce+dice", "bce", "ce", "dice", "focal+dice"]
Activation = Literal["sigmoid", "softmax"]
SliceAxis = Literal["axial", "coronal", "sagittal"]
Intensity = Literal["unit", "zscore", "zscore_nonzero", "percentile"]
Denoise = Literal["none", "tv"]


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
