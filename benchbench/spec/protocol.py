"""The protocol: every setting that could make the scores of two models differ unfairly.

Every field belongs to the [protocol] table of the benchmark file and holds for all models. A model or dataset
plugin cannot change the protocol.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from benchbench.spec.augmentation import AugmentStep
from benchbench.spec.inference import Inference, Postprocess
from benchbench.spec.loss import Loss
from benchbench.spec.metric_names import Metric
from benchbench.spec.optimisation import Constant, EarlyStopping, Optimizer, Schedule
from benchbench.spec.strict import Count, Positive, Probability, Strict

EmptyPolicy = Literal["score", "nnunet", "monai", "brats", "zero", "stratify"]
Activation = Literal["sigmoid", "softmax"]
SliceAxis = Literal["axial", "coronal", "sagittal"]
Intensity = Literal["unit", "zscore", "zscore_nonzero", "percentile"]
Denoise = Literal["none", "tv"]


class Protocol(Strict):
    """The rules by which every model of a benchmark is trained, selected, applied and scored."""

    ndim: Literal[2, 3] = 2
    """Number of spatial axes of the network's input: 2 for slices, 3 for patches of the volume."""
    slice_axis: SliceAxis = "axial"
    """2D only. The anatomical plane of the slices, found by the affine of the case; without an affine, slices are
    cut across the first array axis."""
    patch: Annotated[tuple[Count, ...], Field(min_length=2, max_length=3)]
    """Size of the network's input in pixels, one number for each axis. In 2D whole slices are resized by one
    factor to fit the patch and padded with zeros, and predictions are resized back to the grid of the case. In 3D
    the volume keeps its resolution, and the network sees parts of it of this size."""
    folds: Annotated[int, Field(ge=1, le=1000)] = 5
    """Number of cross-validation folds. Patients, not slices, are split; each patient is tested in one fold. One
    fold is a hold-out split, in which the fraction `test` of the patients is tested."""
    test: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of the patients that is tested if `folds` is 1; the others are in training and inner validation."""
    splits: str | None = None
    """File with the parts of every fold, relative to the benchmark file: nnU-Net's splits_final.json, JSON with
    train, validation and test, or CSV with case or patient, part and fold. `folds` must be their number. A
    rehearsal has other patients and does not use it."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Fraction of each fold's training patients that is set aside for the inner validation, which chooses the
    checkpoint."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    """Random seeds; each is a training run of its own, on the same folds."""
    epochs: Count
    """Largest number of epochs. An epoch shows the network every training slice once (2D), or `patches_per_case`
    random patches of every training case (3D)."""
    batch: Count
    """Number of slices or patches in an optimiser step, over all processes together. A last batch of one sample is
    merged into the batch before."""
    world_size: Count = 1
    """Number of processes that train one run together, each with an equal part of every batch and, if GPUs are
    used, its own GPU. The loss, Dice included, is that of the whole batch. Unless the network synchronises it,
    batch normalisation uses the statistics of each process's own part of the batch; the running statistics of the
    first process are kept."""
    patches_per_case: Count = 1
    """3D only. Number of random patches of each training case in an epoch."""
    oversample_foreground: Probability = 0.0
    """3D only. Probability that a training patch is placed so that it contains a labelled voxel."""
    optimizer: Optimizer
    """Optimiser and its learning rate: { name = "adam" | "adamw" | "sgd", lr = ... }."""
    schedule: Schedule = Constant(name="constant")
    """Change of the learning rate: { name = "constant" | "cosine" | "warmup_cosine" | "plateau", ... }."""
    loss: Loss
    """Training loss of the logits: a name such as "bce+dice", or a table { name = "ce+dice", squared = true }. The
    inner validation takes Dice over each case, or each slice with `per_image`, then the mean, and the other parts
    over the voxels of all cases: no order and no batch size changes its loss."""
    crop: Literal["none", "nonzero"] = "none"
    """nonzero: crop each case to the smallest box that contains every voxel that is not 0 in some channel. Scores
    are always computed on the whole case."""
    intensity: Intensity = "unit"
    """Normalisation of each channel of each case. unit: 8-bit images divided by 255, others scaled from their own
    range to [0, 1]; zscore: mean 0 and standard deviation 1; zscore_nonzero: the same, computed from the voxels
    that are not 0, which stay 0; percentile: the 0.5th and 99.5th percentiles scaled to 0 and 1, values beyond
    them clipped."""
    denoise: Denoise = "none"
    """tv: total-variation denoising of each channel, of each slice in 2D and of the volume in 3D, after the
    normalisation that `intensity` names and before training. Labels are not changed."""
    denoise_weight: Positive = 0.1
    """Weight of the total variation against the fidelity to the image, on the scale that `intensity` gives; a
    larger weight gives a smoother image. Used only with `denoise`."""
    one_hot_foreground: bool = False
    """True to append a channel that is 1 where any channel of the stored image is not 0."""
    augment: tuple[AugmentStep, ...] = ()
    """Augmentation of training samples. All spatial transforms are applied first, as one resampling; then
    albumentations transforms; then intensity transforms, each group in the order of the list."""
    validate_every: Count = 1
    """Number of epochs from one inner validation to the next; the last epoch is always validated."""
    keep: Count = 1
    """Number of best checkpoints whose predictions are averaged."""
    select: Literal["dice", "iou", "loss"] = "dice"
    """Value on the inner validation that chooses the best checkpoint: the highest mean Dice or IoU over cases and
    regions, or the lowest loss."""
    select_on: Literal["validation", "report"] = "validation"
    """Cases on which the checkpoint is chosen: validation is the inner validation; report is the test cases
    themselves, as in publications without a separate test set. Rows with report are marked in every table and
    ranked only among each other, and the inner validation is not used."""
    early_stopping: EarlyStopping | None = None
    """Ends the training early: { patience = <validations> }. Without it, all epochs are trained."""
    gradient_clip: Positive | None = None
    """Largest norm of the gradient of all parameters together; without it, gradients are not clipped."""
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """Number format of automatic mixed precision on a GPU; fp32 turns it off. A CPU always computes in fp32, and
    the record of a run names the precision that was used."""
    inference: Inference = Inference()
    """Sliding window and test-time augmentation: the table [protocol.inference]."""
    postprocess: Postprocess | None = None
    """Thresholds and removal of small components: the table [protocol.postprocess]. Without it, a voxel belongs to
    a region if its probability is above 0.5 (sigmoid) or if the class is the most probable one (softmax)."""
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)] = (
        "dice",
        "iou",
        "accuracy",
        "precision",
        "sensitivity",
        "specificity",
    )
    """Metrics of the tables, in this order; the first one ranks the models. Distances need a tolerance where it is
    part of the metric, such as nsd@2."""
    empty: EmptyPolicy = "score"
    """Rule for the scores of empty masks; "left out" means left out of means and counts of cases.

    score: Dice, IoU, precision and nsd of two empty masks are 1, and distances 0; if only one mask is empty they
    are 0, and distances the diagonal of the image; a score that the reference alone leaves undefined, such as the
    sensitivity of an empty reference, is left out. nnunet: scores without a denominator, nsd and distances of two
    empty masks are left out. monai: Dice, IoU, precision, sensitivity, nsd and distances are left out if the
    reference is empty. brats: as score, but the sensitivity of an empty reference is 1 if the prediction is empty
    too, else 0. zero: scores without a denominator, and nsd of two empty masks, are 0. stratify: cases with an
    empty reference are left out of every metric."""

    @property
    def activation(self) -> Activation:
        """The function that turns logits into probabilities; it follows from the loss."""
        return "softmax" if self.loss.is_softmax else "sigmoid"

    @model_validator(mode="after")
    def _test_belongs_to_one_fold(self) -> Protocol:
        if self.splits is not None and self.test is not None:
            raise ValueError("test has no effect with splits, whose file names the tested patients; remove one")
        if self.folds == 1 and self.test is None and self.splits is None:
            raise ValueError("folds is 1, which needs the fraction of tested patients; give test = 0.2")
        if self.folds > 1 and self.test is not None:
            raise ValueError(f"test is for folds = 1, found folds = {self.folds}; remove one of the two")
        return self

    @model_validator(mode="after")
    def _patch_has_ndim_axes(self) -> Protocol:
        if len(self.patch) != self.ndim:
            raise ValueError(
                f"patch has {len(self.patch)} axes, expected {self.ndim} as ndim says; change one of them"
            )
        return self

    @model_validator(mode="after")
    def _batch_is_multiple_of_world_size(self) -> Protocol:
        if self.batch % self.world_size:
            raise ValueError(
                f"batch is {self.batch}, expected a multiple of world_size, which is {self.world_size};"
                " change one of them"
            )
        return self

    @model_validator(mode="after")
    def _intervals_are_ordered(self) -> Protocol:
        for number, step in enumerate(self.augment):
            for key in ("range", "sigma"):
                low, high = getattr(step, key, (0.0, 0.0))
                if low > high:
                    raise ValueError(
                        f"augment[{number}].{key}: found [{low}, {high}], expected [low, high]; swap the numbers"
                    )
        return self
