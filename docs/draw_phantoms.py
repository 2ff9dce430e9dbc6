"""Draw the phantom of each dataset: `python docs/draw_phantoms.py [NAME]...` writes docs/phantoms/NAME.png.

There is one row for each patient: the channels of the slice with the largest labelled area, then the outlines of
the labels on one of them. A dataset of one channel is drawn from below and, unless it is a stack of thick slices,
from the front. The right of the patient is on the left, with R and L at the borders of the first panel of a view
(A and P in a view from the side); a dataset without an affine has no letters.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
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
TITLE_HEIGHT = 20
GREY_STEP = 12
"""Grey values are rounded to multiples of this: noise would make the file large without being visible."""

Plane = tuple[NDArray[Any], NDArray[Any]]
"""Image (C, H, W) and label (H, W) of one slice."""
Sides = tuple[str, str]
"""The patient's sides at the left and at the right border of a slice."""


def draw(name: str) -> Path:
    """Write the picture of one dataset and return its path."""
    plugin = discover().dataset(name)
    size = PhantomSize(patients=PATIENTS, size=SIZES.get(name, 128), seed=7)
    with tempfile.TemporaryDirectory() as cache:
        dataset = plugin.open(phantom_root(plugin, size, cache=Path(cache)) / name)
        rows = [_row(dataset, case_id) for case_id in _first_cases(dataset)]
    sheet = _sheet(rows, title=f"{name}: phantom data, made up; no patient")
    rounded = sheet // GREY_STEP * GREY_STEP
    _, content = cv2.imencode(".png", rounded[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.png"
    path.write_bytes(content.tobytes())
    return path


def _first_cases(dataset: Dataset) -> list[str]:
    """Return the first case of each of the first patients."""
    first_cases: dict[str, str] = {}
    for case in dataset.cases():
        first_cases.setdefault(case.patient, case.id)
    return list(first_cases.values())[:PATIENTS]


def _sheet(rows: Sequence[NDArray[np.uint8]], *, title: str) -> NDArray[np.uint8]:
    """Return the rows below each other on white, under the title."""
    height = TITLE_HEIGHT + sum(len(row) + GAP for row in rows)
    sheet = np.full((height, max(row.shape[1] for row in rows), 3), 255, np.uint8)
    cv2.putText(sheet, title, (3, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    top = TITLE_HEIGHT
    for row in rows:
        sheet[top : top + len(row), : row.shape[1]] = row
        top += len(row) + GAP
    return sheet


def _row(dataset: Dataset, case_id: str) -> NDArray[np.uint8]:
    """Return the panels of a case side by side."""
    values = list(dataset.task.regions.values())
    gap = np.full((PANEL, GAP, 3), 255, np.uint8)
    parts: list[NDArray[np.uint8]] = []
    for (image, label), sides in _planes(dataset.load(case_id)):
        panels = list(_panels(image, label, values))
        _write_sides(panels[0], sides)
        for panel in panels:
            parts += [panel, gap]
    return np.concatenate(parts[:-1], axis=1)


def _write_sides(panel: NDArray[np.uint8], sides: Sides) -> None:
    for letter, left in zip(sides, (2, PANEL - 11), strict=True):
        place = (left, PANEL // 2)
        cv2.putText(panel, letter, place, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(panel, letter, place, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (255, 255, 255), 1, cv2.LINE_AA)


def _planes(case: Case) -> Iterator[tuple[Plane, Sides]]:
    """Yield the slices to draw, oriented as a radiologist views them, and the sides at their borders."""
    image, label = case.image, case.label
    if case.affine is None:
        yield _slice(image, label, axis=0), ("", "")
        return
    orientation = io_orientation(case.affine)
    to_left_back_up = orientation.copy()
    to_left_back_up[orientation[:, 0] < 2, 1] *= -1
    image = np.stack([apply_orientation(channel, to_left_back_up) for channel in image])
    label = apply_orientation(label, to_left_back_up)
    spacing = np.abs(np.linalg.norm(case.affine[:3, :3], axis=0))[np.argsort(orientation[:, 0])]
    thickest = int(spacing.argmax())
    if spacing[thickest] > 3 * spacing.min():
        yield _view(image, label, axis=thickest), ("A", "P") if thickest == 0 else ("R", "L")
        return
    yield _view(image, label, axis=2), ("R", "L")
    if len(image) == 1:
        yield _view(image, label, axis=1), ("R", "L")


def _view(image: NDArray[Any], label: NDArray[Any], *, axis: int) -> Plane:
    """Return the slice with the largest labelled area across an axis: viewed from below, the front or the right.

    The axes of image and label run to left, back and up.
    """
    image, label = _slice(image, label, axis=axis)
    image, label = image.swapaxes(1, 2), label.T
    if axis == 2:
        return image, label
    return image[:, ::-1], label[::-1]


def _slice(image: NDArray[Any], label: NDArray[Any], *, axis: int) -> Plane:
    others = tuple(other for other in range(3) if other != axis)
    number = int((label > 0).sum(others).argmax())
    return image.take(number, axis=axis + 1), label.take(number, axis=axis)


def _panels(
    image: NDArray[Any], label: NDArray[Any], regions: list[tuple[int, ...]]
) -> Iterator[NDArray[np.uint8]]:
    """Yield every channel, then the outlines of the labels on the second or the only one."""
    channels = [_grey(channel) for channel in image]
    yield from channels
    outlined = channels[1 if len(channels) == 3 else 0].copy()
    for values, colour in zip(regions, COLOURS, strict=False):
        mask = _fit_panel(np.isin(label, values).astype(np.uint8), nearest=True)
        lines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(outlined, lines, -1, colour, 1)
    yield outlined


def _grey(channel: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a channel as a panel, scaled so that only its brightest 0.5 % are white."""
    plane = channel.astype(np.float32)
    least = 1.0 if plane.max() > 2 else 1e-3
    white = max(float(np.quantile(plane, 0.995)), least)
    grey = np.clip(_fit_panel(plane, nearest=False) / white, 0, 1) * 255
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def _fit_panel(plane: NDArray[Any], *, nearest: bool) -> NDArray[Any]:
    """Return the plane at the size of a panel, its aspect ratio unchanged, centred on black."""
    height, width = plane.shape
    factor = PANEL / max(height, width)
    if nearest:
        method = cv2.INTER_NEAREST
    elif factor < 1:
        method = cv2.INTER_AREA
    else:
        method = cv2.INTER_LINEAR
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = cv2.resize(plane, size, interpolation=method)
    panel = np.zeros((PANEL, PANEL), scaled.dtype)
    top, left = (PANEL - scaled.shape[0]) // 2, (PANEL - scaled.shape[1]) // 2
    panel[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return panel


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(SIZES):
        print(draw(name))
