"""Reads and checks benchmark files before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from benchbench.data.folder import described_params
from benchbench.data.phantom_facts import phantom_facts
from benchbench.errors import UsageError
from benchbench.launch.preflight import check_models, check_steps
from benchbench.plan.expand import plan_runs
from benchbench.plan.run import Run, RunKey
from benchbench.plan.select import select_runs
from benchbench.registry.registry import Registry
from benchbench.spec.benchmark import Benchmark, read_benchmark
from benchbench.spec.benchmark_file import DatasetEntry

Echo = Callable[[str], None]
"""Prints a line that a user should read."""
T = TypeVar("T")
U = TypeVar("U")


class Plan(NamedTuple):
    """A benchmark with its runs."""

    benchmark: Benchmark
    runs: list[Run]
    selected: list[Run]
    """The runs that match `--only`."""
    exits: Mapping[RunKey, str]
    """The selected runs whose model ends the process that builds it, and how."""


def read_plans(
    files: Sequence[Path],
    registry: Registry,
    *,
    overrides: Sequence[str],
    only: Sequence[str],
    rehearse: bool,
    data_root: Path | None,
    echo: Echo,
) -> list[Plan]:
    """Return a plan per file; a file of which `--only` selects no run is skipped with a message.

    `echo` prints such a message, and one for each model that ends the process which builds it.

    Raises:
        UsageError: with every problem of the files or of the selection.
        DataError: files that describe a dataset cannot be read.
    """

    def describe(entry: DatasetEntry) -> Mapping[str, Any]:
        plugin = registry.named_dataset(entry)
        described = described_params(plugin, data_root=data_root)
        if not rehearse:
            return described
        facts = phantom_facts(plugin, {**described, **entry.params}, data_root=data_root)
        if facts is None:
            return described
        echo(facts.line)
        return {**described, **facts.params}

    def read(file: Path) -> Plan:
        benchmark = read_benchmark(
            file, check=registry.check, overrides=overrides, rehearse=rehearse, describe=describe
        )
        runs = plan_runs(benchmark, registry)
        check_steps(benchmark)
        return Plan(benchmark, runs, runs, {})

    plans = _apply_to_all(read, files)
    _check_result_names(files, plans)
    all_runs = [run for plan in plans for run in plan.runs]
    plans = [plan._replace(selected=select_runs(plan.runs, only, known=all_runs)) for plan in plans]
    selected = [plan for plan in plans if plan.selected]
    if not selected:
        raise UsageError(f"--only {' '.join(only)}: no run matches every --only filter; remove one")
    for file, plan in zip(files, plans, strict=True):
        if not plan.selected:
            echo(f"{file}: skipped, because --only {' '.join(only)} selects none of its runs")
    return _check_all_models(selected, registry, echo)


def _check_all_models(plans: Sequence[Plan], registry: Registry, echo: Echo) -> list[Plan]:
    """Build the models of all plans; one that ends the process is named, and the others go on."""

    def check(plan: Plan) -> Plan:
        return plan._replace(exits=check_models(plan.benchmark, plan.selected, registry))

    checked = _apply_to_all(check, plans)
    messages: dict[str, None] = {}
    for plan in checked:
        messages.update(dict.fromkeys(plan.exits.values()))
    for message in messages:
        echo(f"note: {message}; its runs fail")
    return checked


def _check_result_names(files: Sequence[Path], plans: Sequence[Plan]) -> None:
    """Refuse two files that would write to the same results folder."""
    first: dict[str, Path] = {}
    for file, plan in zip(files, plans, strict=True):
        name = plan.benchmark.name
        if name in first:
            raise UsageError(
                f"{file}: its results are named '{name}', as are those of {first[name]}; rename one of the files"
            )
        first[name] = file


def _apply_to_all(function: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Return what the function returns for each item.

    Raises:
        UsageError: the one that was raised, or one with the problems of all.
    """
    results: list[U] = []
    errors: list[UsageError] = []
    for item in items:
        try:
            results.append(function(item))
        except UsageError as error:
            errors.append(error)
    if len(errors) > 1:
        problems = [problem for error in errors for problem in error.problems]
        raise UsageError(*dict.fromkeys(problems))
    if errors:
        raise errors[0]
    return results
