"""Marks on rows that must not be mistaken for others: ensembles, pretrained weights, selection on the test set."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchbench.plan.run import GROUP, Group
from benchbench.tables.results import Results

OPTIMISTIC_NOTE = "optimistic selection"


MARKS = ("ensemble_of", "pretrained", "selection")
"""Columns of what sets a row apart from its neighbours, where any row is."""


def marked(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """The table with marks behind the variant."""
    if table.empty:
        return table
    groups = list(table[GROUP].itertuples(index=False, name=None))
    return with_marks(results, table, groups, place=int(table.columns.get_loc("variant")) + 1)


def with_marks(
    results: Results, table: pd.DataFrame, groups: Sequence[Group], *, place: int | None = None
) -> pd.DataFrame:
    """The table of rows of these groups, with columns of `MARKS` where any row has one.

    They say of which models a row is an ensemble, which weights a model starts from, if not from random ones, and
    whether its checkpoint was chosen on the cases that are scored.
    """
    starts = {key.group: record.pretrained for key, record in results.records.items() if record.pretrained}
    marks = {
        "ensemble_of": [results.manifest.ensembles.get(model, "") for _, model, _ in groups],
        "pretrained": [starts.get(group, "") for group in groups],
        "selection": [OPTIMISTIC_NOTE if results.selects_on_test_set(variant) else "" for _, _, variant in groups],
    }
    needed = [name for name in MARKS if (any(starts.values()) if name == "pretrained" else any(marks[name]))]
    first = len(table.columns) if place is None else place
    for at, name in enumerate(needed, start=first):
        table.insert(at, name, marks[name])
    return table
