"""The table with one row per run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchbench.results.record import Record
from benchbench.tables.marks import with_marks
from benchbench.tables.results import Results, cached_table, lines_of_run, with_integers
from benchbench.tables.summaries import summaries

_SIZES = ("parameters", "epochs", "best_epoch")
_DIGESTS = ("digest", "data_digest", "split_digest")
_DIGITS = 12
"""Digits of a digest that the table shows."""


@cached_table
def fold_table(results: Results) -> pd.DataFrame:
    """Return one row per planned run: its status, its scores by every aggregate and its digests.

    Seconds are in `cost_tables`: they differ from one execution to the next, these numbers do not.
    """
    rows = []
    for key in results.planned:
        record = results.records.get(key)
        scores = _scores(results, key.variant, lines_of_run(results.cases, key), lines_of_run(results.slices, key))
        rows.append({**key._asdict(), **_end(record), **scores, **_recorded(record), "data": results.data})
    table = pd.DataFrame(rows)
    last = [*_SIZES, *_DIGESTS, "data"]  # a first run without scores would put them before the scores
    columns = [*(name for name in table if name not in last), *last]
    return with_marks(results, with_integers(table[columns]))


def _end(record: Record | None) -> dict[str, str]:
    if record is None:
        return {"status": "not run", "reason": ""}
    return {"status": record.status, "reason": record.reason}


def _recorded(record: Record | None) -> dict[str, Any]:
    if record is None:
        return dict.fromkeys((*_SIZES, *_DIGESTS))
    sizes = {name: getattr(record, name) for name in _SIZES}
    digests = {name: getattr(record, name)[:_DIGITS] for name in _DIGESTS}
    return {**sizes, **digests}


def _scores(results: Results, variant: str, cases: pd.DataFrame, slices: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of a run: case means under the name of the metric, other aggregates with theirs added."""
    lines = list(summaries(cases, slices, **results.rules(variant)))
    if not lines:
        return {}
    row = {
        "n_cases": max(line["n"] for line in lines if line["aggregate"] == "case"),
        "n_ref_empty": lines[0]["n_ref_empty"],
    }
    regions = {line["region"] for line in lines} - {"mean"}
    for line in lines:
        name = line["metric"]
        if line["aggregate"] != "case":
            name = f"{name}_{line['aggregate']}"
        if line["region"] == "mean":
            row[name] = line["mean"]
        elif len(regions) > 1:
            row[f"{name}:{line['region']}"] = line["mean"]
    row["dice_pos"] = lines[0]["dice_pos"]
    return row
