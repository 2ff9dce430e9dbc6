"""The protocol: every setting that could make the scores of two models differ unfairly.

Every field belongs to the [protocol] table of the benchmark file and holds for all models. A model or dataset
plugin cannot change the protocol.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from benchbench.spec.augmentation import AugmentStep
from benchbench.spec.inference import Inference, Postprocess
from benchbench.spec.loss import AnyLoss
from benchbench.spec.metric_names import Metric
from benchbench.spec.optimisation import Constant, EarlyStopping, Optimizer, Schedule
from benchbench.spec.plugin_choice import PluginLoss
from benchbench.spec.strict import Count, NonNegativeCount, Positive, Probability, Strict

EmptyPolicy = Literal["score", "nnunet", "monai", "brats", "zero", "stratify"]
Activation = Literal["sigmoid", "softmax"]
SliceAxis = Literal["axial", "coronal", "sagittal"]
Intensity = Literal["unit", "zscore", "zscore_nonzero", "percentile", "ct"]
Resampling = Literal["cubic", "linear"]
Spacing = Literal["median", "anisotropic"]
LabelResampling = Literal["linear", "nearest"]
Denoise = Literal["none", "tv"]


_LATER = (
    *("resize", "spacing", "resampling", "label_resampling", "context", "window", "stratify"),
    *("accumulate", "ema", "allow_leaky_split"),
)
"""Fields that were added after the first results."""


class Protocol(Strict):
    """The rules by which every model of a benchmark is trained, selected, applied and scored."""

    ndim: Literal[2, 3] = 2
    """Number of spatial axes of the network's input: 2 for slices, 3 for patches of the volume."""
    slice_axis: SliceAxis = "axial"
    """2D only. The anatomical plane of the slices, found by the affine of the case; without an affine, slices are
    cut across the first array axis."""
    patch: Annotated[tuple[Count, ...], Field(min_length=2, max_length=3)]
    """Size of the network's input in pixels, one number for each axis. In 2D whole slices are resized by one
    factor to fit the patch and padded with zeros, and predictions are resized back to the grid of the case, unless
    `resize` says otherwise. In 3D the network sees parts of the volume of this size."""
    resize: Literal["fit", "spacing"] = "fit"
    """2D only. fit: whole slices are resized to the patch; spacing: slices have the voxel size that `spacing`
    names, or their own without it, and the network is trained on random crops of the size of the patch and
    predicts a slice in a sliding window."""
    spacing: Annotated[tuple[Positive, ...], Field(min_length=2, max_length=3)] | Spacing | None = None
    """Voxel size in mm that cases are resampled to: a number for each axis (superior, anterior and right in 3D;
    rows and columns of a slice in 2D); median: the median of the training part of a fold; anisotropic: the same,
    and nnU-Net's finer size along an axis that is much coarser than the others. Predictions are resampled back to
    the grid of the case before they are scored. Without it, cases keep their voxel size."""
    resampling: Resampling = "cubic"
    """Interpolation of images with `spacing`. Along the axis of thick slices, whose spacing is more than 3 times
    the others', the nearest slice counts."""
    label_resampling: LabelResampling = "linear"
    """Interpolation of training labels with `spacing`. linear: each label value on its own, and a voxel gets the
    value with at least one half; nearest: the nearest voxel."""
    context: NonNegativeCount = 0
    """2D only. Number of neighbouring slices on each side that are further channels of the input (2.5D); the first
    and the last slice are repeated at the ends."""
    folds: Annotated[int, Field(ge=1, le=1000)] = 5
    """Number of cross-validation folds. Patients, not slices, are split; each patient is tested in one fold. One
    fold is a hold-out split, in which the fraction `test` of the patients is tested."""
    test: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of the patients that is tested if `folds` is 1; the others are in training and inner validation."""
    splits: str | None = None
    """File with the parts of every fold, relative to the benchmark file: nnU-Net's splits_final.json, JSON with
    train, validation and test, or CSV with case or patient, part and fold. `folds` must be their number. A
    rehearsal has other patients and does not use it."""
    stratify: str | None = None
    """Column of the dataset's metadata whose values are spread evenly over the parts of every fold, such as the
    site; "presence:REGION" or "size:REGION" takes the groups from the labels. Patients without a value are a group
    of their own."""
    allow_leaky_split: bool = False
    """True accepts a split file that puts cases of one patient into several parts, which makes scores too high.
    Every table then marks its rows as those of a leaky split."""
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
    """3D, and crops of slices. Probability that a training patch is placed so that it contains a labelled
    voxel."""
    optimizer: Optimizer
    """Optimiser and its learning rate: { name = "adam" | "adamw" | "sgd", lr = ... }, or that of a plugin."""
    schedule: Schedule = Constant(name="constant")
    """Change of the learning rate: { name = "constant" | "cosine" | "warmup_cosine" | "polynomial" |
    "warm_restarts" | "one_cycle" | "plateau", ... }, or that of a plugin."""
    accumulate: Count = 1
    """Number of equal parts of a batch that go through the network one after the other before the optimiser
    step, to save memory. Loss and gradient are the means of those of the parts, and batch normalisation sees one
    part at a time."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights, such as 0.999: after each step, the average is decay
    times itself plus the rest of the weights. The average is validated, kept and tested; running statistics are
    those of the network. In the first steps the decay is at most (1 + steps) / (10 + steps)."""
    loss: AnyLoss
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
    them clipped; ct: clipped to the 0.5th and 99.5th percentiles of the labelled voxels of the training part of
    the fold, minus their mean, divided by their standard deviation."""
    window: tuple[float, float] | None = None
    """Lowest and highest intensity, such as [-160, 240]: values beyond them are clipped before the normalisation,
    and with `unit` they become 0 and 1."""
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
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "bf16"
    """Number format of automatic mixed precision on a GPU; fp32 turns it off, and so does tf32, which rounds the
    factors of products to 10 bits. A CPU always computes in fp32, and the record of a run names the precision that
    was used."""
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

    def settings(self) -> dict[str, Any]:
        """Return all fields as JSON has them, without those of `_LATER` that have their default.

        Digests are computed from it, so that a new field changes none of a protocol that does not use it.
        """
        fields = self.model_dump(mode="json")
        for name in _LATER:
            if getattr(self, name) == type(self).model_fields[name].default:
                del fields[name]
        return fields

    @property
    def activation(self) -> Activation:
        """The function that turns logits into probabilities; it follows from the loss."""
        return "softmax" if self.loss.is_softmax else "sigmoid"

    @model_validator(mode="after")
    def _split_file_names_all_parts(self) -> Protocol:
        if self.splits is None:
            if self.allow_leaky_split:
                raise ValueError("allow_leaky_split is for a file named by splits; remove it")
            return self
        if self.test is not None:
            raise ValueError("test has no effect with splits, whose file names the tested patients; remove one")
        if self.stratify is not None:
            raise ValueError("stratify has no effect with splits, whose file names the parts; remove one")
        return self

    @model_validator(mode="after")
    def _test_belongs_to_one_fold(self) -> Protocol:
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
    def _spacing_fits_ndim(self) -> Protocol:
        if isinstance(self.spacing, tuple) and len(self.spacing) != self.ndim:
            raise ValueError(
                f"spacing has {len(self.spacing)} numbers, expected {self.ndim} as ndim says; change one of them"
            )
        if self.ndim == 2 and self.spacing is not None and self.resize == "fit":
            raise ValueError('spacing has no effect with resize = "fit"; set resize = "spacing"')
        if self.ndim == 2 and self.spacing == "anisotropic":
            raise ValueError('spacing = "anisotropic" is for ndim = 3; give "median" or two numbers')
        return self

    @model_validator(mode="after")
    def _slices_have_their_own_fields(self) -> Protocol:
        if self.ndim == 3 and (self.resize != "fit" or self.context):
            name = "context" if self.context else "resize"
            raise ValueError(f"{name} is for ndim = 2, found ndim = 3; remove one of the two")
        return self

    @model_validator(mode="after")
    def _window_has_an_effect(self) -> Protocol:
        if self.window is None:
            return self
        low, high = self.window
        if low >= high:
            raise ValueError(f"window: found [{low:g}, {high:g}], expected [low, high]; swap the numbers")
        if self.intensity in {"ct", "percentile"}:
            raise ValueError(f'window and intensity = "{self.intensity}" both clip; remove one of the two')
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
    def _batch_is_multiple_of_accumulate(self) -> Protocol:
        if self.batch % self.accumulate:
            raise ValueError(
                f"batch is {self.batch}, expected a multiple of accumulate, which is {self.accumulate}; change one"
                " of them"
            )
        if self.accumulate > 1 and self.world_size > 1:
            raise ValueError(
                f"accumulate is for world_size = 1, found {self.world_size} processes, which share a batch"
                " already; remove one of the two"
            )
        return self

    @model_validator(mode="after")
    def _plugin_loss_has_one_process(self) -> Protocol:
        if isinstance(self.loss, PluginLoss) and self.world_size > 1:
            raise ValueError(
                f"loss = {{ plugin = {self.loss.plugin!r} }} is computed in one process, found world_size ="
                f" {self.world_size}; set world_size to 1"
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
