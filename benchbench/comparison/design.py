"""Inputs to the statistics that follow from the metric and from the design of the benchmark."""

from __future__ import annotations

from benchbench.results.record import Record
from benchbench.spec.metric_names import is_lower_better

_ROPE = 0.01
_ROPE_DISTANCE = 1.0  # mm or pixels


def rope_of(metric: str) -> float:
    """Return half the width of the region of practical equivalence, in the metric's own unit."""
    if is_lower_better(metric):
        return _ROPE_DISTANCE
    return _ROPE


def test_over_train(record: Record, *, folds: int) -> float:
    """Return the ratio of tested to trained patients in one fold of a run.

    `folds` is the number of folds to assume if the record does not have it.
    """
    protocol = record.resolved.get("protocol", {})
    n_folds = int(protocol.get("folds", folds))
    validation = float(protocol.get("validation", 0.0))
    tested = protocol.get("test")
    if tested is not None:
        return float(tested) / ((1 - float(tested)) * (1 - validation))
    n_train_folds = max(n_folds - 1, 1) * (1 - validation)
    return 1 / n_train_folds
