"""Draws the phantom of each dataset: `python docs/draw_phantoms.py [NAME]...` writes docs/phantoms/NAME.png.

One row a patient: the channels of the slice with most labelled, then the labels' outlines on one of them. A
dataset of one channel is shown from below and, unless it is a stack of thick slices, from the front. The right of
the patient is on the left.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray

from benchbench import Case, Dataset
from benchbench.data.phantom import phantom_root
from benchbench.registry.registry import discover
from benchbench.spec.benchmark_file import PhantomSize

OUT = Path(__file__).parent / "phantoms"
PATIENTS = 3
SIZES = {"lgg": 256, "brats20": 160, "brats21": 160, "cardiac": 150, "hvsmr2": 150, "acdc": 160}
COLOURS = (
    *((230, 70, 70), (80, 190, 80), (70, 120, 240), (240, 190, 50)),
    *((190, 80, 210), (70, 200, 210), (240, 130, 40), (160, 160, 160)),
)
PANEL = 150
GAP = 3


def draw(name: str) -> Path:
    """Writes the picture of one dataset."""
    plugin = discover().dataset(name)
    size = PhantomSize(patients=PATIENTS, size=SIZES.get(name, 128), seed=7)
    with tempfile.TemporaryDirectory() as cache:
        dataset = plugin.open(phantom_root(plugin, size, cache=Path(cache)) / name)
        patients = {case.patient: case.id for case in reversed(dataset.cases())}
        rows = [_row(dataset, case_id) for case_id in list(patients.values())[::-1][:PATIENTS]]
    height = sum(len(row) + GAP for row in rows) + 20
    sheet = np.full((height, max(row.shape[1] for row in rows), 3), 255, np.uint8)
    text = f"{name}: phantom data, made up; no patient"
    cv2.putText(sheet, text, (3, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    top = 20
    for row in rows:
        sheet[top : top + len(row), : row.shape[1]] = row
        top += len(row) + GAP
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.png"
    coarse = sheet // 12 * 12  # noise is most of a picture's bytes, and nothing that an eye can judge
    _, content = cv2.imencode(".png", coarse[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    path.write_bytes(content.tobytes())
    return path


def _row(dataset: Dataset, case_id: str) -> NDArray[np.uint8]:
    case = dataset.load(case_id)
    values = list(dataset.task.regions.values())
    panels = [panel for image, label in _views(case) for panel in _panels(image, label, values)]
    gap = np.full((PANEL, GAP, 3), 255, np.uint8)
    return np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)


def _views(case: Case) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Image (C, H, W) and label (H, W) as they are looked at."""
    image, label = case.image, case.label
    if case.affine is None:
        yield _slice(image, label, axis=0)
        return
    turned = io_orientation(case.affine)
    order = np.array([[axis, -flip] if axis < 2 else [axis, flip] for axis, flip in turned])  # to left, back, up
    image = np.stack([apply_orientation(channel, order) for channel in image])
    label = apply_orientation(label, order)
    steps = np.abs(np.linalg.norm(case.affine[:3, :3], axis=0))[np.argsort(turned[:, 0])]
    thickest = int(steps.argmax())
    if steps[thickest] > 3 * steps.min():
        yield _seen(image, label, axis=thickest)
        return
    yield _seen(image, label, axis=2)
    if len(image) == 1:
        yield _seen(image, label, axis=1)


def _seen(image: NDArray[Any], label: NDArray[Any], *, axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The slice with most labelled, the axes being to left, back and up: from below, the front or the right."""
    image, label = _slice(image, label, axis=axis)
    image, label = image.swapaxes(1, 2), label.T
    return (image, label) if axis == 2 else (image[:, ::-1], label[::-1])


def _slice(image: NDArray[Any], label: NDArray[Any], *, axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    others = tuple(each for each in range(3) if each != axis)
    number = int((label > 0).sum(others).argmax())
    return image.take(number, axis=axis + 1), label.take(number, axis=axis)


def _panels(
    image: NDArray[Any], label: NDArray[Any], regions: list[tuple[int, ...]]
) -> Iterator[NDArray[np.uint8]]:
    """Every channel, and the labels on the second or the only one."""
    shown = [_grey(channel) for channel in image]
    yield from shown
    outlined = shown[1 if len(shown) == 3 else 0].copy()
    for values, colour in zip(regions, COLOURS, strict=False):
        mask = _fitted(np.isin(label, values).astype(np.uint8), nearest=True)
        lines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(outlined, lines, -1, colour, 1)
    yield outlined


def _grey(channel: NDArray[Any]) -> NDArray[np.uint8]:
    plane = channel.astype(np.float32)
    high = max(float(np.quantile(plane, 0.995)), 1.0 if plane.max() > 2 else 1e-3)
    grey = (np.clip(_fitted(plane, nearest=False) / high, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _fitted(plane: NDArray[Any], *, nearest: bool) -> NDArray[Any]:
    """At the size of a panel, its aspect kept, centred on black."""
    height, width = plane.shape
    factor = PANEL / max(height, width)
    method = cv2.INTER_NEAREST if nearest else cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(
        plane, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=method
    )
    panel = np.zeros((PANEL, PANEL), scaled.dtype)
    top, left = (PANEL - scaled.shape[0]) // 2, (PANEL - scaled.shape[1]) // 2
    panel[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return panel


if __name__ == "__main__":
    for each in sys.argv[1:] or sorted(SIZES):
        print(draw(each))
