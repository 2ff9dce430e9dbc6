"""Pictures in the rows and columns of a figure, placed in inches.

All pictures share one pair of axes: laying out axes for each would take longer than everything else.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from benchbench.images.arrays import Mask
from benchbench.report.figures.canvas import INK, WIDTH, Figure, export, new_drawing, shorten
from benchbench.report.figures.mask_overlay import overlay, read_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_GAP = 0.05
_TEXT = 0.16  # height of a line of text
_LEGEND = 0.3  # height of the legend
_WIDEST = 1.66  # width of a column, at most: four fill the page
_LETTERS_PER_INCH = 13  # of a heading
_PIXELS_PER_INCH = 150  # the resolution of the PNG
_TALLEST = 1.25  # height of a panel over its width, at most
_HEADING_LINES = 3
_INDENT = 0.02  # of a letter from the border
_LETTER = "#fefefe"  # white that a page's theme does not change


class Panel(NamedTuple):
    """An image with masks over it."""

    image: bytes
    """The content of a picture file."""
    masks: Sequence[Mask]
    colours: Sequence[str]
    """The colour of each mask."""
    ratio: float
    """Height over width as displayed."""
    sides: tuple[str, str] = ("", "")
    """Letters at the left and right border."""


class Cell(NamedTuple):
    """The panels of one row and column: the first on top, all others side by side below it."""

    panels: Sequence[Panel]
    note: str = ""
    """A text below the panels."""


class GridRow(NamedTuple):
    """A row of cells below a line of text."""

    title: str
    cells: Sequence[Cell]
    name: str = ""
    """The id of the row in the SVG of the figure."""


class Box(NamedTuple):
    """Position and size of a panel in inches, from the left and from the top."""

    left: float
    top: float
    width: float
    height: float

    def moved(self, right: float, down: float) -> Box:
        """Return the box moved to the right and down by these distances."""
        return self._replace(left=self.left + right, top=self.top + down)


@dataclass(frozen=True, kw_only=True)
class PictureGrid:
    """Rows of pictures below the headings of their columns."""

    columns: Sequence[str]
    rows: Sequence[GridRow]
    legend: Mapping[str, str]
    """Label -> its colour."""

    @property
    def column_width(self) -> float:
        """Width of a column in inches."""
        count = len(self.columns)
        return min(_WIDEST, (WIDTH - _GAP * (count - 1)) / count)

    def draw(self, *, name: str, title: str, caption: str, alt: str, note: str) -> Figure:
        """Return the grid as a figure."""
        headings = [self._wrap_heading(column) for column in self.columns]
        most_lines = max(heading.count("\n") + 1 for heading in headings)
        note_height = 0.2 if note else 0.0
        head = note_height + _TEXT * most_lines + _GAP
        heights = [self._height_of(row) for row in self.rows]
        texts = (2 * _TEXT + _GAP) * len(heights)
        drawing = new_drawing(head + sum(heights) + texts + _LEGEND, has_layout=False)
        axes = drawing.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for number, heading in enumerate(headings):
            axes.text(self._middle_of(number), head - _GAP, heading, ha="center", va="bottom", weight="bold")
        top = head
        for row, height in zip(self.rows, heights, strict=True):
            self._draw_row(axes, row, top, height)
            top += height + 2 * _TEXT + _GAP
        axes.set(xlim=(0, WIDTH), ylim=(drawing.get_figheight(), 0), aspect="auto")
        self._draw_legend(drawing)
        return export(drawing, name=name, title=title, caption=caption, alt=alt, note=note)

    def _wrap_heading(self, column: str) -> str:
        letters = int(self.column_width * _LETTERS_PER_INCH)
        lines = textwrap.wrap(shorten(column, longest=_HEADING_LINES * letters), letters)
        return "\n".join(lines[:_HEADING_LINES])

    def _middle_of(self, column: int) -> float:
        return column * (self.column_width + _GAP) + self.column_width / 2

    def _height_of(self, row: GridRow) -> float:
        return max(_height_of(_place_panels(cell, self.column_width)) for cell in row.cells)

    def _draw_row(self, axes: Axes, row: GridRow, top: float, height: float) -> None:
        axes.text(0, top + _TEXT, row.title, ha="left", va="bottom", color=INK, gid=row.name or None)
        panels_top = top + _TEXT + _GAP / 2
        for number, cell in enumerate(row.cells):
            left = number * (self.column_width + _GAP)
            boxes = _place_panels(cell, self.column_width)
            for panel, box in zip(cell.panels, boxes, strict=True):
                _draw_panel(axes, panel, box.moved(left, panels_top))
            note_top = panels_top + height + 0.02
            axes.text(self._middle_of(number), note_top, cell.note, ha="center", va="top", size=7.5)

    def _draw_legend(self, drawing: Drawing) -> None:
        from matplotlib.patches import Patch  # noqa: PLC0415 as in canvas

        handles = []
        for label, colour in self.legend.items():
            handles.append(Patch(color=colour, label=shorten(label)))
        drawing.legend(handles=handles, loc="lower left", ncols=4, handlelength=1, borderaxespad=0.2)


def _place_panels(cell: Cell, width: float) -> list[Box]:
    """Return the position of each panel in a cell, every line of panels centred."""
    first, *others = cell.panels
    boxes = _place_line([first], width, 0.0)
    if others:
        boxes += _place_line(others, width, _height_of(boxes) + _GAP / 2)
    return boxes


def _place_line(panels: Sequence[Panel], width: float, top: float) -> list[Box]:
    """Return the positions of panels side by side, all of the greatest height that fits the width."""
    available = width - _GAP / 2 * (len(panels) - 1)
    width_per_height = sum(1 / panel.ratio for panel in panels)
    tallest = _TALLEST * available / len(panels)
    height = min(available / width_per_height, tallest)
    widths = [height / panel.ratio for panel in panels]
    left = (available - sum(widths)) / 2
    boxes = []
    for panel_width in widths:
        boxes.append(Box(left, top, panel_width, height))
        left += panel_width + _GAP / 2
    return boxes


def _height_of(boxes: Sequence[Box]) -> float:
    return max(box.top + box.height for box in boxes)


def _draw_panel(axes: Axes, panel: Panel, box: Box) -> None:
    width = max(1, round(box.width * _PIXELS_PER_INCH))
    height = max(1, round(box.height * _PIXELS_PER_INCH))
    right = box.left + box.width
    bottom = box.top + box.height
    extent = (box.left, right, bottom, box.top)
    layers = [read_picture(panel.image, (width, height))]
    if panel.masks:
        layers.append(overlay(panel.masks, panel.colours, (width, height)))
    for layer in layers:
        axes.imshow(layer, extent=extent, interpolation="none", clip_on=False)
    middle = (box.top + bottom) / 2
    for letter, at, side in zip(panel.sides, (box.left, right), ("left", "right"), strict=True):
        if letter:
            _draw_letter(axes, letter, at, middle, side)


def _draw_letter(axes: Axes, letter: str, at: float, middle: float, side: str) -> None:
    """Draw a letter inside the border of a picture, on a dark ground."""
    ground = {"facecolor": "black", "alpha": 0.5, "linewidth": 0, "pad": 0.6}
    indent = _INDENT if side == "left" else -_INDENT
    axes.text(at + indent, middle, letter, ha=side, va="center", size=5.5, color=_LETTER, bbox=ground)
