"""Finds the runs of a plan that have the same digest: one of them is trained, and the others share its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchbench.plan.run import Run, RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.run.assignment import Assignment


def with_equal_runs(
    assignments: Sequence[Assignment], runs: Sequence[Run], folder: ResultsFolder
) -> list[Assignment]:
    """Return the assignments with the folders of the other runs of the plan that have the same digest."""
    keys_of: dict[str, list[RunKey]] = {}
    for run in runs:
        if run.is_trained:  # an ensemble trains nothing, and its record names its members
            keys_of.setdefault(run.digest, []).append(run.key)
    linked = []
    for assignment in assignments:
        others = [key for key in keys_of.get(assignment.digest, ()) if key != assignment.key]
        equal_runs = tuple(folder.run(key) for key in others)
        linked.append(replace(assignment, equal_runs=equal_runs))
    return linked
