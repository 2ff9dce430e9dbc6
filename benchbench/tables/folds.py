"""The table of runs: one row per fold and seed."""

from __future__ import annotations

import pandas as pd

from benchbench.records.record import Record, Value
from benchbench.tables.marks import with_marks
from benchbench.tables.results import Results, cached_table, with_integers
from benchbench.tables.summaries import MEAN_REGION, SummaryLine, summaries

_DIGESTS = ("digest", "data_digest", "split_digest")
_DIGEST_LENGTH = 12
_LAST = ("parameters", "epochs", "best_epoch", *_DIGESTS, "data")


@cached_table
def fold_table(results: Results) -> pd.DataFrame:
    """Return one row per planned run: how it ended, the number of cases, and its scores by every aggregate.

    Seconds are in `cost_tables`, because they differ from one execution to the next; these numbers do not.
    """
    rows = []
    for key in results.planned:
        cases = results.cases_of([key])
        slices = results.slices_of([key])
        lines = list(summaries(cases, slices, **results.rules(key.variant)))
        record = results.records.get(key)
        row: dict[str, Value] = key._asdict()
        row |= _ending(record)
        row |= _scores(lines)
        row |= _recorded(record)
        row["data"] = results.data
        rows.append(row)
    table = pd.DataFrame(rows)
    # a first run without scores would put these columns before the scores
    scores_first = [name for name in table if name not in _LAST]
    return with_marks(results, with_integers(table[[*scores_first, *_LAST]]))


def _ending(record: Record | None) -> dict[str, Value]:
    if record is None:
        return {"status": "not run", "reason": ""}
    return {"status": record.status, "reason": record.reason}


def _recorded(record: Record | None) -> dict[str, Value]:
    if record is None:
        return dict.fromkeys(("parameters", "epochs", "best_epoch", *_DIGESTS))
    return {
        "parameters": record.parameters,
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "digest": record.digest[:_DIGEST_LENGTH],
        "data_digest": record.data_digest[:_DIGEST_LENGTH],
        "split_digest": record.split_digest[:_DIGEST_LENGTH],
    }


def _scores(lines: list[SummaryLine]) -> dict[str, Value]:
    """Return the scores of a run; a mean over cases has the metric's own name, others end with their aggregate."""
    if not lines:
        return {}
    first = lines[0]
    row: dict[str, Value] = {
        "n_cases": max(line.n for line in lines if line.aggregate == "case"),
        "n_ref_empty": first.n_ref_empty,
    }
    regions = {line.region for line in lines} - {MEAN_REGION}
    for line in lines:
        name = line.metric
        if line.aggregate != "case":
            name += f"_{line.aggregate}"
        if line.region == MEAN_REGION:
            row[name] = line.mean
        elif len(regions) > 1:
            row[f"{name}:{line.region}"] = line.mean
    row["dice_pos"] = first.dice_pos
    return row
