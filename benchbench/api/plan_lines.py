"""The lines of a plan: every run with its digest and state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchbench.launch.benchmark_files import Plan
from benchbench.plan.run import Run
from benchbench.plan.settings import own_settings
from benchbench.records.folder import ResultsFolder
from benchbench.words import count

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


def trial_lines(plan: Plan) -> list[str]:
    """Return a sentence for each tuned row with its budget and its space; none without [tune]."""
    lines: dict[str, None] = {}
    for run in plan.selected:
        tuning = run.tuning
        if tuning is None or tuning.kind != "tuned":
            continue
        space = "; ".join(f"{path} {values}" for path, values in tuning.space.items())
        where = f"in each of {count(run.protocol.folds, 'fold')}" if run.protocol.folds > 1 else "in the one fold"
        lines[
            f"{run.model.row}, variant {run.variant}: {tuning.budget} {where} (sampler {tuning.sampler}, seed"
            f" {tuning.seed}): {space}"
        ] = None
    return list(lines)


def _state_of(run: Run, folders: Sequence[ResultsFolder]) -> str:
    """Return the status of the first record with the run's digest."""
    for folder in folders:
        record = folder.run(run.key).read_record()
        if record is not None and record.digest == run.digest:
            return record.status
    return TO_DO
