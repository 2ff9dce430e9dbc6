"""Carrying out a benchmark of the third-party plugin inside a test, with an observer that keeps all events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbench.engine.devices.settings import DEFAULT_SETTINGS, ComputeSettings
from benchbench.launch import RunEvent
from benchbench.launch.machine import Machine
from benchbench.launch.orchestrate import carry_out
from benchbench.plan.expand import plan_runs
from benchbench.plan.run import RunKey
from benchbench.plan.select import select_runs
from benchbench.records.folder import ResultsFolder
from benchbench.records.record import Record
from benchbench.registry.registry import discover
from benchbench.run.assignment import Assignment
from benchbench.spec.benchmark import read_benchmark

TABLES = ["folds.csv", "summary.csv", "leaderboard.md", "tables/1-dice-fold-by-model.csv"]


class Recorder:
    """An observer that keeps all events."""

    def __init__(self) -> None:
        self.todo = self.done = self.prepared_cases = 0
        self.events: list[tuple[RunKey, RunEvent]] = []
        self.remarks: list[str] = []

    def on_preparation_start(self, dataset: str, cases: int) -> None: ...

    def on_check_start(self, dataset: str, cases: int) -> None: ...

    def on_case_prepared(self) -> None:
        self.prepared_cases += 1

    def on_remark(self, text: str) -> None:
        self.remarks.append(text)

    def on_runs_start(self, assignments: Sequence[Assignment], *, done: int) -> None:
        self.todo, self.done = len(assignments), done

    def on_run_event(self, key: RunKey, event: RunEvent) -> None:
        self.events.append((key, event))


def carry(
    file: Path,
    data: Path | None,
    tmp_path: Path,
    *sets: str,
    only: Sequence[str] = (),
    jobs: int = 0,
    rehearse: bool = False,
    settings: ComputeSettings = DEFAULT_SETTINGS,
    machine_options: Mapping[str, Any] | None = None,
) -> tuple[ResultsFolder, list[Record | None], Recorder]:
    registry = discover(["toy"])
    benchmark = read_benchmark(file, check=registry.check, overrides=sets, rehearse=rehearse)
    runs = plan_runs(benchmark, registry)
    machine = Machine(
        results=tmp_path / "results",
        cache=tmp_path / "cache",
        data_root=data,
        **{"devices": ("cpu",), "jobs": jobs, "settings": settings, **(machine_options or {})},
    )
    recorder = Recorder()
    folder, records = carry_out(
        benchmark, runs, select_runs(runs, only), registry=registry, machine=machine, observer=recorder
    )
    return folder, records, recorder


def tables(folder: ResultsFolder) -> dict[str, bytes]:
    return {name: (folder.path / name).read_bytes() for name in TABLES}
