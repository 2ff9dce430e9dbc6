"""Tables of the costs of runs and models; unlike scores they differ from one execution to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchbench.plan.run import GROUP, KEYS
from benchbench.results.record import Record
from benchbench.tables.marks import with_marks
from benchbench.tables.results import Results, with_integers


def cost_table(results: Results) -> pd.DataFrame:
    """Return one row per run that ended, with its costs and its device; empty cells were not measured.

    `seconds` is the time of the process that ended the run, from its start to its record; `train_seconds` is the
    time of all epochs, each with its inner validation. `uncounted` names the modules whose work the GMACs lack.
    """
    rows = [_row(results.records[key]) for key in results.planned if key in results.records]
    table = pd.DataFrame(rows)
    if not rows:
        table = pd.DataFrame(columns=[*KEYS, "seconds"])
    return _with_notes(results, table)


def cost_summary(results: Results) -> pd.DataFrame:
    """Return one row per dataset, model and variant with a run that is done.

    Times are means over these runs, GPU-hours and energy their sums, memory the largest of them. A number that one
    of them lacks is left empty, and so are parameters or GMACs that differ between them.
    """
    rows = [_row(results.records[key]) for key in results.planned if results.is_done(key)]
    if not rows:
        return _with_notes(results, pd.DataFrame(columns=[*GROUP, "runs", *_SUMMARY]))
    table = pd.DataFrame(rows)
    table = table.astype({name: np.float64 for name in _SUMMARY if name != "device"})
    runs = table.groupby(GROUP, sort=True)
    summary = runs.agg(_SUMMARY)
    summary.insert(0, "runs", runs.size())
    return _with_notes(results, summary.reset_index())


def _row(record: Record) -> dict[str, Any]:
    provenance, cost = record.provenance, record.cost
    return {
        **record.key._asdict(),
        "seconds": round(record.seconds, 3),
        "epochs": record.epochs,
        "train_seconds": _rounded(cost.get("train_seconds")),
        "gpu_hours": _rounded(cost.get("gpu_hours")),
        "energy_wh": _rounded(cost.get("energy_wh")),
        "parameters": record.parameters,
        "gmacs": cost.get("gmacs"),
        "gmacs_per_case": cost.get("gmacs_per_case"),
        "uncounted": "; ".join(cost.get("uncounted", ())),
        "ms_per_case_p50": _rounded(cost.get("ms_per_case_p50")),
        "ms_per_case_p90": _rounded(cost.get("ms_per_case_p90")),
        "images_per_second": _rounded(cost.get("images_per_second")),
        "device": provenance.get("name", provenance.get("device")),
        "runs_per_device": cost.get("runs_per_device"),
        "threads": provenance.get("threads"),
        "precision": provenance.get("precision"),
        "peak_memory_bytes": provenance.get("peak_memory_bytes"),
    }


def _rounded(value: float | None) -> float | None:
    if value is None:
        return None
    return round(value, 3)


def _mean(values: pd.Series) -> float:
    return float(values.mean(skipna=False))


def _total(values: pd.Series) -> float:
    return float(values.sum(skipna=False))


def _largest(values: pd.Series) -> float:
    return float(values.max(skipna=False))


def _common_number(values: pd.Series) -> float:
    """Return the number that all runs have; nan where they differ."""
    first = values.iloc[0]
    if (values == first).all():
        return float(first)
    return np.nan


def _distinct(values: pd.Series) -> str:
    return ", ".join(values.unique())


_SUMMARY: Mapping[str, Callable[[pd.Series], float | str]] = {
    "parameters": _common_number,
    "gmacs": _common_number,
    "train_seconds": _mean,
    "gpu_hours": _total,
    "ms_per_case_p50": _mean,
    "ms_per_case_p90": _mean,
    "images_per_second": _mean,
    "peak_memory_bytes": _largest,
    "energy_wh": _total,
    "device": _distinct,
}


def _with_notes(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    table.insert(len(table.columns), "data", results.data)
    return with_marks(results, with_integers(table))
