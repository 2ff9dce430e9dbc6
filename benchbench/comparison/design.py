"""What the design of an experiment gives to its statistics."""

from __future__ import annotations

from benchbench.results.record import Record
from benchbench.spec.metric_names import is_lower_better

ROPE, ROPE_FAR = 0.01, 1.0
"""What difference does not matter: of a share, and of a distance in mm or pixels."""


def rope_of(metric: str) -> float:
    """Half the width of the region of practical equivalence, in the metric's own unit."""
    return ROPE_FAR if is_lower_better(metric) else ROPE


def test_over_train(record: Record, *, folds: int) -> float:
    """Patients tested over patients trained on, in one fold of a run; `folds` where the record does not say."""
    protocol = record.resolved.get("protocol", {})
    planned, validation = int(protocol.get("folds", folds)), float(protocol.get("validation", 0.0))
    return 1 / (max(planned - 1, 1) * (1 - validation))
