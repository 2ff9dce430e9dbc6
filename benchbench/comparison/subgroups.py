"""Scores of a board by subgroups of patients: the values of their metadata, and the size of their lesions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchbench.comparison.board import Board
from benchbench.images.arrays import Floats
from benchbench.records.record import Value
from benchbench.spec.metric_names import value_range
from benchbench.statistics import Panel, Unknown, mean_interval
from benchbench.statistics.subgroups import Masks, SubgroupDifferences, subgroup_differences
from benchbench.tables.results import Results, table_of_rows
from benchbench.words import are, count, natural_order

FEWEST_PATIENTS = 10
"""Patients below which a subgroup, or all others together, are named and not tested."""
_MOST_VALUES = 20  # a column with more, such as a name, makes no subgroups
_FEWEST_NUMBERS = 6  # different numbers that are divided into thirds
_UNKNOWN_TEXTS = {"", "na", "n/a", "nan", "none", "null", "unknown", "?", "-"}
_SIZE = "size of the lesion"
_COLUMNS = (
    *("dataset", "metric", "column", "subgroup", "row", "patients", "mean", "low", "high"),
    *("difference", "difference_low", "difference_high", "p_adjusted", "note"),
)


class Subgroup(NamedTuple):
    """Some patients of a board."""

    column: str
    value: str
    members: Masks
    """(P,): True for the patients of the subgroup."""

    @property
    def patients(self) -> int:
        return int(self.members.sum())

    @property
    def note(self) -> str:
        """The reason why the subgroup is not tested; '' where it is."""
        n_others = len(self.members) - self.patients
        if self.patients < FEWEST_PATIENTS:
            return f"{are(self.patients, 'patient')} too few for a test; {FEWEST_PATIENTS} are the least"
        if n_others < FEWEST_PATIENTS:
            return f"{count(n_others, 'other patient')}: too few for a test; {FEWEST_PATIENTS} are the least"
        return ""


def subgroup_table(results: Results, board: Board) -> pd.DataFrame:
    """Return a line per subgroup and row of the board; a subgroup that is not tested has one line.

    `difference` is that between the patients of the subgroup and the others of the same folds; its interval and
    `p_adjusted` are adjusted for all subgroups and rows together.
    """
    subgroups = list(subgroups_of(results, board))
    tested = [group for group in subgroups if not group.note]
    lines: list[dict[str, Value]] = []
    if tested:
        members = np.stack([group.members for group in tested])
        compared = subgroup_differences(board.panel, members)
        for place, group in enumerate(tested):
            lines += _lines(board, group, compared, place)
    for group in subgroups:
        if group.note:
            lines.append({**_basis(board, group), "row": "", "note": group.note})
    return table_of_rows(lines, _COLUMNS).reindex(columns=list(_COLUMNS))


def _basis(board: Board, group: Subgroup) -> dict[str, Value]:
    return {
        "dataset": board.dataset,
        "metric": board.metric,
        "column": group.column,
        "subgroup": group.value,
        "patients": group.patients,
    }


def _lines(board: Board, group: Subgroup, compared: SubgroupDifferences, place: int) -> Iterator[dict[str, Value]]:
    for row, label in enumerate(board.panel.models):
        line: dict[str, Value] = {**_basis(board, group), "row": label, "note": ""}
        panel = _panel_of(board.panel.of([label]), group.members)
        line["mean"] = float(panel.patient_means.mean())
        interval = mean_interval(panel, method="t", value_range=value_range(board.metric))
        if not isinstance(interval, Unknown):
            line |= {"low": interval.low, "high": interval.high}
        difference, half = float(compared.differences[place, row]), float(compared.half_widths[place, row])
        if np.isnan(difference):
            yield {**line, "note": "no fold has patients of the subgroup and others"}
            continue
        line |= {"difference": difference, "difference_low": difference - half}
        line |= {"difference_high": difference + half, "p_adjusted": float(compared.p[place, row])}
        yield line


def _panel_of(panel: Panel, members: Masks) -> Panel:
    """Return the panel of some patients, each with one value, the mean over its cases."""
    values = panel.patient_means[:, members]
    _, folds = np.unique(panel.folds[members], return_inverse=True)
    patients = tuple(np.array(panel.patients)[members].tolist())
    return replace(panel, patients=patients, folds=folds, sums=values, counts=np.ones_like(values), by_seed=None)


def subgroups_of(results: Results, board: Board) -> Iterator[Subgroup]:
    """Yield the subgroups by metadata, column by column, and those by the size of the lesion.

    Numbers such as an age are divided into thirds. A column with one value, or with many texts, has none.
    """
    metadata = results.metadata.get(board.dataset, {})
    patients = board.panel.patients
    columns: dict[str, None] = {}
    for patient in patients:
        columns.update(dict.fromkeys(metadata.get(patient, {})))
    for column in columns:
        texts = [_clean(metadata.get(patient, {}).get(column, "")) for patient in patients]
        yield from _by_value(column, texts)
    yield from _by_size(_lesion_sizes(results, board))


def _clean(text: str) -> str:
    text = text.strip()
    return "not known" if text.lower() in _UNKNOWN_TEXTS else text


def _by_value(column: str, texts: Sequence[str]) -> Iterator[Subgroup]:
    numbers = _numbers(texts)
    if len(np.unique(numbers[~np.isnan(numbers)])) >= _FEWEST_NUMBERS:
        yield from _thirds(column, numbers, unit="")
        texts = ["not known" if text == "not known" else "" for text in texts]
    values = sorted(set(texts) - {""}, key=natural_order)
    is_divided = "" in texts
    if len(values) > _MOST_VALUES or (len(values) < 2 and not is_divided):
        return
    for value in values:
        yield Subgroup(column, value, np.array(texts) == value)


def _numbers(texts: Sequence[str]) -> Floats:
    """Return the texts as numbers, nan where unknown; all are nan if a text that is known is no number."""
    numbers = np.full(len(texts), np.nan)
    with contextlib.suppress(ValueError):
        known = [np.nan if text == "not known" else float(text) for text in texts]
        numbers = np.array(known)
    return numbers


def _thirds(column: str, numbers: Floats, *, unit: str) -> Iterator[Subgroup]:
    known = numbers[~np.isnan(numbers)]
    low, high = np.quantile(known, [1 / 3, 2 / 3], method="lower").tolist()
    yield Subgroup(column, f"up to {low:g}{unit}", numbers <= low)
    if high > low:
        yield Subgroup(column, f"above {low:g} to {high:g}{unit}", (numbers > low) & (numbers <= high))
    yield Subgroup(column, f"above {high:g}{unit}", numbers > high)


def _by_size(sizes: Floats) -> Iterator[Subgroup]:
    has_lesion = sizes > 0
    if not has_lesion.all():
        yield Subgroup(_SIZE, "no lesion", ~has_lesion)
    if has_lesion.any() and np.ptp(sizes[has_lesion]) > 0:
        yield from _thirds(_SIZE, np.where(has_lesion, sizes, np.nan), unit=" voxels")


def _lesion_sizes(results: Results, board: Board) -> Floats:
    """Return (P,) the voxels of the reference of each patient: the mean over cases of the largest region."""
    first = next(iter(board.rows.values()))
    cases = results.cases_of(first.runs)
    voxels = cases.assign(size=cases["tp"] + cases["fn"])
    by_case = voxels.groupby(["patient", "case"])["size"].max()
    by_patient: Mapping[str, float] = by_case.groupby(level="patient").mean().round().to_dict()
    return np.array([by_patient[patient] for patient in board.panel.patients], dtype=np.float64)
