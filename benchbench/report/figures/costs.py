"""The costs of the models of a board, as far as they are known and comparable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchbench.report.figures.board_view import BoardView
from benchbench.tables.cost_tables import STEADY, cost_table, timed_lines, unsteadiness
from benchbench.tables.results import Results, RunLines

_MACHINE = ["device", "threads", "precision", "runs_per_device"]


class Cost(NamedTuple):
    """A cost, by its column in `cost_table`."""

    column: str
    title: str
    is_timed: bool = False
    """True where values of different machines are not comparable."""
    is_of_training: bool = False
    """True where an ensemble, which trains nothing, does not have this cost."""


_COSTS = (
    Cost("parameters", "parameters"),
    Cost("ms_per_case_p50", "inference, ms per case", is_timed=True),
    Cost("train_seconds", "training, seconds per run", is_timed=True, is_of_training=True),
    Cost("gmacs_per_case", "GMACs per case"),
    Cost("seconds", "training and test, seconds per run", is_timed=True, is_of_training=True),
)


def costs_of(view: BoardView, results: Results) -> Iterator[tuple[Cost, Mapping[str, float]]]:
    """Yield each cost that at least two models have, with its mean over the runs of each label.

    A timed cost is left out where the runs used different machines; of a row, the runs count that shared a device
    with the fewest others.
    """
    table = cost_table(results)
    lines_of_runs = RunLines(table)
    for cost in _COSTS:
        if cost.column not in table:
            continue
        runs = _runs_with(cost, view, results, lines_of_runs)
        if cost.is_timed and _count_machines(runs.values()) > 1:
            continue
        means: dict[str, float] = {}
        for label, lines in runs.items():
            mean = _strict_mean(lines[cost.column])
            if mean > 0:
                means[label] = mean
        if len(means) > 1:
            yield _marked(cost, runs.values()), means


def _marked(cost: Cost, tables: Iterable[pd.DataFrame]) -> Cost:
    """Return the cost with a mark in its title where the runs of a row differ too much for a mean."""
    if cost.column != "ms_per_case_p50":  # the others depend on the number of epochs and cases too
        return cost
    factor = max(unsteadiness(lines[cost.column]) for lines in tables)
    if factor <= STEADY:
        return cost
    return cost._replace(title=f"{cost.title} (runs differ {factor:.1f} times)")


def _runs_with(cost: Cost, view: BoardView, results: Results, table: RunLines) -> dict[str, pd.DataFrame]:
    """Return the lines of each label that has this cost."""
    ensembles = results.manifest.ensembles
    runs: dict[str, pd.DataFrame] = {}
    for label, row in view.board.rows.items():
        is_ensemble = row.group.model in ensembles
        if not (cost.is_of_training and is_ensemble):
            lines = table.select(row.runs)
            runs[label] = timed_lines(lines) if cost.is_timed and "runs_per_device" in lines else lines
    return runs


def _strict_mean(values: pd.Series) -> float:
    """Return the mean; nan if one value is missing."""
    return float(pd.to_numeric(values).to_numpy(np.float64, na_value=np.nan).mean())


def _count_machines(tables: Iterable[pd.DataFrame]) -> int:
    runs = pd.concat(list(tables))
    columns = [name for name in _MACHINE if name in runs]
    return len(runs[columns].drop_duplicates())
