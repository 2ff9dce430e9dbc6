"""What a plugin gives benchbench, and what it is given in return.

A dataset plugin reads cases; a model plugin builds an `nn.Module`. Neither learns of the other, nor of the
fold, the seed or the protocol: whatever could favour one model over another stays out of their hands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pluggy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

ENTRY_POINT_GROUP = "benchbench"

hookspec = pluggy.HookspecMarker("benchbench")
hookimpl = pluggy.HookimplMarker("benchbench")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is segmented: the channels of every image and the regions that are scored."""

    channels: tuple[str, ...]
    """Every image channel, in array order."""
    regions: Mapping[str, tuple[int, ...]]
    """Scored region -> the label values it consists of; regions may overlap."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Region -> the colour of the field's pictures, as #rrggbb; a region without one has one of a palette.

    Regions are painted in their order, the later over the earlier.
    """


class CaseRef(NamedTuple):
    """One case, and the patient it comes from; all cases of a patient fall in one part of a fold."""

    id: str
    patient: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image with its label, as stored."""

    image: NDArray[Any]
    """(C, *space), any numeric type."""
    label: NDArray[Any]
    """(*space), 0 and the values that `Task.regions` names."""
    affine: NDArray[np.float64] | None
    """(4, 4) voxel to world in mm; None where unknown."""
    spacing_mm: tuple[float, ...] | None
    """Voxel size along each array axis; None where unknown."""


class Dataset(Protocol):
    """An opened dataset; only `load` reads voxels."""

    @property
    def task(self) -> Task: ...

    def cases(self) -> Sequence[CaseRef]:
        """All cases, in a fixed order.

        Raises:
            DataNotFoundError: there are none.
        """
        ...

    def files(self, case_id: str) -> Sequence[Path]:
        """The files that the case consists of: what the case's content hash covers.

        Raises:
            DataError: a file is missing or has no counterpart.
        """
        ...

    def load(self, case_id: str) -> Case:
        """The decoded case.

        Raises:
            DataError: the files cannot be decoded or contradict each other.
        """
        ...

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        """Patient -> column -> value as written; empty where the dataset has none."""
        ...


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip or tar to download and unpack."""

    url: str
    """An http address, or doi:<doi>/<file> of a repository that pooch knows."""
    digest: str | None
    """"md5:..." or "sha256:..."; None only for a DOI, whose repository then says it."""
    folder: str = ""
    """Where its files belong below the dataset's folder, whether or not the archive itself names that."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """How the files are had, and under which licence: by a program, by a person or by either."""

    licence: str
    page: str
    """Where a person finds the files."""
    kaggle: str | None = None
    """kagglehub handle, <owner>/<dataset>/versions/<n>."""
    kaggle_file: str | None = None
    """The one archive of it that is wanted; None for all files."""
    archives: tuple[Archive, ...] = ()
    steps: tuple[str, ...] = ()
    """What a person does, alone or for the official copy; `{folder}` stands for the dataset's folder."""
    patients: int | None = None
    """How many patients the whole dataset has; None where that is not published."""


@dataclass(frozen=True, kw_only=True)
class DatasetPlugin:
    """A dataset that benchbench can open, and rehearse without."""

    name: str
    open: Callable[..., Dataset]
    """open(root, **params); reads no voxels."""
    source: str
    """Paper or page that defines the data."""
    download: Download
    phantom: Callable[..., None]
    """phantom(root, *, patients, size, seed) writes made-up cases in the real layout."""


class Geometry(NamedTuple):
    """What a model is built for."""

    in_channels: int
    out_channels: int
    patch: tuple[int, ...]
    """Spatial size of the input: in 2D every axis a multiple of 32, in 3D the protocol's patch as it is."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """Counts that a paper or other code gives for a network, to hold this one against."""

    source: str
    """Who counted: code at a commit, a release, or a paper."""
    geometry: Geometry
    params: Mapping[str, Any] = field(default_factory=dict)
    """What `build` is given."""
    parameters: int
    """Trainable numbers, shared ones once."""
    macs: int | None = None
    """Multiply-adds of convolutions and matrix products for one image in eval mode; None where not given."""


@dataclass(frozen=True, kw_only=True)
class ModelPlugin:
    """A network that benchbench can train.

    The module maps (B, in_channels, *patch) to logits (B, out_channels, *patch), without an activation.

    In training mode it may return a list of logits instead, finest first and the others smaller, for deep
    supervision: the k-th is held against the label, reduced to its size by nearest neighbours, with a weight of
    2^-k, the weights adding up to 1. In eval mode it returns the finest alone.

    It may have a criterion of its own, the method of `OwnLoss`, and say in an attribute `pretrained: str` which
    weights it starts from; a row that has such a start says so.
    """

    name: str
    build: Callable[..., nn.Module]
    """build(geometry, **params); raises IncompatibleError."""
    source: str
    """Paper or code that defines the network."""
    ndims: frozenset[int]
    """{2}, {3} or both."""
    licence: str = ""
    """Of the code, and of weights that it may start from, where they are not benchbench's own."""
    needs: tuple[str, ...] = ()
    """Modules that `build` imports; where one is not installed, the plugin is listed as unavailable."""
    extra: str = ""
    """The extra of the plugin's distribution that installs them."""
    unused: tuple[str, ...] = ()
    """Patterns (fnmatch) of parameter names that no gradient ever reaches, as in the source."""
    compiles: bool = True
    """Whether `torch.compile` gives the same outputs."""
    published: tuple[Published, ...] = ()
    """Counts that it is known to match."""
    convert: Callable[[Path], str] | None = None
    """convert(file) makes published weights ready; the name it returns, which `build` takes, says the content."""


class OwnLoss(Protocol):
    """What a model has that is trained by more than the protocol's loss of its logits."""

    def loss(
        self, images: Tensor, targets: Tensor, criterion: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The loss, a scalar, and the logits (B, out_channels, *patch) that training metrics are made from.

        images (B, in_channels, *patch), targets (B, K, *patch) bool, one mask a region; `criterion(logits)` is the
        protocol's loss against these targets.
        """
        ...


@hookspec
def benchbench_datasets() -> Iterable[DatasetPlugin]:
    """The datasets of this plugin."""
    return ()


@hookspec
def benchbench_models() -> Iterable[ModelPlugin]:
    """The models of this plugin."""
    return ()
