"""The probability that the best row of a printed table is not the best, from what the table prints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from benchbench.images.arrays import Floats
from benchbench.spec.metric_names import is_lower_better
from benchbench.spec.reported import ReportedTable
from benchbench.statistics import p_from_folds, p_from_printed
from benchbench.words import count

ASSUMED_CORRELATION = 0.5
"""Correlation of the scores of two models over patients, where nothing else is known."""
_SD = "_sd"
_LOWER_IS_BETTER = ("loss", "cross_entropy", "error", "seconds", "parameters")


class Claim(NamedTuple):
    """The best row of a printed column, the one that comes closest, and whether the order may be chance."""

    best: str
    rival: str
    metric: str
    """The column; empty for a table of folds, which prints one metric."""
    p: float
    """Probability that the best row is not better than the rival."""
    basis: str
    """The numbers that the probability comes from, in words."""

    def __str__(self) -> str:
        by_metric = f" by {self.metric}" if self.metric else ""
        return f"{self.best} before {self.rival}{by_metric}: P(false claim) {self.p:.3f} ({self.basis})"


class _Row(NamedTuple):
    name: str
    mean: float
    sd: float


def claims_of(table: ReportedTable, *, correlation: float) -> list[Claim]:
    """Return a claim for each column with an SD, or one for a table of folds; none where neither is printed.

    `correlation` is that of the scores of two models over patients, which publications do not print.
    """
    if table.columns[0] == "fold":
        return list(_claims_of_folds(table))
    claims: list[Claim] = []
    for name in table.columns[1:]:
        rows = list(_rows_with_sd(table, name))
        if table.n is not None and len(rows) > 1:
            claims.append(_claim_of_column(rows, name, table.n, correlation=correlation))
    return claims


def _rows_with_sd(table: ReportedTable, name: str) -> Iterator[_Row]:
    if name + _SD not in table.columns:
        return
    mean_at, sd_at = table.columns.index(name), table.columns.index(name + _SD)
    for row in table.rows:
        mean, sd = row[mean_at], row[sd_at]
        if isinstance(mean, float | int) and isinstance(sd, float | int):
            yield _Row(str(row[0]), float(mean), float(sd))


def _claim_of_column(rows: list[_Row], metric: str, n: int, *, correlation: float) -> Claim:
    sign = -1 if _is_lower_better(metric) else 1
    best, *others = sorted(rows, key=lambda row: -sign * row.mean)
    p_of_rival = {
        rival: p_from_printed(sign * (best.mean - rival.mean), (best.sd, rival.sd), n=n, correlation=correlation)
        for rival in others
    }
    rival = max(p_of_rival, key=lambda row: p_of_rival[row])
    basis = f"{count(n, 'patient')}, printed SD, correlation {correlation:g} assumed"
    return Claim(best.name, rival.name, metric, p_of_rival[rival], basis)


def _claims_of_folds(table: ReportedTable) -> Iterator[Claim]:
    """Yield the claim of a table with a line for each fold and a column for each model."""
    columns = _fold_columns(table)
    if len(columns) < 2:
        return
    best, *others = sorted(columns, key=lambda name: -columns[name].mean())
    p_of_rival = {rival: p_from_folds(columns[best] - columns[rival]) for rival in others}
    rival = max(p_of_rival, key=lambda name: p_of_rival[name])
    basis = f"{count(len(columns[best]), 'fold')}, corrected for overlapping training sets"
    yield Claim(best, rival, "", p_of_rival[rival], basis)


def _fold_columns(table: ReportedTable) -> Mapping[str, Floats]:
    """Return the values of the folds of every column of numbers; a single fold gives none."""
    folds = [row for row in table.rows if str(row[0]).isdigit()]
    columns: dict[str, Floats] = {}
    for place, name in enumerate(table.columns[1:], start=1):
        values = [row[place] for row in folds]
        is_known = all(isinstance(value, float | int) for value in values)
        if is_known and len(values) > 1:
            columns[name] = np.array(values, dtype=np.float64)
    return columns


def _is_lower_better(metric: str) -> bool:
    return is_lower_better(metric) or any(word in metric for word in _LOWER_IS_BETTER)


def describe_claims(table: ReportedTable, *, correlation: float) -> Iterator[str]:
    """Yield each claim of a table as a sentence, or the reason why there is none."""
    claims = [claim for claim in claims_of(table, correlation=correlation) if math.isfinite(claim.p)]
    for claim in claims:
        yield str(claim)
    if not claims:
        yield "no probability: the table prints neither folds nor `n` and an SD (a column NAME_sd) of two rows"
