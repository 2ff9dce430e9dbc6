"""Tables of the cost of runs and models; unlike scores, costs differ from one execution to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchbench.plan.run import GROUP
from benchbench.records.record import Record, Value
from benchbench.tables.marks import with_marks
from benchbench.tables.results import Results, cached_table, groups_of, with_integers

STEADY = 1.5
"""Ratio of two times of the same model up to which the machine counts as equally busy."""
_COMPILED = {"on": "compiled", "graph": "compiled with CUDA graphs"}
_TEXTS = ("device", "ms_per_case_range", "unsteady", "trained_as")
_SPENT_ONCE = ("gpu_hours", "energy_wh")
"""Costs that are added up over runs, and so belong to one of the runs that share a training."""


@cached_table
def cost_table(results: Results) -> pd.DataFrame:
    """Return one row per planned run: its cost, and the machine; empty where a number was not measured.

    `seconds` is the wall time of the process that ended the run; `train_seconds` is that of all epochs, each with
    its inner validation. `uncounted` names the modules whose work is not in the GMACs. A run that shares the
    results of another, named in `trained_as`, has 0 GPU-hours and energy: a sum counts every training once.
    """
    recorded = [results.records[key] for key in results.planned if key in results.records]
    rows = {record.key: row for record, row in zip(recorded, _rows(recorded), strict=True)}
    planned = [rows.get(key, key._asdict()) for key in results.planned]
    table = pd.DataFrame(planned)
    if not rows:
        table["seconds"] = np.nan
    return _finish(results, table)


def total_gpu_hours(results: Results) -> float | None:
    """Return the GPU-hours of all finished runs, each training counted once; None where one was not measured."""
    done = [results.records[key] for key in results.planned if results.is_done(key)]
    hours = [row["gpu_hours"] for row in _rows(done)]
    known = [float(value) for value in hours if value is not None]
    if not known or len(known) < len(hours):
        return None
    return sum(known)


@cached_table
def cost_summary(results: Results) -> pd.DataFrame:
    """Return one row per dataset, model and variant, over its finished runs.

    Times are means over these runs, GPU-hours and energy are sums, memory and load are maxima. Where some runs
    shared a device with fewer others, the times are those of these runs alone, `timed_runs`. `trained_as` names
    the rows whose runs were trained in place of this row's, which adds no GPU-hours and energy. A number that one
    of the runs lacks is left empty, as are parameters and GMACs that differ between runs. `ms_per_case_range` has
    the fastest and the slowest run; `unsteady` names the times that differ by more than 1.5 times between runs,
    and by how much: such a machine was busy, and the mean says little about the model.
    """
    done = [results.records[key] for key in results.planned if results.is_done(key)]
    if not done:
        groups = pd.DataFrame(groups_of(results), columns=GROUP).assign(runs=0, timed_runs=0)
        return _finish(results, groups.reindex(columns=[*GROUP, "runs", "timed_runs", *_SUMMARY]))
    numbers = {name: np.float64 for name in _SUMMARY if name != "device"}
    table = pd.DataFrame(_rows(done)).astype(numbers)
    runs = table.groupby(GROUP, sort=True)
    timed = pd.concat([timed_lines(lines) for _, lines in runs]).groupby(GROUP, sort=True)
    summary = runs.agg(_SUMMARY)
    summary[list(_TIMES)] = timed.agg(dict.fromkeys(_TIMES, _strict_mean))
    summary.insert(0, "runs", runs.size())
    summary.insert(1, "timed_runs", timed.size())
    summary["ms_per_case_range"] = timed["ms_per_case_p50"].agg(_describe_range)
    unsteady = {group: ", ".join(_unsteady_times(lines)) for group, lines in timed}
    summary["unsteady"] = pd.Series(unsteady)
    summary["trained_as"] = runs["trained_as"].agg(_join_rows)
    summary = summary.reindex(pd.MultiIndex.from_tuples(groups_of(results), names=GROUP))
    counts = dict.fromkeys(("runs", "timed_runs"), 0)
    summary = summary.fillna({**counts, **dict.fromkeys(_TEXTS, "")}).astype(dict.fromkeys(counts, int))
    return _finish(results, summary.reset_index())


def timed_lines(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of a row whose times count: those that shared a device with the fewest others."""
    shared = pd.to_numeric(runs["runs_per_device"])
    return runs[shared.isna() | (shared == shared.min())]


def _rows(records: Sequence[Record]) -> list[dict[str, Value]]:
    """Return the row of each record; of those that share a training, only one has its GPU-hours and energy."""
    recorded = {str(record.key) for record in records}
    counted: set[str] = set()
    rows = []
    for record in records:
        row = _row(record)
        source = record.trained_as
        if source in recorded or source in counted:
            for name in _SPENT_ONCE:
                row[name] = None if row[name] is None else 0.0
        if source:
            counted.add(source)
        rows.append(row)
    return rows


def _row(record: Record) -> dict[str, Value]:
    provenance, cost = record.provenance, record.cost
    return {
        **record.key._asdict(),
        "seconds": round(record.seconds, 3),
        "epochs": record.epochs,
        "train_seconds": _round(cost.get("train_seconds")),
        "train_cpu_seconds": _round(cost.get("train_cpu_seconds")),
        "compile_seconds": _round(cost.get("compile_seconds")),
        "gpu_hours": _round(cost.get("gpu_hours")),
        "energy_wh": _round(cost.get("energy_wh")),
        "parameters": record.parameters,
        "gmacs": cost.get("gmacs"),
        "gmacs_per_case": cost.get("gmacs_per_case"),
        "uncounted": "; ".join(cost.get("uncounted", ())),
        "ms_per_case_p50": _round(cost.get("ms_per_case_p50")),
        "ms_per_case_p90": _round(cost.get("ms_per_case_p90")),
        "cpu_ms_per_case_p50": _round(cost.get("cpu_ms_per_case_p50")),
        "images_per_second": _round(cost.get("images_per_second")),
        "device": provenance.get("name", provenance.get("device")),
        "runs_per_device": cost.get("runs_per_device"),
        "gpu_busy": _round(cost.get("gpu_busy")),
        "gpu_memory_bytes": cost.get("gpu_memory_bytes"),
        "load": _round(cost.get("load")),
        "threads": provenance.get("threads"),
        "precision": _precision(provenance),
        "memory_layout": provenance.get("memory_layout"),
        "peak_memory_bytes": _memory_without_data(record),
        "resident_bytes": cost.get("resident_bytes"),
        "trained_as": record.trained_as,
    }


def _precision(provenance: Mapping[str, Any]) -> str | None:
    """Return the precision, and that the training steps were compiled: both change numbers by rounding."""
    precision: str | None = provenance.get("precision")
    compiled = provenance.get("compiled", "off")
    return precision if compiled == "off" else f"{precision}, {_COMPILED[compiled]}"


def _memory_without_data(record: Record) -> int | None:
    """Return the peak memory of a run less that of the cases which stay on the GPU; they depend on the dataset."""
    peak: int | None = record.provenance.get("peak_memory_bytes")
    return None if peak is None else peak - record.cost.get("resident_bytes", 0)


def _round(value: float | None) -> float | None:
    if value is None:
        return None
    return round(value, 3)


def _strict_mean(values: pd.Series) -> float:
    return float(values.mean(skipna=False))


def _strict_sum(values: pd.Series) -> float:
    return float(values.sum(skipna=False))


def _strict_max(values: pd.Series) -> float:
    return float(values.max(skipna=False))


def _describe_range(values: pd.Series) -> str:
    """Return the smallest and the largest value; '' where a run lacks it or there is one run."""
    if len(values) < 2 or values.isna().any():
        return ""
    return f"{values.min():.1f} to {values.max():.1f}"


def _unsteady_times(runs: pd.DataFrame) -> Iterator[str]:
    """Yield each time of which the largest and smallest value of the runs are more than 1.5 times apart."""
    times = runs[["ms_per_case_p50", "images_per_second"]].copy()
    times["train_seconds"] = runs["train_seconds"] / runs["epochs"]  # a run may have stopped early
    for name, values in times.items():
        factor = unsteadiness(values)
        if factor > STEADY:
            yield f"{name} {factor:.1f} times"


def unsteadiness(values: pd.Series) -> float:
    """Return the ratio of the largest and the smallest value of runs; 1 where there are fewer than two."""
    known = pd.to_numeric(values).dropna()
    if len(known) < 2 or known.min() <= 0:
        return 1.0
    return float(known.max() / known.min())


def _common_value(values: pd.Series) -> float:
    """Return the value that all runs have; nan if they differ."""
    first = values.iloc[0]
    if (values == first).all():
        return float(first)
    return np.nan


def _join_different(values: pd.Series) -> str:
    return ", ".join(values.unique())


def _join_rows(keys: pd.Series) -> str:
    """Return the rows of the runs with these keys, without their folds and seeds; '' where there is none."""
    rows = dict.fromkeys(row_of(key) for key in keys if key)
    return ", ".join(rows)


def row_of(key: str) -> str:
    """Return the dataset, model and variant of the text of a run's key."""
    return "/".join(key.split("/")[:-2])


_SUMMARY: Mapping[str, Callable[[pd.Series], float | str]] = {
    "parameters": _common_value,
    "gmacs": _common_value,
    "train_seconds": _strict_mean,
    "train_cpu_seconds": _strict_mean,
    "gpu_hours": _strict_sum,
    "ms_per_case_p50": _strict_mean,
    "ms_per_case_p90": _strict_mean,
    "cpu_ms_per_case_p50": _strict_mean,
    "images_per_second": _strict_mean,
    "peak_memory_bytes": _strict_max,
    "load": _strict_max,
    "energy_wh": _strict_sum,
    "device": _join_different,
}
_TIMES = tuple(name for name, combine in _SUMMARY.items() if combine is _strict_mean)


def _finish(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    table.insert(len(table.columns), "data", results.data)
    return with_marks(results, with_integers(table))
