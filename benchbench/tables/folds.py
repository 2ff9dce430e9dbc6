"""The table with one row per run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchbench.results.record import Record
from benchbench.tables.marks import marked
from benchbench.tables.results import Results, lines_of_run, made_once, whole_numbers
from benchbench.tables.summaries import summaries


@made_once
def fold_table(results: Results) -> pd.DataFrame:
    """One row a planned run: its scores by every aggregate, how many cases, how it ended.

    Seconds are in `cost_tables`: they differ from one execution to the next, these numbers do not.
    """
    rows = []
    for key in results.planned:
        record = results.records.get(key)
        ended = {"status": record.status if record else "not run", "reason": record.reason if record else ""}
        scores = _scores(results, key.variant, lines_of_run(results.cases, key), lines_of_run(results.slices, key))
        rows.append({**key._asdict(), **ended, **scores, **_recorded(record), "data": results.data})
    table = pd.DataFrame(rows)
    last = [*_recorded(None), "data"]  # a first run without scores would put them before the scores
    return marked(results, whole_numbers(table[[*(name for name in table if name not in last), *last]]))


def _recorded(record: Record | None) -> dict[str, Any]:
    if record is None:
        return dict.fromkeys(("parameters", "epochs", "best_epoch", "digest", "data_digest", "split_digest"))
    digests = {name: getattr(record, name)[:12] for name in ("digest", "data_digest", "split_digest")}
    return {"parameters": record.parameters, "epochs": record.epochs, "best_epoch": record.best_epoch, **digests}


def _scores(results: Results, variant: str, cases: pd.DataFrame, slices: pd.DataFrame) -> dict[str, Any]:
    """A run's columns: case means under the metric's own name, other aggregates under theirs."""
    lines = list(summaries(cases, slices, **results.rules(variant)))
    if not lines:
        return {}
    row = {
        "n_cases": max(line["n"] for line in lines if line["aggregate"] == "case"),
        "n_ref_empty": lines[0]["n_ref_empty"],
    }
    has_several_regions = len({line["region"] for line in lines}) > 2
    for line in lines:
        name = line["metric"] if line["aggregate"] == "case" else f"{line['metric']}_{line['aggregate']}"
        if line["region"] == "mean":
            row[name] = line["mean"]
        elif has_several_regions:
            row[f"{name}:{line['region']}"] = line["mean"]
    return {**row, "dice_pos": lines[0]["dice_pos"]}
