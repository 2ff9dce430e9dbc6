"""The lines of a plan: every run with its digest and state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchbench.launch.benchmark_files import Plan
from benchbench.plan.run import Run
from benchbench.plan.settings import own_settings
from benchbench.records.folder import ResultsFolder

TO_DO = "to do"


def plan_lines(plan: Plan, folders: Sequence[ResultsFolder]) -> list[dict[str, Any]]:
    """Return key, digest, state and own settings of each selected run.

    The state is the status of the first record in the folders that has the run's digest, or "to do".
    """
    own_of = own_settings(plan.benchmark, plan.selected)
    lines: list[dict[str, Any]] = []
    for run in plan.selected:
        line = {**run.key._asdict(), "digest": run.digest, "state": _state_of(run, folders)}
        settings = own_of.get(run.key.variant, {}).get(run.key.model)
        if settings is not None:
            line["own_settings"] = settings.text
        lines.append(line)
    return lines


def _state_of(run: Run, folders: Sequence[ResultsFolder]) -> str:
    """Return the status of the first record with the run's digest."""
    for folder in folders:
        record = folder.run(run.key).read_record()
        if record is not None and record.digest == run.digest:
            return record.status
    return TO_DO
