"""The noise of each difference by its sources, and the source that limits the verdict."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchbench.comparison.board import Board
from benchbench.records.record import Value
from benchbench.statistics import Comparison, Unknown
from benchbench.tables.results import table_of_rows

_COLUMNS = (
    "dataset",
    "metric",
    "first",
    "second",
    "sd_patients",
    "sd_folds",
    "sd_seeds",
    "limited_by",
    "detectable",
)


def component_table(board: Board) -> pd.DataFrame:
    """Return a line for each pair of the first row with another: SD by source, and the source that limits it."""
    return table_of_rows(list(_lines(board)), _COLUMNS)


def _lines(board: Board) -> Iterator[dict[str, Value]]:
    leader = next(iter(board.rows))
    for pair in board.comparisons:
        if leader not in (pair.first, pair.second):
            continue
        parts, detectable = pair.components, pair.smallest_detectable
        yield {
            "dataset": board.dataset,
            "metric": board.metric,
            "first": pair.first,
            "second": pair.second,
            "sd_patients": parts.patients,
            "sd_folds": parts.folds,
            "sd_seeds": parts.seeds,
            "limited_by": limiting_source(pair),
            "detectable": None if isinstance(detectable, Unknown) else detectable,
        }


def limiting_source(comparison: Comparison) -> str:
    """Return the source that contributes most to the variance of the mean difference.

    A single fold cannot show its noise of training; there, the assumed one counts.
    """
    parts, design = comparison.components, comparison.design
    squares = np.square(np.nan_to_num(np.array(parts)))
    folds = squares[1] if design.folds > 1 else comparison.noise.assumed_sd**2
    contributions = {
        "patients": (squares[0] + squares[3] / design.seeds) / design.patients,
        "folds": folds / design.folds,
        "seeds": squares[2] / design.trainings,
    }
    if max(contributions.values()) == 0:
        return ""
    return max(contributions, key=lambda source: contributions[source])
