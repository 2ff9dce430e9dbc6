"""Prepares cases: checks, orients, crops, normalises and resizes them, and stores the result in the cache.

The key of a prepared case is made of its id, of the content of its files and of the settings that preparation
depends on, so that all runs with the same settings share it. MONAI's PersistentDataset caches cases too, but as
files that are loaded whole; the arrays here are memory-mapped, so that a patch reads only its own pages.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchbench.contract import Case, CaseRef, Dataset, Task
from benchbench.data.atomic import new_folder
from benchbench.data.case_checks import load_case
from benchbench.engine.preparation.case_facts import present_bits, zero_remarks
from benchbench.engine.preparation.denoise import Denoiser, TotalVariation
from benchbench.engine.preparation.frame import Frame, nonzero_box, whole_frame
from benchbench.engine.preparation.labels import region_bits, sample_foreground, sample_scored, unlabelled_bits
from benchbench.engine.preparation.normalise import normalise
from benchbench.engine.preparation.placement import Placement, place, resize_image, resize_label
from benchbench.engine.preparation.prepared_case import PreparedCase, write_description
from benchbench.engine.preparation.resample import Grid, new_grid, resample_image, resample_label
from benchbench.engine.preparation.statistics import NO_STATISTICS, NO_VOXEL_SIZE, Statistics
from benchbench.errors import DataError
from benchbench.images.arrays import IGNORED, BitMasks, Floats, voxel_digest
from benchbench.spec.protocol import Protocol, SliceAxis
from benchbench.threads import case_threads

PREPARATION = 5
"""Version of the prepared arrays; it is raised whenever the same case would be prepared differently."""


class PreparedArrays(NamedTuple):
    """The arrays of a case and their relation to it."""

    arrays: dict[str, NDArray[Any]]
    """File name without its ending -> array."""
    frame: Frame
    placement: Placement | None
    """None in 3D."""
    grid: Grid | None = None
    """None unless a volume has another voxel size than its case."""


@dataclass(frozen=True, kw_only=True)
class CasePreparation:
    """A dataset and the way in which its cases are prepared and stored."""

    dataset: Dataset
    digests: Mapping[str, str]
    """Case id -> SHA-256 of its files."""
    protocol: Protocol
    recipe: str
    """Text on how files become cases: the dataset plugin's name, source and parameters."""
    cache: Path
    compress: bool = False
    statistics: Statistics = NO_STATISTICS
    """Values of the training part of the fold."""

    def is_stored(self, case: CaseRef) -> bool:
        """Return True if the cache has a folder for the case."""
        return self.folder_of(case).exists()

    def prepare(self, case: CaseRef) -> PreparedCase:
        """Return a case, prepared now or found in the cache; one of which a file lacks bytes is prepared again.

        Raises:
            DataError: with every fault of the case.
        """
        return self._prepare(case, check_content=False)

    def verify(self, case: CaseRef) -> PreparedCase:
        """Return a case of which every byte in the cache is as it was written; another is prepared again.

        Raises:
            DataError: with every fault of the case.
        """
        return self._prepare(case, check_content=True)

    def _prepare(self, case: CaseRef, *, check_content: bool) -> PreparedCase:
        folder = self.folder_of(case)
        damage = ""
        if folder.exists():
            prepared = PreparedCase(case, folder)
            damage = prepared.damage(of_content=check_content)
            if not damage:
                return prepared
            logging.getLogger(__name__).warning("%s: damaged in the cache, prepared again (%s)", case.id, damage)
        decoded = load_case(self.dataset, case.id)
        name = self.recipe.partition(" ")[0]
        try:
            write_prepared(
                decoded,
                self.dataset.task,
                self.protocol,
                folder,
                statistics=self.statistics,
                dataset=name,
                compress=self.compress,
                replace=bool(damage),
            )
        except DataError as error:
            raise DataError(*(f"{case.id}: {problem}" for problem in error.problems)) from error
        return PreparedCase(case, folder)

    def folder_of(self, case: CaseRef) -> Path:
        """Return the folder of a case in the cache."""
        # cases can share their files, for example all volumes of one 4-D file
        place = [case.id, self.digests[case.id]]
        recipe = [PREPARATION, self.recipe, preparation_settings(self.protocol)]
        if self.statistics != NO_STATISTICS:
            recipe.append(self.statistics.content())
        content = json.dumps([*place, *recipe])
        key = hashlib.sha256(content.encode()).hexdigest()
        return self.cache / "prepared" / key[:2] / key


def prepare_cases(
    preparation: CasePreparation, *, threads: int, progress: Callable[[], None]
) -> dict[str, PreparedCase]:
    """Return every case of a dataset, prepared now or found in the cache; each thread holds one case in memory.

    Raises:
        DataError: with every fault of every case.
    """
    cases = preparation.dataset.cases()
    return _in_threads(preparation.prepare, cases, threads=threads, progress=progress)


def verify_cases(
    preparation: CasePreparation, cases: Sequence[CaseRef], *, threads: int, progress: Callable[[], None]
) -> None:
    """Read all arrays of these cases and prepare those again of which a byte was changed.

    Raises:
        DataError: with every fault of every case that is prepared again.
    """
    _in_threads(preparation.verify, cases, threads=threads, progress=progress)


def _in_threads(
    prepare: Callable[[CaseRef], PreparedCase],
    cases: Sequence[CaseRef],
    *,
    threads: int,
    progress: Callable[[], None],
) -> dict[str, PreparedCase]:
    def outcome(case: CaseRef) -> PreparedCase | DataError:
        try:
            return prepare(case)
        except DataError as error:
            return error
        finally:
            progress()

    # Decoding, arithmetic and resizing release the interpreter lock; torch itself gets one core per thread.
    with case_threads(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        outcomes = list(pool.map(outcome, cases))
    return _cases_or_raise(outcomes)


def _cases_or_raise(outcomes: Sequence[PreparedCase | DataError]) -> dict[str, PreparedCase]:
    prepared: dict[str, PreparedCase] = {}
    faults: list[str] = []
    for outcome in outcomes:
        if isinstance(outcome, DataError):
            faults += outcome.problems
        else:
            prepared[outcome.case.id] = outcome
    if faults:
        raise DataError(*faults)
    return prepared


def preparation_settings(protocol: Protocol) -> dict[str, Any]:
    """Return the fields of a protocol that preparation depends on."""
    fields = {"ndim", "crop", "intensity", "one_hot_foreground"}
    if protocol.ndim == 2:
        fields |= {"slice_axis", "patch"}
    if protocol.denoise != "none":
        fields |= {"denoise", "denoise_weight"}
    later = {"resize", "spacing", "resampling", "label_resampling", "window"}
    return {key: value for key, value in protocol.settings().items() if key in fields | later}


def write_prepared(
    case: Case,
    task: Task,
    protocol: Protocol,
    folder: Path,
    *,
    statistics: Statistics = NO_STATISTICS,
    dataset: str = "",
    compress: bool = False,
    replace: bool = False,
) -> None:
    """Prepare a case and store it in a new folder, which can `replace` a damaged one.

    `statistics` are those of the training part; `dataset` is the name that `benchbench data cache` shows.

    Raises:
        DataError: the case cannot be prepared as the protocol asks.
        StorageError: the folder cannot be written.
    """
    arrays, frame, placement, grid = prepare_arrays(case, task, protocol, statistics)
    arrays |= _reader_arrays(case, task, frame)
    description = {
        "dataset": dataset,
        "arrays": sorted(arrays),
        "frame": frame._asdict(),
        "placement": placement._asdict() if placement else None,
        "affine": None if case.affine is None else case.affine.tolist(),
        "spacing_mm": _spacing_of_three_axes(case),
        "voxels": voxel_digest(arrays["image"]),
        "present": present_bits(arrays.get("native", arrays["label"])),
        "remarks": list(zero_remarks(case.image, task.channels, protocol)),
    }
    if grid is not None:
        description["grid"] = grid._asdict()
    if case.reader_labels:
        description["readers"] = list(case.reader_labels)
    unlabelled = unlabelled_bits(task, case.labelled_regions)
    if unlabelled:
        description["unlabelled"] = unlabelled
    # another process that prepares the same case may be faster
    with contextlib.suppress(FileExistsError), new_folder(folder, replace=replace) as temporary:
        if compress:
            np.savez_compressed(temporary / "arrays.npz", **arrays)  # type: ignore[arg-type]
        else:
            for name, array in arrays.items():
                np.save(temporary / f"{name}.npy", array)
        write_description(temporary, description)


def prepare_arrays(
    case: Case, task: Task, protocol: Protocol, statistics: Statistics = NO_STATISTICS
) -> PreparedArrays:
    """Return the arrays of a case as a protocol asks for them.

    Raises:
        DataError: the case is a slice, and the protocol is for volumes; or it has no voxel size to resample it by.
    """
    image, label, affine = _with_three_axes(case, ndim=protocol.ndim)
    slice_axis = protocol.slice_axis if protocol.ndim == 2 else None
    frame = whole_frame(label.shape, affine, slice_axis=slice_axis)
    if protocol.crop == "nonzero":  # before the axes are reordered: the image is read in the order of memory
        frame = frame._replace(box=frame.orient_box(nonzero_box(image)))
    bits = np.ascontiguousarray(frame.orient(region_bits(label, task, labelled=case.labelled_regions)))
    normalised = normalise(
        frame.crop(frame.orient(image)),
        protocol.intensity,
        denoise=_denoiser(protocol),
        one_hot_foreground=protocol.one_hot_foreground,
        window=protocol.window,
        statistics=statistics.intensities,
    )
    grid = _grid(case, frame, protocol, statistics)
    if protocol.ndim == 2:
        has_ignored = _has_ignored(bits, task)
        return _stack_of_slices(normalised, bits, frame, protocol, grid=grid, has_ignored=has_ignored)
    cropped = frame.crop(bits)
    arrays = {"image": normalised, "label": bits}
    if grid is not None:
        cropped = resample_label(np.ascontiguousarray(cropped), grid, protocol.label_resampling)
        resampled = resample_image(normalised, grid, protocol.resampling).astype(np.float16)
        arrays = {"image": resampled, "label": cropped, "native": bits}
    arrays["foreground"] = sample_foreground(cropped, regions=len(task.regions))
    if _has_ignored(bits, task):
        arrays["scored"] = sample_scored(cropped)
    return PreparedArrays(arrays, frame, None, grid)


class NativeReference(NamedTuple):
    """The reference of a case on its own grid, with its axes in the order of predicted masks."""

    bits: BitMasks
    """Bit masks (S, H, W) of the regions."""
    spacing_mm: tuple[float, ...] | None
    """The spacing along these axes; None where unknown."""
    unlabelled_bits: int
    """A number whose bit k is set if region k is not labelled, so that it is not scored."""


def native_reference(case: Case, task: Task, *, ndim: int, slice_axis: SliceAxis) -> NativeReference:
    """Return the reference that a case is scored against.

    Raises:
        DataError: the case is a slice, and the protocol is for volumes.
    """
    _, label, affine = _with_three_axes(case, ndim=ndim)
    frame = whole_frame(label.shape, affine, slice_axis=slice_axis if ndim == 2 else None)
    bits = np.ascontiguousarray(frame.orient(region_bits(label, task, labelled=case.labelled_regions)))
    unlabelled = unlabelled_bits(task, case.labelled_regions)
    stored = _spacing_of_three_axes(case)
    if stored is None:
        return NativeReference(bits, None, unlabelled)
    return NativeReference(bits, tuple(stored[axis] for axis in frame.axes), unlabelled)


def _grid(case: Case, frame: Frame, protocol: Protocol, statistics: Statistics) -> Grid | None:
    """Return the grid that a case is resampled to; None where its voxels keep their size."""
    target = protocol.spacing if isinstance(protocol.spacing, tuple) else statistics.spacing_mm
    if target is None:
        return None
    stored = _spacing_of_three_axes(case)
    if stored is None:
        raise DataError(NO_VOXEL_SIZE)
    spacing = [stored[axis] for axis in frame.axes]
    if len(target) == 2:  # slices keep their distance
        target = (spacing[0], *target)
    grid = new_grid([stop - start for start, stop in frame.box], spacing, target)
    return grid._replace(separate_axis=0) if protocol.ndim == 2 else grid


def _reader_arrays(case: Case, task: Task, frame: Frame) -> dict[str, NDArray[Any]]:
    """Return the bit masks (S, H, W) of the whole case of each reader, by the names of their files."""
    arrays: dict[str, NDArray[Any]] = {}
    for number, label in enumerate(case.reader_labels.values()):
        volume = label[None] if label.ndim == 2 else label
        bits = region_bits(volume, task, labelled=case.labelled_regions)
        arrays[f"reader{number}"] = np.ascontiguousarray(frame.orient(bits))
    return arrays


def _has_ignored(bits: BitMasks, task: Task) -> bool:
    return bool(task.ignored) and bool((bits == IGNORED).any())


def _with_three_axes(case: Case, *, ndim: int) -> tuple[NDArray[Any], NDArray[Any], Floats | None]:
    """Return image (C, X, Y, Z), label (X, Y, Z) and affine; an image of two dimensions becomes one slice."""
    if case.label.ndim == 3:
        return case.image, case.label, case.affine
    if ndim == 3:
        raise DataError(
            f"found an image of shape {case.image.shape[1:]}, expected a volume; set protocol.ndim to 2"
        )
    return case.image[:, None], case.label[None], None


def _spacing_of_three_axes(case: Case) -> list[float] | None:
    """Return the spacing along the axes of `_with_three_axes`; a single slice counts as 1 mm thick."""
    if case.spacing_mm is None:
        return None
    spacing = [float(size) for size in case.spacing_mm]
    if case.label.ndim == 2:
        return [1.0, *spacing]
    return spacing


def _denoiser(protocol: Protocol) -> Denoiser | None:
    if protocol.denoise == "none":
        return None
    return TotalVariation(weight=protocol.denoise_weight, slice_by_slice=protocol.ndim == 2)


def _stack_of_slices(
    image: NDArray[Any],
    bits: BitMasks,
    frame: Frame,
    protocol: Protocol,
    *,
    grid: Grid | None,
    has_ignored: bool,
) -> PreparedArrays:
    """Return slices (S, C, H, W) for the cropped image (C, S, H, W) and the bits (S, H, W) of the whole case.

    They have the size of the patch, or with `resize = "spacing"` the size that their voxel size gives.
    """
    cropped = frame.crop(bits)
    if protocol.resize == "fit":
        placement = place(cropped.shape[1:], protocol.patch)
        arrays = {
            "image": resize_image(np.moveaxis(image, 0, 1), placement, protocol.patch),
            "label": resize_label(cropped, placement, protocol.patch),
        }
    else:
        placement, arrays = _slices_of_spacing(image, cropped, protocol, grid)
    prepared_size = arrays["label"].shape[1:]
    if (placement.native, cropped.shape) != (prepared_size, bits.shape):
        arrays["native"] = bits
    if has_ignored:
        arrays["scored"] = np.flatnonzero((cropped != IGNORED).any((1, 2))).astype(np.int32)
    return PreparedArrays(arrays, frame, placement)


def _slices_of_spacing(
    image: NDArray[Any], cropped: BitMasks, protocol: Protocol, grid: Grid | None
) -> tuple[Placement, dict[str, NDArray[Any]]]:
    """Return slices of the voxel size of the protocol, or of their own where there is no grid."""
    _, height, width = cropped.shape
    size = (height, width)
    if grid is not None and grid.size != grid.native:
        image = resample_image(image, grid, protocol.resampling).astype(np.float16)
        cropped = resample_label(np.ascontiguousarray(cropped), grid, protocol.label_resampling)
        _, *resampled = grid.size
        size = (resampled[0], resampled[1])
    slices = np.ascontiguousarray(np.moveaxis(image, 0, 1))
    placement = Placement((height, width), size, (0, 0))
    return placement, {"image": slices, "label": np.ascontiguousarray(cropped)}
