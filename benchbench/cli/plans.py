"""Reads the benchmark files of a command line, all of them before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from benchbench.errors import UsageError
from benchbench.launch.preflight import check_models, check_steps
from benchbench.plan.expand import plan_runs
from benchbench.plan.run import Run
from benchbench.plan.select import select_runs
from benchbench.registry.registry import Registry
from benchbench.spec.benchmark import Benchmark, read_benchmark

T = TypeVar("T")
U = TypeVar("U")


class Plan(NamedTuple):
    """A benchmark, all of its runs and those selected."""

    benchmark: Benchmark
    runs: list[Run]
    selected: list[Run]


def read_plans(
    files: Sequence[Path], registry: Registry, *, overrides: Sequence[str], only: Sequence[str], rehearse: bool
) -> list[Plan]:
    """A plan for each file, but for those of several of which nothing is selected; these are named aloud.

    Raises:
        UsageError: with all that is wrong with the files, or with the selection.
    """

    def read(file: Path) -> Plan:
        benchmark = read_benchmark(file, check=registry.check, overrides=overrides, rehearse=rehearse)
        runs = plan_runs(benchmark, registry)
        check_steps(benchmark)
        return Plan(benchmark, runs, runs)

    plans = _ask_all(read, files)
    _refuse_shared_results(files, plans)
    known = [run for plan in plans for run in plan.runs]
    plans = [plan._replace(selected=select_runs(plan.runs, only, known=known)) for plan in plans]
    chosen = [plan for plan in plans if plan.selected]
    if not chosen:
        raise UsageError(f"--only {' '.join(only)}: no run is all of that at once; ask for less")
    for file, plan in zip(files, plans, strict=True):
        if not plan.selected:
            click.echo(f"{file}: skipped, as --only {' '.join(only)} means none of its runs")
    _ask_all(lambda plan: check_models(plan.benchmark, plan.selected, registry), chosen)
    return chosen


def _refuse_shared_results(files: Sequence[Path], plans: Sequence[Plan]) -> None:
    first: dict[str, Path] = {}
    for file, plan in zip(files, plans, strict=True):
        name = plan.benchmark.name
        if name in first:
            raise UsageError(
                f"{file}: results named '{name}' are those of {first[name]} already; give one of the two"
            )
        first[name] = file


def _ask_all(ask: Callable[[T], U], subjects: Iterable[T]) -> list[U]:
    """The answer for each subject.

    Raises:
        UsageError: the one that there was, or one with every problem of all.
    """
    answers, errors = [], []
    for subject in subjects:
        try:
            answers.append(ask(subject))
        except UsageError as error:
            errors.append(error)
    if len(errors) > 1:
        raise UsageError(*dict.fromkeys(problem for error in errors for problem in error.problems))
    if errors:
        raise errors[0]
    return answers
