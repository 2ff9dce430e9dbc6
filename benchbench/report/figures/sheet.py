"""Pictures in lines and columns on one page, placed in inches.

One pair of axes for all of them: axes for each would take longer to lay out than everything else to draw.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from benchbench.images.arrays import Mask
from benchbench.report.figures.canvas import INK, WIDTH, Figure, canvas, finish, short
from benchbench.report.figures.tint import image_of, tint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 0.05
_TEXT = 0.16  # height of a line of text
_WIDEST = 1.66  # of a column: four fill the page
_LETTERS = 13  # of a heading, by inch
_PIXELS = 150  # by inch, as many as the PNG has
_TALLEST = 1.25  # of a panel, by its width


class Panel(NamedTuple):
    """An image with masks over it."""

    image: bytes
    """A picture's file."""
    masks: Sequence[Mask]
    colours: Sequence[str]
    ratio: float
    """Height over width as it is seen."""


class Cell(NamedTuple):
    """The panels of one column of a line: one alone, or the first above all others."""

    panels: Sequence[Panel]
    note: str = ""


class Line(NamedTuple):
    """A line of cells under its title."""

    title: str
    note: str
    cells: Sequence[Cell]


class Box(NamedTuple):
    """Where a panel lies: from the left, from the top, in inches."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Lines of pictures under headings."""

    columns: Sequence[str]
    lines: Sequence[Line]
    legend: Mapping[str, str]
    """What each colour stands for."""

    @property
    def column(self) -> float:
        """Width of one."""
        return min(_WIDEST, (WIDTH - _GAP * (len(self.columns) - 1)) / len(self.columns))

    def draw(self, *, name: str, title: str, caption: str, alt: str, phantom: bool) -> Figure:
        """The whole sheet as a figure."""
        from matplotlib.patches import Patch  # noqa: PLC0415 as in canvas

        headings = [self._heading(column) for column in self.columns]
        above = 0.2 * phantom + _TEXT * max(heading.count("\n") + 1 for heading in headings) + _GAP
        heights = [max(_height(_boxes(cell, self.column)) for cell in line.cells) for line in self.lines]
        below = 0.3
        drawing = canvas(above + sum(heights) + (2 * _TEXT + _GAP) * len(heights) + below, is_arranged=True)
        axes = drawing.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for number, heading in enumerate(headings):
            axes.text(self._middle(number), above - _GAP, heading, ha="center", va="bottom", weight="bold")
        top = above
        for line, height in zip(self.lines, heights, strict=True):
            self._draw_line(axes, line, top, height)
            top += height + 2 * _TEXT + _GAP
        axes.set(xlim=(0, WIDTH), ylim=(drawing.get_figheight(), 0), aspect="auto")
        handles = [Patch(color=colour, label=short(label)) for label, colour in self.legend.items()]
        drawing.legend(handles=handles, loc="lower left", ncols=4, handlelength=1, borderaxespad=0.2)
        return finish(drawing, name=name, title=title, caption=caption, alt=alt, phantom=phantom)

    def _heading(self, column: str) -> str:
        letters = int(self.column * _LETTERS)
        return "\n".join(textwrap.wrap(short(column, longest=3 * letters), letters)[:3])

    def _middle(self, number: int) -> float:
        return number * (self.column + _GAP) + self.column / 2

    def _draw_line(self, axes: Axes, line: Line, top: float, height: float) -> None:
        axes.text(0, top + _TEXT, f"{line.title}: {line.note}", ha="left", va="bottom", color=INK)
        for number, cell in enumerate(line.cells):
            left, start = number * (self.column + _GAP), top + _TEXT + _GAP / 2
            for panel, box in zip(cell.panels, _boxes(cell, self.column), strict=True):
                _paint(axes, panel, box._replace(left=left + box.left, top=start + box.top))
            axes.text(self._middle(number), start + height + 0.02, cell.note, ha="center", va="top", size=7.5)


def _boxes(cell: Cell, width: float) -> list[Box]:
    """Where the panels of a cell lie in it, each line in the middle."""
    first, *others = cell.panels
    boxes = _beside([first], width, 0.0)
    return [*boxes, *_beside(others, width, _height(boxes) + _GAP / 2)] if others else boxes


def _beside(panels: Sequence[Panel], width: float, top: float) -> list[Box]:
    """Panels of one height, as high as they can be."""
    room = width - _GAP / 2 * (len(panels) - 1)
    height = min(room / sum(1 / panel.ratio for panel in panels), _TALLEST * room / len(panels))
    widths = [height / panel.ratio for panel in panels]
    left = (room - sum(widths)) / 2
    boxes = []
    for each in widths:
        boxes.append(Box(left, top, each, height))
        left += each + _GAP / 2
    return boxes


def _height(boxes: Sequence[Box]) -> float:
    return max(box.top + box.height for box in boxes)


def _paint(axes: Axes, panel: Panel, box: Box) -> None:
    size = (max(1, round(box.width * _PIXELS)), max(1, round(box.height * _PIXELS)))
    place = {
        "extent": (box.left, box.left + box.width, box.top + box.height, box.top),
        "interpolation": "none",
        "clip_on": False,
    }
    axes.imshow(image_of(panel.image, size), **place)
    if panel.masks:
        axes.imshow(tint(panel.masks, panel.colours, size), **place)
