"""Histograms of the values of a dataset, as bars that a page draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchbench.report.dataset_sections import Quantity, number_text
from benchbench.words import count

_FEWEST_BARS, _MOST_BARS = 8, 20
_ROUND = (1, 2, 5, 10)
_ROUNDING = 1e-9
"""Relative error below which a quotient is the whole number next to it."""
_GAP = 0.06
"""Space between two bars, as a part of their distance."""


def histogram(quantity: Quantity) -> dict[str, Any]:
    """Return the texts of a quantity, and its bars in a drawing of 100 x 100 unless all values are equal."""
    values = np.asarray(quantity.values, float)
    chart: dict[str, Any] = {"title": quantity.name, "bars": [], "note": _coverage(quantity)}
    if not values.size:
        return chart | {"sentence": "in no case"}
    if values.min() == values.max():
        return chart | {"sentence": f"always {quantity.text(values.min())}"}
    is_whole = quantity.decimals == 0
    edges, decimals = round_edges(quantity.values, is_whole=is_whole)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    tallest = int(counts.max())
    distance = 100 / len(counts)
    for number, cases in enumerate(counts.tolist()):
        low, high = edges[number], edges[number + 1]
        height = 100 * cases / tallest
        bar = {
            "x": f"{distance * (number + _GAP / 2):.2f}",
            "y": f"{100 - height:.2f}",
            "width": f"{distance * (1 - _GAP):.2f}",
            "height": f"{height:.2f}",
            "title": f"{_interval(low, high, decimals, is_whole=is_whole)}: {count(cases, 'case')}",
        }
        chart["bars"].append(bar)
    smallest, median, largest = (quantity.text(value) for value in quantity.quantiles())
    last = edges[-1] - 1 if is_whole else edges[-1]
    return chart | {
        "sentence": f"{smallest} to {largest}, median {median}",
        "left": number_text(edges[0], decimals),
        "right": number_text(last, decimals),
        "tallest": count(tallest, "case"),
    }


def round_edges(values: Sequence[float], *, is_whole: bool) -> tuple[list[float], int]:
    """Return the edges of bins of 1, 2 or 5 times a power of ten, and the decimals that they need.

    About 2 n^(1/3) bins for n values (Rice's rule), but between 8 and 20. A bin of whole numbers ends before the
    next edge.
    """
    low, high = float(min(values)), float(max(values))
    bins = int(np.clip(np.ceil(2 * len(values) ** (1 / 3)), _FEWEST_BARS, _MOST_BARS))
    narrowest = (high - low) / bins
    power = int(np.floor(np.log10(narrowest)))
    width = next(step * 10.0**power for step in _ROUND if step * 10.0**power >= narrowest * (1 - _ROUNDING))
    if is_whole:
        width = max(1.0, width)
    first, last = int(np.floor(low / width + _ROUNDING)), int(np.ceil(high / width - _ROUNDING))
    if is_whole:
        last = int(np.floor(high / width)) + 1
    decimals = max(0, -int(np.floor(np.log10(width * (1 + _ROUNDING)))))
    return [round(number * width, decimals) for number in range(first, last + 1)], decimals


def _interval(low: float, high: float, decimals: int, *, is_whole: bool) -> str:
    if not is_whole:
        return f"{number_text(low, decimals)} to {number_text(high, decimals)}"
    if high - low == 1:
        return number_text(low, 0)
    return f"{number_text(low, 0)} to {number_text(high - 1, 0)}"


def _coverage(quantity: Quantity) -> str:
    """Return a text on the cases that have no value; empty where all have one."""
    if len(quantity.values) == quantity.n_cases:
        return ""
    return f"{len(quantity.values)} of {count(quantity.n_cases, 'case')}"
