"""The page that describes a dataset: tables of its cases, and a small histogram of each quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchbench.report.page.cells import table_of
from benchbench.report.page.render import render
from benchbench.words import count

_WIDTH, _HEIGHT = 200, 60
_MOST_BARS = 20


def dataset_page(
    name: str, summary: str, tables: Mapping[str, pd.DataFrame], distributions: Mapping[str, Sequence[float]]
) -> str:
    """Return a page in one file that needs no network; keys are captions, and values those of each case."""
    charts = [_chart(title, values) for title, values in distributions.items() if len(values)]
    pages = [table_of(frame, caption=caption) for caption, frame in tables.items()]
    return render("dataset.html", {"title": name, "summary": summary, "tables": pages, "charts": charts})


def _chart(title: str, values: Sequence[float]) -> dict[str, Any]:
    """Return a histogram as rectangles of a drawing of 200 x 60."""
    bins = min(_MOST_BARS, max(1, len(set(values))))
    counts, edges = np.histogram(values, bins=bins)
    width = _WIDTH / bins
    bars = []
    for number, cases in enumerate(counts.tolist()):
        height = _HEIGHT * cases / counts.max()
        place = f"{edges[number]:.4g} to {edges[number + 1]:.4g}: {count(cases, 'case')}"
        bars.append(
            {
                "x": f"{number * width + 0.5:.2f}",
                "y": f"{_HEIGHT - height:.2f}",
                "width": f"{width - 1:.2f}",
                "height": f"{height:.2f}",
                "title": place,
            }
        )
    return {
        "title": title,
        "low": f"{min(values):.4g}",
        "high": f"{max(values):.4g}",
        "cases": count(len(values), "case"),
        "bars": bars,
    }
