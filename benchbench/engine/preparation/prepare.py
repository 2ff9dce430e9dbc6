"""Prepares cases once: decoded, checked, oriented, cropped, normalised, and kept memory-mapped by content.

    <cache>/prepared/<k2>/<key>/
        image.npy       2D (S, C, *patch), 3D (C, *volume): uint8 or float16
        label.npy       bit masks: bit k where region k of the task is; 2D (S, *patch), 3D all of the case
        native.npy      2D only: bit masks (S, H, W) of all of the case, where the slices were scaled or cropped
        foreground.npy  3D only: places (N, 3) of labelled voxels in the volume, some of each region
        case.json       how image and case belong together

Where a user asks for it, the arrays are compressed in arrays.npz: less disk, and memory in its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchbench.contract import Case, CaseRef, Dataset, Task
from benchbench.data.atomic import new_folder
from benchbench.data.case_checks import load_case
from benchbench.engine.preparation.denoise import Denoiser, TotalVariation
from benchbench.engine.preparation.frame import Frame, nonzero_box, whole_frame
from benchbench.engine.preparation.normalise import normalise
from benchbench.engine.preparation.placement import Placement, fit_image, fit_label, place
from benchbench.errors import DataError
from benchbench.images.arrays import BitMasks, Floats, voxel_digest
from benchbench.spec.protocol import Protocol

PREPARATION = 3
"""Raised whenever the same case would be prepared differently."""

_PLACES_PER_REGION = 4096


@dataclass(frozen=True)
class PreparedCase:
    """A case in the cache; its arrays are memory-mapped at every access, private to whoever opens them.

    Compressed ones are unpacked into memory at every access.
    """

    case: CaseRef
    folder: Path

    def image(self) -> NDArray[Any]:
        """(S, C, *patch) or (C, *volume), uint8 or float16."""
        return self._stored("image")

    def label(self) -> BitMasks:
        """Bit masks of the same space, (S, *patch) or (*volume)."""
        stored = self._stored("label")
        return stored if self.placement else self.frame.crop(stored)

    def native_label(self) -> BitMasks:
        """Bit masks (S, H, W) of the whole case, in the axes of `frame`."""
        return self._stored("native" if "native" in self._described["arrays"] else "label")

    def foreground(self) -> NDArray[np.int32]:
        """(N, 3) places in the volume where something is labelled; 3D only."""
        return self._stored("foreground")

    @cached_property
    def frame(self) -> Frame:
        """How the volume, or the stack of slices, lies in the case."""
        return Frame(*(_tuples(self._described["frame"][field]) for field in Frame._fields))

    @cached_property
    def placement(self) -> Placement | None:
        """How a slice lies in the patch; None in 3D."""
        stored = self._described["placement"]
        return Placement(*(tuple(stored[field]) for field in Placement._fields)) if stored else None

    @property
    def is_resized(self) -> bool:
        """Whether slices are scaled to fit the patch."""
        return self.placement is not None and self.placement.scaled != self.placement.native

    @property
    def affine(self) -> Floats | None:
        """Of the case's own axes, in mm."""
        stored = self._described["affine"]
        return None if stored is None else np.array(stored)

    @property
    def spacing_mm(self) -> tuple[float, ...] | None:
        """Of the axes of `frame`; None where unknown."""
        stored = self._described["spacing_mm"]
        return None if stored is None else tuple(stored[axis] for axis in self.frame.axes)

    def voxels(self) -> str:
        """SHA-256 of the prepared image, whatever its files are called."""
        return str(self._described["voxels"])

    def _stored(self, name: str) -> NDArray[Any]:
        path = self.folder / f"{name}.npy"
        if path.exists():
            return np.load(path, mmap_mode="c")
        with np.load(self.folder / "arrays.npz") as arrays:
            array: NDArray[Any] = arrays[name]
            return array

    @cached_property
    def _described(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads((self.folder / "case.json").read_text())
        return described


def prepare_cases(
    dataset: Dataset,
    digests: Mapping[str, str],
    *,
    protocol: Protocol,
    recipe: str,
    cache: Path,
    threads: int,
    progress: Callable[[], None],
    compress: bool = False,
) -> dict[str, PreparedCase]:
    """Every case of a dataset, prepared now or found in the cache; one in memory per thread.

    `recipe` names how files become cases: the dataset plugin's name, source and parameters.

    Raises:
        DataError: with every fault of every case.
    """
    settings = [PREPARATION, recipe, preparation_of(protocol)]

    def prepare(case: CaseRef) -> PreparedCase | DataError:
        key = hashlib.sha256(json.dumps([digests[case.id], *settings]).encode()).hexdigest()
        folder = cache / "prepared" / key[:2] / key
        try:
            if not folder.exists():
                decoded = load_case(dataset, case.id)
                name = recipe.partition(" ")[0]
                write_prepared(decoded, dataset.task, protocol, folder, dataset=name, compress=compress)
        except DataError as error:
            return error
        finally:
            progress()
        return PreparedCase(case, folder)

    # decoding, arithmetic and resizing let go of the interpreter; each thread has a core of its own already
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        outcomes = list(pool.map(prepare, dataset.cases()))
    faults = [fault for outcome in outcomes if isinstance(outcome, DataError) for fault in outcome.problems]
    if faults:
        raise DataError(*faults)
    return {outcome.case.id: outcome for outcome in outcomes if isinstance(outcome, PreparedCase)}


def preparation_of(protocol: Protocol) -> dict[str, Any]:
    """The fields of a protocol that preparation depends on."""
    fields = {"ndim", "crop", "intensity", "one_hot_foreground"}
    if protocol.ndim == 2:
        fields |= {"slice_axis", "patch"}
    if protocol.denoise != "none":
        fields |= {"denoise", "denoise_weight"}
    return protocol.model_dump(mode="json", include=fields)


def write_prepared(
    case: Case, task: Task, protocol: Protocol, folder: Path, *, dataset: str = "", compress: bool = False
) -> None:
    """Prepares a case into a new folder, whole or not at all; `dataset` is named in it for whoever looks."""
    arrays, frame, placement = prepare_arrays(case, task, protocol)
    described = {
        "dataset": dataset,
        "arrays": sorted(arrays),
        "frame": frame._asdict(),
        "placement": placement._asdict() if placement else None,
        "affine": None if case.affine is None else case.affine.tolist(),
        "spacing_mm": _with_slice_axis(case.spacing_mm, case.label.ndim),
        "voxels": voxel_digest(arrays["image"]),
    }
    _write(folder, arrays, described, compress=compress)


def prepare_arrays(
    case: Case, task: Task, protocol: Protocol
) -> tuple[dict[str, NDArray[Any]], Frame, Placement | None]:
    """The arrays of a case by name, and how they lie in it."""
    image, label = _with_three_axes(case, protocol)
    affine = case.affine if case.label.ndim == 3 else None
    frame = whole_frame(label.shape, affine, slice_axis=protocol.slice_axis if protocol.ndim == 2 else None)
    if protocol.crop == "nonzero":  # looked for in the order of the memory
        frame = frame._replace(box=frame.orient_box(nonzero_box(image)))
    bits = np.ascontiguousarray(frame.orient(region_bits(label, task)))
    prepared = normalise(
        frame.crop(frame.orient(image)),
        protocol.intensity,
        denoise=_denoiser(protocol),
        one_hot_foreground=protocol.one_hot_foreground,
    )
    if protocol.ndim == 2:
        arrays, placement = _fit(prepared, bits, frame, protocol)
        return arrays, frame, placement
    places = labelled_places(frame.crop(bits), regions=len(task.regions))
    return {"image": prepared, "label": bits, "foreground": places}, frame, None


def _denoiser(protocol: Protocol) -> Denoiser | None:
    if protocol.denoise == "none":
        return None
    return TotalVariation(weight=protocol.denoise_weight, slice_by_slice=protocol.ndim == 2)


def region_bits(label: NDArray[Any], task: Task) -> BitMasks:
    """A label volume as bit masks: bit k where the k-th region of the task is."""
    assert len(task.regions) <= 8, "a bit mask of eight bits"
    bits = np.zeros_like(label, dtype=np.uint8)
    values = {value for values in task.regions.values() for value in values}
    for value in values:  # compared one by one: ten times faster than a look-up in a table
        own = sum(1 << number for number, each in enumerate(task.regions.values()) if value in each)
        bits |= (label == value).view(np.uint8) * np.uint8(own)
    return bits


def labelled_places(bits: BitMasks, *, regions: int) -> NDArray[np.int32]:
    """(N, 3) places of labelled voxels, evenly drawn from those of each region, at most some thousands of each."""
    labelled = np.flatnonzero(bits != 0)  # of truth values: several times faster than of numbers
    places = []
    for number in range(regions):
        found = labelled[bits.ravel()[labelled] & (1 << number) > 0]
        chosen = found[np.linspace(0, len(found) - 1, min(len(found), _PLACES_PER_REGION)).astype(np.int64)]
        places.append(np.stack(np.unravel_index(chosen, bits.shape), axis=1).astype(np.int32))
    return np.concatenate(places)


def _with_three_axes(case: Case, protocol: Protocol) -> tuple[NDArray[Any], NDArray[Any]]:
    """Image (C, X, Y, Z) and label (X, Y, Z); an image of two dimensions is one slice."""
    if case.label.ndim == 3:
        return case.image, case.label
    if protocol.ndim == 3:
        raise DataError(
            f"found an image of shape {case.image.shape[1:]}, expected a volume; set protocol.ndim to 2"
        )
    return case.image[:, None], case.label[None]


def _with_slice_axis(spacing_mm: tuple[float, ...] | None, ndim: int) -> list[float] | None:
    if spacing_mm is None:
        return None
    return [*([1.0] if ndim == 2 else []), *map(float, spacing_mm)]


def _fit(
    image: NDArray[Any], bits: BitMasks, frame: Frame, protocol: Protocol
) -> tuple[dict[str, NDArray[Any]], Placement]:
    """Image (C, S, H, W) and labels as a stack of patches."""
    cropped = frame.crop(bits)
    placement = place(cropped.shape[1:], protocol.patch)
    arrays = {
        "image": fit_image(np.moveaxis(image, 0, 1), placement, protocol.patch),
        "label": fit_label(cropped, placement, protocol.patch),
    }
    if (placement.native, cropped.shape) != (tuple(protocol.patch), bits.shape):
        arrays["native"] = bits
    return arrays, placement


def _write(
    folder: Path, arrays: Mapping[str, NDArray[Any]], described: Mapping[str, Any], *, compress: bool
) -> None:
    # another process that prepares the same case may be faster
    with contextlib.suppress(FileExistsError), new_folder(folder) as temporary:
        if compress:
            np.savez_compressed(temporary / "arrays.npz", **arrays)  # type: ignore[arg-type]
        else:
            for name, array in arrays.items():
                np.save(temporary / f"{name}.npy", array)
        (temporary / "case.json").write_text(json.dumps(described))


def _tuples(stored: Any) -> Any:
    return tuple(_tuples(each) for each in stored) if isinstance(stored, list) else stored
