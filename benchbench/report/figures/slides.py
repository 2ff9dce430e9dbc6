"""The content of a gallery with sliders: for each case its pictures, and those of the further slices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class SlidePanel(NamedTuple):
    """A picture that is shown first."""

    image: str
    """Data URI of the image."""
    mask: str
    """Data URI of the masks, transparent outside of them; empty where there is none."""
    ratio: float
    """Height over width as displayed."""
    sides: tuple[str, str] = ("", "")
    """Letters at the left and right border."""


class SlideCell(NamedTuple):
    """The panels of one column: the first on top, all others side by side below it."""

    name: str
    note: str
    """A text below the panels."""
    panels: Sequence[SlidePanel]


class Frame(NamedTuple):
    """A slice that the slider can show in the first panel of every cell."""

    label: str
    image: str
    """Data URI of the image; empty for the slice that is shown first."""
    masks: Sequence[str]
    """Data URI of the masks of each cell but the first, which is the bare image; empty where there is none."""

    @property
    def size(self) -> int:
        """Characters that the frame adds to a page."""
        return len(self.image) + sum(map(len, self.masks))


@dataclass(frozen=True, kw_only=True)
class SlideRow:
    """The pictures of a case."""

    name: str
    """Id of the row, without the beginning that is the figure's."""
    rule: str
    case: str
    label: str
    """Name of the slice, or of the planes, that is shown first."""
    cells: Sequence[SlideCell]
    frames: Sequence[Frame] = ()
    """The slices in their order, with the one that is shown first; empty where there are no others."""
    start: int = 0
    """Position of the slice that is shown first."""

    @property
    def content(self) -> str:
        """The frames as JSON that is safe inside an element of a page."""
        content = {
            "labels": [frame.label for frame in self.frames],
            "images": [frame.image for frame in self.frames],
            "masks": [list(frame.masks) for frame in self.frames],
        }
        return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


@dataclass(frozen=True, kw_only=True)
class Slides:
    """A gallery whose slices can be moved through."""

    rows: Sequence[SlideRow]
    legend: Mapping[str, str]
    """Region -> its colour."""
    caption: str
