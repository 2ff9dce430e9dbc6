"""Tables of what runs and models cost; unlike scores they differ from one execution to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchbench.plan.run import GROUP, KEYS, RunKey
from benchbench.results.record import Record
from benchbench.tables.marks import marked
from benchbench.tables.results import Results, whole_numbers


def cost_table(results: Results) -> pd.DataFrame:
    """One row a run that ended: what it took, on what; empty where a number was not or cannot be measured.

    `seconds` are of the process that ended the run, from its beginning to its record; `train_seconds` of all
    epochs, each with its inner validation. `uncounted` names the modules whose work is not in the GMACs.
    """
    rows = [_row(results.records[key]) for key in results.planned if key in results.records]
    return _finished(results, pd.DataFrame(rows, columns=None if rows else [*KEYS, "seconds"]))


def cost_summary(results: Results) -> pd.DataFrame:
    """One row a dataset, model and variant with a run that is done.

    Times are means over those runs, GPU-hours and energy their sums, memory is the most that one of them took. A
    number that one of them lacks is left empty, and so are parameters or GMACs that are not the same in all.
    """
    rows = [_row(results.records[key]) for key in results.planned if results.is_done(key)]
    if not rows:
        return _finished(results, pd.DataFrame(columns=[*GROUP, "runs", *_SUMMARY]))
    table = pd.DataFrame(rows)
    table = table.astype({name: np.float64 for name in _SUMMARY if name != "device"})
    runs = table.groupby(GROUP, sort=True)
    summary = runs.agg(_SUMMARY)
    summary.insert(0, "runs", runs.size())
    return _finished(results, summary.reset_index())


def _row(record: Record) -> dict[str, Any]:
    given, cost = record.provenance, record.cost
    return {
        **RunKey._asdict(record.key),
        "seconds": round(record.seconds, 3),
        "epochs": record.epochs,
        **{name: _rounded(cost.get(name)) for name in ("train_seconds", "gpu_hours", "energy_wh")},
        "parameters": record.parameters,
        **{name: cost.get(name) for name in ("gmacs", "gmacs_per_case")},
        "uncounted": "; ".join(cost.get("uncounted", ())),
        **{name: _rounded(cost.get(name)) for name in ("ms_per_case_p50", "ms_per_case_p90", "images_per_second")},
        "device": given.get("name", given.get("device")),
        "runs_per_device": cost.get("runs_per_device"),
        **{name: given.get(name) for name in ("threads", "precision", "peak_memory_bytes")},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _mean(values: pd.Series) -> float:
    return float(values.mean(skipna=False))


def _total(values: pd.Series) -> float:
    return float(values.sum(skipna=False))


def _most(values: pd.Series) -> float:
    return float(values.max(skipna=False))


def _one(values: pd.Series) -> float:
    return float(values.iloc[0]) if (values == values.iloc[0]).all() else np.nan


def _all(values: pd.Series) -> str:
    return ", ".join(values.unique())


_SUMMARY: Mapping[str, Callable[[pd.Series], float | str]] = {
    "parameters": _one,
    "gmacs": _one,
    "train_seconds": _mean,
    "gpu_hours": _total,
    "ms_per_case_p50": _mean,
    "ms_per_case_p90": _mean,
    "images_per_second": _mean,
    "peak_memory_bytes": _most,
    "energy_wh": _total,
    "device": _all,
}


def _finished(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    table.insert(len(table.columns), "data", results.data)
    return marked(results, whole_numbers(table))
