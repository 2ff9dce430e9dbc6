"""The trials of tuned rows: a line for each, and what each row has spent of its budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from benchbench.plan.run import KEYS
from benchbench.records.record import Record
from benchbench.spec.own_protocols import setting_text
from benchbench.tables.results import Results

_TRIAL_COLUMNS = (
    *(*KEYS, "trial", "state", "validation_value", "rank", "chosen", "epochs", "seconds", "settings", "reason"),
)
_SPENT_COLUMNS = (
    *("dataset", "row", "variant", "fold", "seed", "budget", "trials", "failed", "epochs", "trial_seconds"),
    *("file_score", "chosen_score", "settings"),
)

_DIGITS = 3  # of a chosen setting on the page; `tuning.csv` has all


def trial_table(results: Results) -> pd.DataFrame:
    """Return one row per trial of each finished tuned run, in the order of the trials; empty without [tune].

    `rank` 1 is the best trained trial of a run. A trial whose settings an earlier one had takes its value and
    spends nothing.
    """
    lines: list[dict[str, Any]] = []
    for record in _tuned(results):
        lines += _lines(record)
    table = pd.DataFrame(lines, columns=list(_TRIAL_COLUMNS))
    return table.astype({"rank": "Int64"})


def spent_table(results: Results, dataset: str) -> pd.DataFrame:
    """Return one row per tuned run of a dataset: its budget, what its trials spent, and the choice."""
    lines: list[dict[str, Any]] = []
    for record in _tuned(results):
        if record.dataset != dataset:
            continue
        trials = record.tuning["trials"]
        chosen = trials[record.tuning["chosen"]]
        lines.append(
            {
                **record.key._asdict(),
                "row": record.model,
                "budget": record.tuning["budget"],
                "trials": len(trials),
                "failed": sum(trial["value"] is None for trial in trials),
                "epochs": sum(trial["epochs"] for trial in trials),
                "trial_seconds": sum(map(_seconds, trials)),
                "file_score": trials[0]["value"],
                "chosen_score": chosen["value"],
                "settings": _settings(chosen, digits=_DIGITS),
            }
        )
    return pd.DataFrame(lines, columns=list(_SPENT_COLUMNS))


def _tuned(results: Results) -> Iterator[Record]:
    """Yield the records of finished runs that have trials."""
    for key in filter(results.is_done, results.planned):
        record = results.records[key]
        if record.tuning.get("trials"):
            yield record


def _lines(record: Record) -> Iterator[dict[str, Any]]:
    trials: Sequence[Mapping[str, Any]] = record.tuning["trials"]
    trained = [trial for trial in trials if trial["value"] is not None and trial["same_as"] is None]
    order = sorted(trained, key=lambda trial: (-trial["value"], trial["number"]))
    ranks = {trial["number"]: rank for rank, trial in enumerate(order, start=1)}
    for trial in trials:
        number = trial["number"]
        yield {
            **record.key._asdict(),
            "trial": number,
            "state": _state(trial),
            "validation_value": trial["value"],
            "rank": ranks.get(number),
            "chosen": int(number == record.tuning["chosen"]),
            "epochs": trial["epochs"],
            "seconds": _seconds(trial),
            "settings": _settings(trial),
            "reason": trial["reason"],
        }


def _state(trial: Mapping[str, Any]) -> str:
    if trial["value"] is None:
        return "failed"
    return "done" if trial["same_as"] is None else f"as trial {trial['same_as']}"


def _seconds(trial: Mapping[str, Any]) -> float:
    return float(trial["spent"].get("train_seconds") or 0.0)


def _settings(trial: Mapping[str, Any], *, digits: int = 0) -> str:
    """Return the settings in words, numbers with this many digits; those of trial 0 are the ones of the file."""
    parts = []
    for path, value in trial["settings"].items():
        name = path.removeprefix("protocol.").removeprefix("model.")
        text = setting_text(value)
        if digits and isinstance(value, float):
            text = f"{value:.{digits}g}"
        parts.append(f"{name} {text}")
    return "; ".join(parts)
