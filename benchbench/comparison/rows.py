"""Comparisons as rows of plain values, for DataFrames and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from benchbench.comparison import Outcome
from benchbench.statistics import Comparison, Interval, Rope, Unknown

_INTERVALS = ("interval", "new_patient")


def comparison_rows(outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    """Yield a row for each dataset and metric; a value that could not be computed is None."""
    for outcome in outcomes:
        for metric, comparison in outcome.comparisons.items():
            yield {"dataset": outcome.dataset, "metric": metric, **comparison_values(comparison)}


def comparison_values(comparison: Comparison) -> dict[str, Any]:
    """Return every number of a comparison by name.

    An interval is two numbers, named `_low` and `_high`; `note` has the reasons of what is None, and warnings.
    """
    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for field in fields(comparison):
        value = getattr(comparison, field.name)
        if isinstance(value, Unknown):
            reasons[field.name] = value.reason
            value = None
        if field.name in _INTERVALS:
            values |= _ends(field.name, value)
            if value is not None and value.warning:
                reasons[field.name] = value.warning
        elif isinstance(value, Rope):
            values |= {f"rope_{name}": share for name, share in value._asdict().items()}
        elif field.name != "noise":
            values[field.name] = value
    values["better"] = comparison.better
    values["is_decided"] = comparison.is_decided
    values["is_equivalent"] = comparison.is_equivalent
    values["note"] = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return values


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {f"{name}_low": None, f"{name}_high": None}
    return {f"{name}_low": interval.low, f"{name}_high": interval.high}
