"""Inputs to the statistics that follow from the design of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchbench.records.record import Record


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


def costs_of(records: Mapping[str, Sequence[Record]]) -> dict[str, float]:
    """Return label -> billions of multiply-adds for a case, the mean over its runs; unknown ones are left out."""
    costs: dict[str, float] = {}
    for label, of_label in records.items():
        per_run = [record.cost.get("gmacs_per_case") for record in of_label]
        known = [cost for cost in per_run if cost is not None]
        if known and len(known) == len(per_run):
            costs[label] = float(np.mean(known))
    return costs
