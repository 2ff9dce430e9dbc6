"""Prepares cases once: decoded, checked, scaled to the patch, and kept memory-mapped by content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from benchbench.contract import Case, CaseRef, Dataset, Task
from benchbench.data.check import load_case, voxels_digest
from benchbench.errors import DataError
from benchbench.protocol import Protocol, SliceAxis

PREPARATION = 1
"""Raised whenever the same case would be prepared differently."""


class Placement(NamedTuple):
    """Where a slice lies in the patch: scaled by one factor to fit, then centred."""

    native: tuple[int, int]
    scaled: tuple[int, int]
    offset: tuple[int, int]


@dataclass(frozen=True)
class PreparedCase:
    """A case in the cache; its arrays are memory-mapped at every access, private to whoever opens them.

    Labels are bit masks: bit k is set where region k of the task is.
    """

    case: CaseRef
    folder: Path

    def image(self) -> NDArray[Any]:
        """(S, C, *patch), uint8 or float16."""
        return np.load(self.folder / "image.npy", mmap_mode="c")

    def label(self) -> NDArray[np.uint8]:
        """(S, *patch)."""
        return np.load(self.folder / "label.npy", mmap_mode="c")

    def native_label(self) -> NDArray[np.uint8]:
        """(S, H, W) on the case's own grid."""
        path = self.folder / "native.npy"
        return np.load(path, mmap_mode="c") if path.exists() else self.label()

    def placement(self) -> Placement:
        stored = self._described()
        return Placement(*(tuple(stored[key]) for key in Placement._fields))

    def voxels(self) -> str:
        """SHA-256 of the decoded image, whatever its files are called."""
        return str(self._described()["voxels"])

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
) -> dict[str, PreparedCase]:
    """Every case of a dataset, prepared now or found in the cache; one in memory per thread.

    `recipe` names how files become cases: the dataset plugin's source and parameters.

    Raises:
        DataError: with every fault of every case.
    """
    settings = [PREPARATION, recipe, list(protocol.patch), protocol.intensity, protocol.slice_axis]

    def prepare(case: CaseRef) -> PreparedCase | DataError:
        key = hashlib.sha256(json.dumps([digests[case.id], *settings]).encode()).hexdigest()
        folder = cache / "prepared" / key[:2] / key
        try:
            if not folder.exists():
                _write(load_case(dataset, case.id), dataset.task, protocol, folder)
        except DataError as error:
            return error
        finally:
            progress()
        return PreparedCase(case, folder)

    with ThreadPoolExecutor(threads) as pool:  # decoding and resizing let go of the interpreter
        outcomes = list(pool.map(prepare, dataset.cases()))
    faults = [fault for outcome in outcomes if isinstance(outcome, DataError) for fault in outcome.problems]
    if faults:
        raise DataError(*faults)
    return {outcome.case.id: outcome for outcome in outcomes if isinstance(outcome, PreparedCase)}


def place(native: Sequence[int], patch: Sequence[int]) -> Placement:
    """The largest size of the slice's own aspect that fits the patch, centred."""
    factor = min(patch[0] / native[0], patch[1] / native[1])
    height, width = (min(patch[axis], max(1, round(native[axis] * factor))) for axis in (0, 1))
    offset = ((patch[0] - height) // 2, (patch[1] - width) // 2)
    return Placement((native[0], native[1]), (height, width), offset)


def _write(case: Case, task: Task, protocol: Protocol, folder: Path) -> None:
    bits, slices = _cut(case, region_bits(case.label, task), protocol.slice_axis)
    placement = place(bits.shape[1:], protocol.patch)
    image = _scale_intensity(slices, protocol.intensity)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    np.save(unfinished / "image.npy", _fit(image, placement, protocol.patch, shrink=cv2.INTER_AREA))
    np.save(
        unfinished / "label.npy",
        _fit(bits[:, None], placement, protocol.patch, shrink=cv2.INTER_NEAREST_EXACT)[:, 0],
    )
    if placement.native != tuple(protocol.patch):
        np.save(unfinished / "native.npy", bits)
    described = {**placement._asdict(), "voxels": voxels_digest(case)}
    (unfinished / "case.json").write_text(json.dumps(described))
    try:
        unfinished.rename(folder)
    except OSError:  # another process was quicker with the same content
        shutil.rmtree(unfinished)


def _cut(case: Case, bits: NDArray[np.uint8], axis: SliceAxis) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Label (S, H, W) and image (S, C, H, W); an image of two dimensions is one slice."""
    if case.label.ndim == 2:
        return bits[None], case.image[None]
    number = slice_axis(case, axis)
    return np.moveaxis(bits, number, 0), np.moveaxis(np.moveaxis(case.image, 1 + number, 1), 0, 1)


def slice_axis(case: Case, name: SliceAxis) -> int:
    """The axis of the label along which slices of this name are stacked; the first where no affine is known.

    An oblique volume is cut along the array axis nearest to the name's.
    """
    if case.affine is None:
        return 0
    world = {"sagittal": 0, "coronal": 1, "axial": 2}[name]  # right, anterior, superior
    return int(np.flatnonzero(io_orientation(case.affine)[:, 0] == world)[0])


def region_bits(label: NDArray[Any], task: Task) -> NDArray[np.uint8]:
    """A label volume as bit masks: bit k where the k-th region of the task is."""
    assert len(task.regions) <= 8, "a bit mask of eight bits"
    bits = np.zeros(label.shape, dtype=np.uint8)
    for number, values in enumerate(task.regions.values()):
        bits[np.isin(label, values)] |= np.uint8(1 << number)
    return bits


def _scale_intensity(image: NDArray[Any], intensity: str) -> NDArray[Any]:
    """8-bit images are kept as they are and divided by 255 on the device; others become float16."""
    if intensity == "unit" and image.dtype == np.uint8:
        return image
    volume = image.astype(np.float32)
    axes = (0, 2, 3)
    if intensity == "zscore":
        low, span = volume.mean(axes, keepdims=True), volume.std(axes, keepdims=True)
    else:
        low, high = volume.min(axes, keepdims=True), volume.max(axes, keepdims=True)
        span = high - low
    return ((volume - low) / np.where(span > 0, span, 1)).astype(np.float16)


def _fit(slices: NDArray[Any], placement: Placement, patch: Sequence[int], *, shrink: int) -> NDArray[Any]:
    """(S, C, H, W) -> (S, C, *patch): scaled, then padded with zeros."""
    if placement.native == tuple(patch):
        return np.ascontiguousarray(slices)
    height, width = placement.scaled
    top, left = placement.offset
    fitted = np.zeros((*slices.shape[:2], *patch), dtype=slices.dtype)
    nearest = shrink == cv2.INTER_NEAREST_EXACT
    method = shrink if nearest or height < placement.native[0] else cv2.INTER_LINEAR
    for number, slice_ in enumerate(slices):
        for channel, plane in enumerate(slice_):
            source = plane.astype(np.float32) if plane.dtype == np.float16 else plane  # OpenCV knows no float16
            resized = cv2.resize(source, (width, height), interpolation=method)
            fitted[number, channel, top : top + height, left : left + width] = resized
    return fitted
