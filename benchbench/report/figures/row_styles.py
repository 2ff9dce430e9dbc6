"""The colour and marker of each row: the same in every figure and on the page, whatever the order of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from benchbench.report.figures.canvas import SERIES
from benchbench.tables.results import Results

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Markers in matplotlib's names: their number shares no factor with that of the colours, so 42 pairs differ."""

Identity = tuple[str, str]
"""A model and its variant."""


class RowStyle(NamedTuple):
    """The colour and marker of a row."""

    number: int
    """Position of the colour in `SERIES`."""
    marker: str

    @property
    def colour(self) -> str:
        """The colour as #rrggbb."""
        return SERIES[self.number]


def row_styles(results: Results) -> Mapping[Identity, RowStyle]:
    """Return the style of each model and variant, in the order of the benchmark file."""
    identities = dict.fromkeys((run.model, run.variant) for run in results.manifest.runs)
    styles: dict[Identity, RowStyle] = {}
    for position, identity in enumerate(identities):
        styles[identity] = RowStyle(position % len(SERIES), MARKERS[position % len(MARKERS)])
    return styles
