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
    describe: Callable[[Path], Mapping[str, Any]] | None = None
    """describe(root) returns parameters of `open` that the files give; those of a benchmark file are preferred."""
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
    """True if `torch.compile` gives the same outputs."""
    published: tuple[Published, ...] = ()
    """Reported sizes that the network is known to match."""
    convert: Callable[[Path], str] | None = None
    """convert(file) stores published weights for `build` and returns their name, which identifies the content."""


class CustomLoss(Protocol):
    """A model with a training criterion of its own, in addition to the protocol's loss of its logits."""

    def loss(
        self, images: Tensor, targets: Tensor, criterion: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the scalar loss and the logits (B, out_channels, *patch) that training metrics are computed from.

        images is (B, in_channels, *patch); targets is (B, K, *patch) bool, one mask for each region;
        `criterion(logits)` is the protocol's loss against these targets. It leaves ignored voxels out; in
        `targets` they belong to no region. A model that uses `targets` for nothing, and thus leaves them out too,
        has the attribute `leaves_out_ignored = True`; others are refused for a task with ignored voxels.
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
