"""Marks on rows that must not be mistaken for others: ensembles, own settings, pretrained weights, selection."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchbench.plan.contamination import contamination
from benchbench.plan.run import GROUP, Group
from benchbench.tables.results import Results

OPTIMISTIC_NOTE = "optimistic selection"
LEAKY_NOTE = "leaky split"
MARKS = ("ensemble_of", "external", "own_settings", "pretrained", "contamination", "selection", "split")
"""Columns of marks; a table has those that any of its rows needs."""


def with_marks(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the marks of its rows after the variant."""
    if table.empty:
        return table
    groups = [Group(*names) for names in table[GROUP].itertuples(index=False, name=None)]
    return insert_marks(results, table, groups, place=int(table.columns.get_loc("variant")) + 1)


def insert_marks(
    results: Results, table: pd.DataFrame, groups: Sequence[Group], *, place: int | None = None
) -> pd.DataFrame:
    """Return the table with the columns of `MARKS` that its rows need, at `place` or at the end.

    `groups` has the group of each row. The marks are the members of an ensemble, what is known of predictions of
    another tool, the settings that a model has of its own, the pretrained weights that it starts from, why they
    keep it from being ranked, and notes where checkpoints are selected on the test set and where patients are in
    several parts. The column `pretrained` is there if any model of the benchmark starts from such weights.
    """
    pretrained = _pretrained_weights(results)
    if place is None:
        place = len(table.columns)
    for name in MARKS:
        marks = [_mark(name, group, results, pretrained) for group in groups]
        if any(marks) or (name == "pretrained" and pretrained):
            table.insert(place, name, marks)
            place += 1
    return table


def _pretrained_weights(results: Results) -> dict[Group, str]:
    weights: dict[Group, str] = {}
    for key, record in results.records.items():
        if record.pretrained:
            weights[key.group] = record.pretrained
    return weights


def contamination_of(results: Results, group: Group) -> str:
    """Return why a row is not ranked: the patients of its dataset that its weights saw; '' if none are known."""
    names = dict.fromkeys(results.manifest.pretrained_on.get(group.model, ()))
    for key, record in results.records.items():
        if key.group == group:
            names.update(dict.fromkeys(record.pretrained_on))
    return contamination(list(names), group.dataset, results.manifest.relatives.get(group.dataset, ()))


def _mark(name: str, group: Group, results: Results, pretrained: dict[Group, str]) -> str:
    manifest = results.manifest
    if name == "contamination":
        return contamination_of(results, group)
    marks = {
        "ensemble_of": manifest.ensembles.get(group.model, ""),
        "external": manifest.external.get(group.model, ""),
        "own_settings": manifest.own_text(group.variant, group.model),
        "pretrained": pretrained.get(group, ""),
        "split": LEAKY_NOTE if manifest.scores[group.variant].leaky_split else "",
        "selection": OPTIMISTIC_NOTE if results.selects_on_test_set(group.variant) else "",
    }
    return marks[name]
