"""The public vocabulary of plugins: what a plugin returns to benchbench, and what benchbench passes to it.

A dataset plugin reads cases; a model plugin builds an `nn.Module`. Neither sees the other, the fold, the seed or
the protocol, so that no plugin can favour one model over another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import pluggy

from benchbench.launchers import LauncherPlugin

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

ENTRY_POINT_GROUP = "benchbench"

hookspec = pluggy.HookspecMarker("benchbench")
hookimpl = pluggy.HookimplMarker("benchbench")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A segmentation task: the channels of every image and the regions that are scored."""

    channels: tuple[str, ...]
    """Names of the image channels, in array order."""
    regions: Mapping[str, tuple[int, ...]]
    """Name of each scored region -> the label values that belong to it. Regions may overlap."""
    ignore: int | tuple[int, ...] = ()
    """Label value or values of ignored voxels: they have no part in any loss, count, distance or lesion."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Region -> its usual colour in pictures, as #rrggbb. A region without an entry gets a colour of the palette.

    Regions are painted in the order of `regions`; a later region covers an earlier one.
    """

    @property
    def ignored(self) -> tuple[int, ...]:
        """The label values of ignored voxels."""
        return (self.ignore,) if isinstance(self.ignore, int) else tuple(self.ignore)


class CaseRef(NamedTuple):
    """The id of a case and of its patient. All cases of a patient belong to the same part of a fold."""

    id: str
    patient: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image and its label, as stored in the files."""

    image: NDArray[Any]
    """(C, *space), of any numeric type."""
    label: NDArray[Any]
    """(*space), with the values 0 and those that `Task.regions` and `Task.ignore` name."""
    affine: NDArray[np.float64] | None
    """(4, 4) matrix from voxel indices to world coordinates in mm; None where unknown."""
    spacing_mm: tuple[float, ...] | None
    """Voxel size in mm along each array axis; None where unknown."""
    labelled_regions: tuple[str, ...] | None = None
    """Regions that were labelled in this case; None: all regions of the task.

    A region that is not among them has no part in the loss and in the scores of the case, whatever its label has.
    The files that a dataset reads this from are files of the case.
    """
    reader_labels: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Name of each expert -> the label (*space) that this expert drew; {} for a case with one label.

    `label` is what is trained on and scored against; `benchbench.images.fusion` makes it from these. Predictions
    are also scored against each reader, and readers against one another, in a table of their own.
    """


class Dataset(Protocol):
    """An opened dataset; only `load` reads voxels."""

    @property
    def task(self) -> Task: ...

    def cases(self) -> Sequence[CaseRef]:
        """Return all cases, always in the same order.

        Raises:
            DataNotFoundError: the folder has no cases.
        """
        ...

    def files(self, case_id: str) -> Sequence[Path]:
        """Return the files of a case, from which its content hash is computed.

        Raises:
            DataError: a file is missing or has no counterpart.
        """
        ...

    def load(self, case_id: str) -> Case:
        """Read and decode a case.

        Raises:
            DataError: the files cannot be decoded or contradict each other.
        """
        ...

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        """Return patient -> column -> value as written; empty for a dataset without metadata."""
        ...


@runtime_checkable
class ImageReader(Protocol):
    """Optional methods of a dataset that reads images without labels, such as the validation data of a challenge.

    `benchbench predict` uses them. Without them it finds only cases that have a label, and does not use it.
    """

    def image_cases(self) -> Sequence[CaseRef]:
        """Return all cases that have an image, with or without a label, always in the same order.

        Raises:
            DataNotFoundError: the folder has no images.
        """
        ...

    def image_files(self, case_id: str) -> Sequence[Path]:
        """Return the files of the image, the one whose header labels should have first.

        Where a file holds one slice, these are the slices in their order.

        Raises:
            DataError: a file is missing.
        """
        ...

    def load_image(self, case_id: str) -> Case:
        """Read and decode an image as `load` does; the label is 0 everywhere.

        Raises:
            DataError: the files cannot be decoded or contradict each other.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip or tar archive to download and unpack."""

    url: str
    """An http(s) address, or doi:<doi>/<file> for a repository that pooch supports."""
    digest: str | None
    """Checksum as "md5:..." or "sha256:..."; None only for a DOI, whose repository gives the checksum."""
    folder: str = ""
    """Folder below the dataset's folder that the files go to, even if the archive does not contain it."""
    size_bytes: int | None = None
    """Published size of the archive, or of the collection that it is part of; a download that is more than a tenth
    larger is stopped. None stops it at 64 GiB."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """The origin and licence of the files; a program, a person or both can download them."""

    licence: str
    """Licence or terms of use of the data."""
    page: str
    """Address of the page where a person finds the files."""
    kaggle: str | None = None
    """kagglehub handle, <owner>/<dataset>/versions/<n>; None if the data are not on Kaggle."""
    kaggle_file: str | None = None
    """Name of the one file to download from Kaggle; None downloads all files."""
    archives: tuple[Archive, ...] = ()
    """Archives that together hold the whole dataset."""
    steps: tuple[str, ...] = ()
    """Instructions for a manual download; `{folder}` is replaced by the dataset's folder."""
    patients: int | None = None
    """Number of patients in the whole dataset; None if it is not published."""


OWN_FILES = Download(
    licence="that of your files",
    page="your own files",
    steps=("name the dataset in a benchmark file, with this layout", "put its files into a folder of that name"),
)


@dataclass(frozen=True, kw_only=True)
class DatasetPlugin:
    """A dataset that benchbench can open, and imitate with phantom data."""

    name: str
    """Name in benchmark files and of the folder below the data root."""
    open: Callable[..., Dataset]
    """open(root, **params) returns the dataset in the folder `root`; it reads no voxels."""
    source: str
    """Paper or page that defines the data."""
    phantom: Callable[..., None] | None = None
    """phantom(root, *, patients, size, seed) writes made-up cases in the layout of the real files.

    Without it the dataset cannot be rehearsed. If it has parameters of `open` as well, it gets those that a
    benchmark gives a dataset of this layout.
    """
    describe: Callable[..., Mapping[str, Any]] | None = None
    """describe(root) returns parameters of `open` that the files give; those of a benchmark file are preferred.

    If it has parameters of `open` as well, it gets those that a benchmark gives a dataset of this layout.
    """
    relatives: tuple[str, ...] = ()
    """Names of data sets that have some of the same patients, installed or not, as "brats20" for BraTS 2021."""
    download: Download = OWN_FILES
    """Where the files come from; by default the user has them."""


class Geometry(NamedTuple):
    """The input and output sizes that a model is built for."""

    in_channels: int
    """Number of image channels."""
    out_channels: int
    """Number of output channels: one for each region or class."""
    patch: tuple[int, ...]
    """Spatial size of the input: in 2D every axis is a multiple of 32, in 3D it is the protocol's patch as is."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """Sizes that a paper or another implementation reports for a network, to compare this one with."""

    source: str
    """Origin of the numbers: code at a commit, a release, or a paper."""
    geometry: Geometry
    """Input and output sizes for which the numbers hold."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of `build` for which the numbers hold."""
    parameters: int
    """Number of trainable parameters; shared ones count once."""
    macs: int | None = None
    """Multiply-adds of convolutions and matrix products for one image in eval mode; None if not reported."""


@dataclass(frozen=True, kw_only=True)
class ModelPlugin:
    """A network that benchbench can train.

    The module maps (B, in_channels, *patch) to logits (B, out_channels, *patch), without an activation.

    For deep supervision it may return a list of logits in training mode, the full resolution first and each
    further output smaller. Output k is compared with the label, resized to its shape by nearest neighbours; its
    weight is 2^-k, and the weights are scaled to add up to 1. In eval mode it returns the full resolution alone.

    It may define its own training criterion, the method of `CustomLoss`. A model that starts from weights has
    the attributes `pretrained: str`, which names them, and `pretrained_on: tuple[str, ...]`, the names of the data
    sets that they were trained on. Tables mark it, and do not rank it where its weights saw some of the patients.
    A model with the attribute `uses_all_parameters = True` promises that each of its parameters gets a gradient in
    every training step; several processes that train it do not look for others, which saves time in each step.
    """

    name: str
    """Name in benchmark files."""
    build: Callable[..., nn.Module]
    """build(geometry, **params) returns the network; it raises IncompatibleError for an impossible geometry."""
    source: str
    """Paper or code that defines the network."""
    ndims: frozenset[int]
    """Supported numbers of spatial axes: {2}, {3} or both."""
    licence: str = ""
    """Licence of the code, and of weights it can start from, if it differs from benchbench's own."""
    needs: tuple[str, ...] = ()
    """Modules that `build` imports; if one is not installed, the plugin is listed as unavailable."""
    extra: str = ""
    """The extra of the plugin's distribution that installs the modules in `needs`."""
    unused: tuple[str, ...] = ()
    """Patterns (fnmatch) of parameter names that receive no gradient, as in the source."""
    compiles: bool = True
    """True if `torch.compile` gives the same outputs, and need not compile again in every training step.

    False excludes the model from `--compile`.
    """
    published: tuple[Published, ...] = ()
    """Reported sizes that the network is known to match."""
    convert: Callable[[Path], str] | None = None
    """convert(file) stores published weights for `build` and returns their name, which identifies the content."""


class LossFunction(Protocol):
    """A training loss of a protocol."""

    def __call__(self, logits: Tensor, targets: Tensor, scored: Tensor) -> Tensor:
        """Return a scalar that is lower for better logits.

        logits is (B, K, *space) float32 for a sigmoid, and (B, 1 + K, *space) with the background first for a
        softmax; targets is (B, K, *space) bool, one mask for each region; scored is (B, *space) bool, False in
        ignored voxels, which must have no part in the loss.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class LossPlugin:
    """A training loss that a protocol can name: `loss = { plugin = NAME, ... }`."""

    name: str
    """Name in benchmark files."""
    build: Callable[..., LossFunction]
    """build(**params) returns the loss; further keys of the table are its parameters."""
    source: str
    """Paper or code that defines the loss."""
    activations: frozenset[str] = frozenset({"sigmoid"})
    """Functions by which logits become probabilities: {"sigmoid"}, {"softmax"} or both."""


@dataclass(frozen=True, kw_only=True)
class MetricPlugin:
    """A score of one region of one case, which `metrics` of a protocol and `benchbench score` can name."""

    name: str
    """Name in benchmark files and in tables: lower-case letters, digits and _."""
    measure: Callable[[NDArray[np.bool_], NDArray[np.bool_], tuple[float, ...] | None], float]
    """measure(reference, prediction, spacing_mm) returns the score of two masks (*space), of two or three axes.

    Neither mask is empty. spacing_mm is the voxel size along each axis, None where it is unknown.
    """
    source: str
    """Paper or code that defines the metric."""
    is_lower_better: bool
    """True if less is better, as for distances."""
    range: tuple[float, float]
    """Lowest and highest possible score; a score outside of it is an error."""
    both_empty: float
    """Score of two empty masks. nan leaves the case out. The protocol's `empty` may leave out more cases."""
    one_empty: float
    """Score where only one of the masks is empty: usually the worst possible one."""
    has_length: bool = False
    """True for lengths: columns are then called <name>_mm, or <name>_px where the voxel size is unknown."""


class SampleTransform(Protocol):
    """A random change of one training sample."""

    def __call__(self, image: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the new image (C, *patch) float32 and label (*patch) uint8; the arguments may be changed.

        Bit k of a label value is set in region k: labels can be moved, and a voxel outside of the image is 0, but
        values must not be interpolated. All random numbers come from the generator, which is on the CPU.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class TransformPlugin:
    """An augmentation step that a protocol can name: `augment = [{ plugin = NAME, p = 0.5, ... }]`."""

    name: str
    """Name in benchmark files."""
    build: Callable[..., SampleTransform]
    """build(**params) returns the transform; keys of the step other than `p` are its parameters."""
    source: str
    """Paper or code that defines the transform."""
    ndims: frozenset[int] = frozenset({2, 3})
    """Supported numbers of spatial axes."""


@dataclass(frozen=True, kw_only=True)
class OptimizerPlugin:
    """An optimiser that a protocol can name: `optimizer = { plugin = NAME, lr = ..., ... }`."""

    name: str
    """Name in benchmark files."""
    build: Callable[..., torch.optim.Optimizer]
    """build(parameters, *, lr, **params) returns the optimiser, of one group of parameters."""
    source: str
    """Paper or code that defines the optimiser."""


class TrainingTime(NamedTuple):
    """The place of an optimiser step in a training."""

    step: int
    """Number of steps before this one."""
    steps: int
    """Number of steps of the whole training."""
    epoch: int
    """Number of epochs before that of this step."""
    epochs: int
    """Number of epochs of the whole training."""
    validation_losses: tuple[float, ...]
    """The loss of every inner validation so far."""


@dataclass(frozen=True, kw_only=True)
class SchedulePlugin:
    """A schedule of the learning rate that a protocol can name: `schedule = { plugin = NAME, ... }`."""

    name: str
    """Name in benchmark files."""
    build: Callable[..., Callable[[TrainingTime], float]]
    """build(**params) returns a function of the place in the training: the factor of the optimiser's rate.

    It is asked before every step, keeps no state, and depends on nothing else, so that a run can be resumed.
    """
    source: str
    """Paper or code that defines the schedule."""


class Reporter(Protocol):
    """Receives the values of one run while it is carried out."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Receive the row of the history of an epoch, counted from 0; values that are not known are left out."""
        ...

    def end(self, status: str, scores: Mapping[str, float]) -> None:
        """Receive the status of the run, such as done or failed, and the mean of each score over its cases."""
        ...


@dataclass(frozen=True, kw_only=True)
class ReporterPlugin:
    """A client of an experiment tracker, chosen by `--report NAME`; no result depends on it."""

    name: str
    """Name on the command line."""
    open: Callable[[str, Mapping[str, Any]], Reporter]
    """open(run, settings) is called in the process of a run before its first epoch.

    run is the key of the run, such as lgg/unet/default/fold0/seed0; settings are everything that its digest is
    computed from. A run that is resumed is opened again, and its earlier epochs are reported again.
    """
    source: str
    """Page of the tracker."""
    needs: tuple[str, ...] = ()
    """Modules that `open` imports; if one is not installed, the plugin is listed as unavailable."""
    extra: str = ""
    """The extra of the plugin's distribution that installs the modules in `needs`."""


ExtensionPlugin = LossPlugin | MetricPlugin | TransformPlugin | OptimizerPlugin | SchedulePlugin | ReporterPlugin
"""A plugin that a protocol names, or a reporter."""


class CustomLoss(Protocol):
    """A model with a training criterion of its own, in addition to the protocol's loss of its logits."""

    def loss(
        self, images: Tensor, targets: Tensor, criterion: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the scalar loss and the logits (B, out_channels, *patch) that training metrics are computed from.

        images is (B, in_channels, *patch); targets is (B, K, *patch) bool, one mask for each region;
        `criterion(logits)` is the protocol's loss against these targets. It leaves ignored voxels out; in
        `targets` they belong to no region. A model that uses `targets` for nothing, and thus leaves them out too,
        has the attribute `leaves_out_ignored = True`; others are refused for a task with ignored voxels, and for
        cases that lack a region by declaration.
        """
        ...


@hookspec
def benchbench_datasets() -> Iterable[DatasetPlugin]:
    """Return the datasets of this plugin."""
    return ()


@hookspec
def benchbench_models() -> Iterable[ModelPlugin]:
    """Return the models of this plugin."""
    return ()


@hookspec
def benchbench_launchers() -> Iterable[LauncherPlugin]:
    """Return the launchers of this plugin."""
    return ()


@hookspec
def benchbench_losses() -> Iterable[LossPlugin]:
    """Return the losses of this plugin."""
    return ()


@hookspec
def benchbench_metrics() -> Iterable[MetricPlugin]:
    """Return the metrics of this plugin."""
    return ()


@hookspec
def benchbench_transforms() -> Iterable[TransformPlugin]:
    """Return the transforms of this plugin."""
    return ()


@hookspec
def benchbench_optimizers() -> Iterable[OptimizerPlugin]:
    """Return the optimisers of this plugin."""
    return ()


@hookspec
def benchbench_schedules() -> Iterable[SchedulePlugin]:
    """Return the schedules of this plugin."""
    return ()


@hookspec
def benchbench_reporters() -> Iterable[ReporterPlugin]:
    """Return the reporters of this plugin."""
    return ()
