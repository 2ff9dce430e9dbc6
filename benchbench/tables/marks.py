"""Marks on rows that must not be mistaken for others: ensembles, pretrained weights, selection on the test set."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchbench.plan.run import GROUP, Group
from benchbench.tables.results import Results

OPTIMISTIC_NOTE = "optimistic selection"
MARKS = ("ensemble_of", "pretrained", "selection")
"""Columns of marks; a table has each of them only where a row needs it."""


def with_marks(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table that has the columns of `GROUP`, with marks after the variant."""
    if table.empty:
        return table
    groups = [Group(*names) for names in table[GROUP].itertuples(index=False, name=None)]
    return insert_marks(results, table, groups, place=int(table.columns.get_loc("variant")) + 1)


def insert_marks(
    results: Results, table: pd.DataFrame, groups: Sequence[Group], *, place: int | None = None
) -> pd.DataFrame:
    """Return the table, whose rows belong to these groups, with the columns of `MARKS` that are needed.

    ensemble_of names the members of an ensemble, pretrained the weights that a model starts from, and selection
    marks checkpoints that were chosen on the cases that are scored. The columns are inserted at `place`, or last.
    """
    pretrained = _pretrained(results)
    marks = {
        "ensemble_of": [results.manifest.ensembles.get(group.model, "") for group in groups],
        "pretrained": [pretrained.get(group, "") for group in groups],
        "selection": [_selection(results, group) for group in groups],
    }
    # pretrained weights anywhere in the benchmark are marked in all its tables
    is_needed = {name: any(values) for name, values in marks.items()} | {"pretrained": bool(pretrained)}
    if place is None:
        place = len(table.columns)
    for name in reversed(MARKS):
        if is_needed[name]:
            table.insert(place, name, marks[name])
    return table


def _pretrained(results: Results) -> dict[Group, str]:
    return {key.group: record.pretrained for key, record in results.records.items() if record.pretrained}


def _selection(results: Results, group: Group) -> str:
    return OPTIMISTIC_NOTE if results.selects_on_test_set(group.variant) else ""
