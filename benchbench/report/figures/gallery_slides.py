"""Galleries with a slider: every model's picture of a case moves through the slices that its run stored."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from PIL import Image

from benchbench.images.arrays import Mask
from benchbench.report.figures.case_choice import ChosenCase
from benchbench.report.figures.gallery_choice import GalleryChoice
from benchbench.report.figures.gallery_files import CasePlane, Pictures
from benchbench.report.figures.mask_overlay import overlay
from benchbench.report.figures.metric_text import format_value
from benchbench.report.figures.slides import Frame, SlideCell, SlidePanel, SlideRow, Slides
from benchbench.report.figures.svg import ROW
from benchbench.report.figures.svg_images import data_uri

MOST_CHARACTERS = 1_200_000
"""The most that the slices of all galleries add to a page, which stays under three megabytes."""
_SIZES = (224, 144, 96)  # pixels of the longer side; smaller ones where a page would be too large
_STEPS = (1, 2, 3)
_QUALITY = 60  # of images that are made smaller
_ENOUGH = 5  # slices of a case, fewer of which are worse than smaller pictures


def row_id(chosen: ChosenCase) -> str:
    """Return the id of the row of a case on a page, without the beginning that is the figure's."""
    return ROW + chosen.rule.replace(" ", "-")


def slides_of(
    choice: GalleryChoice, pictures: Pictures, *, legend: Mapping[str, str], most_characters: int
) -> Slides | None:
    """Return the gallery with as many slices as fit; None where no run stored further slices, or none fits."""
    if not pictures.further:
        return None
    for size in _SIZES:
        rows = [_row(choice, chosen, pictures, size) for chosen in choice.cases]
        for step in _STEPS:
            thinned = [_thin(row, step) for row in rows]
            if step > 1 and any(0 < len(row.frames) < _ENOUGH for row in thinned):
                break
            if _characters(thinned) <= most_characters:
                return Slides(rows=thinned, legend=legend, caption=_caption(thinned, step, size))
    return None


def _row(choice: GalleryChoice, chosen: ChosenCase, pictures: Pictures, size: int) -> SlideRow:
    first = pictures.planes[choice.models[0], chosen.case]
    masks = [pictures.predictions[model, chosen.case] for model in choice.models]
    cells = [
        SlideCell("image", "", [_panel(plane, (), size) for plane in first]),
        SlideCell("reference", "", [_panel(plane, plane.reference, size) for plane in first]),
    ]
    for model, prediction in zip(choice.models, masks, strict=True):
        panels = [_panel(plane, _cut(plane, prediction), size) for plane in first]
        score = format_value(choice.metric, choice.scores.loc[chosen.case, model])
        cells.append(SlideCell(model, f"{score} (case)", panels))
    row = SlideRow(
        name=row_id(chosen),
        rule=chosen.rule.capitalize(),
        case=chosen.case,
        label=", ".join(plane.plane.name for plane in first),
        cells=cells,
    )
    further = pictures.further.get(chosen.case)
    return _with_frames(row, first, further, masks, size) if further else row


def _with_frames(
    row: SlideRow,
    first: Sequence[CasePlane],
    further: Sequence[CasePlane],
    predictions: Sequence[Mapping[str, Mask]],
    size: int,
) -> SlideRow:
    """Return the row with all its slices in their order."""
    chosen = first[0].plane
    depth = next(iter(predictions[0].values())).shape[chosen.axis]
    beginning = f"{chosen.name}, " if len(first) > 1 else ""
    frames = {chosen.at: Frame(f"{beginning}{_label(first[0], depth)}", "", ())}
    for plane in further:
        label = f"{beginning}{_label(plane, depth)}"
        frames.setdefault(plane.plane.at, _frame(plane, predictions, size, label))
    order = sorted(frames)
    return replace(row, frames=[frames[at] for at in order], start=order.index(chosen.at))


def _label(plane: CasePlane, depth: int) -> str:
    return f"slice {plane.plane.at + 1} of {depth}"


def _cut(plane: CasePlane, prediction: Mapping[str, Mask]) -> list[Mask]:
    return [plane.plane.cut(prediction[region]) for region in plane.regions]


def _frame(plane: CasePlane, predictions: Sequence[Mapping[str, Mask]], size: int, label: str) -> Frame:
    masks = [plane.reference, *(_cut(plane, prediction) for prediction in predictions)]
    overlays = [_overlay(plane, of_cell, size) for of_cell in masks]
    return Frame(label, _image(plane.image, size), overlays)


def _panel(plane: CasePlane, masks: Sequence[Mask], size: int) -> SlidePanel:
    return SlidePanel(_jpeg(plane.image), _overlay(plane, masks, size), _ratio(plane), plane.plane.sides)


def _ratio(plane: CasePlane) -> float:
    rows, columns = plane.reference[0].shape
    return float(rows * plane.plane.aspect / columns)


def _overlay(plane: CasePlane, masks: Sequence[Mask], size: int) -> str:
    """Return masks as a data URI; '' where none has a pixel."""
    if not any(mask.any() for mask in masks):
        return ""
    scale = size / max(1.0, _ratio(plane))
    height = max(1, round(scale * _ratio(plane)))
    return data_uri(overlay(masks, plane.colours, (round(scale), height)))


def _image(content: bytes, size: int) -> str:
    """Return a JPEG file as a data URI, made smaller where its longer side is longer than `size`."""
    with Image.open(io.BytesIO(content)) as picture:
        if max(picture.size) <= size:
            return _jpeg(content)
        picture.thumbnail((size, size))
        smaller = io.BytesIO()
        picture.save(smaller, "JPEG", quality=_QUALITY, optimize=True)
    return _jpeg(smaller.getvalue())


def _jpeg(content: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _thin(row: SlideRow, step: int) -> SlideRow:
    """Return the row with every `step`-th slice, counted from the one that is shown first."""
    start = row.start % step
    return replace(row, frames=row.frames[start::step], start=(row.start - start) // step)


def _characters(rows: Sequence[SlideRow]) -> int:
    return sum(frame.size for row in rows for frame in row.frames)


def _caption(rows: Sequence[SlideRow], step: int, size: int) -> str:
    parts = [
        "The slider of a case moves all its pictures through slices that are evenly spaced over the case.",
        "It starts at the slice with the largest reference, which is also the one in print.",
    ]
    if any(row.frames and len(row.cells[0].panels) > 1 for row in rows):
        parts.append("In a volume, only the upper pictures move.")
    parts += _reductions(step, size)
    if any(not row.frames for row in rows):
        parts.append("Cases without one were tested by a version that stored no further slices.")
    return " ".join(parts)


def _reductions(step: int, size: int) -> Iterator[str]:
    """Yield a sentence for each way in which the page has less than the runs stored."""
    if step > 1:
        yield f"The page has one of {step} stored slices, to stay small."
    if size < _SIZES[0]:
        yield "Further slices are shown in a lower resolution, to keep the page small."
