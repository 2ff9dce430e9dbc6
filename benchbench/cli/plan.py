"""`benchbench plan`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.options import F, benchmark_options, file_argument, results_option

if TYPE_CHECKING:
    from benchbench.plan.run import Run
    from benchbench.results.folder import ResultsFolder

_TO_DO = "to do"


_IGNORED = ("--data-root", "--cache", "--device", "--devices", "--jobs", "--size-limit")
_IGNORED_FLAGS = ("--compress-cache", "--save-predictions", "--no-pictures")


def _options_of_run(command: F) -> F:
    """Add the options of `run` that change no plan, so that its command line works here, too."""
    for name in _IGNORED:
        is_hidden = name != "--data-root"
        command = click.option(name, expose_value=False, hidden=is_hidden, help="Not used here.")(command)
    for name in _IGNORED_FLAGS:
        command = click.option(name, expose_value=False, hidden=True, is_flag=True)(command)
    return command


@click.command("plan")
@file_argument
@benchmark_options
@results_option
@_options_of_run
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan_command(
    file: Path, *, overrides: tuple[str, ...], only: tuple[str, ...], rehearse: bool, results: Path, as_json: bool
) -> None:
    """List the runs of the benchmark FILE with digest and state.

    Here a run counts as done if a record has its digest; `run` also compares the data and the split.
    """
    from benchbench.cli.benchmark_files import read_plans  # noqa: PLC0415 after --help has answered
    from benchbench.registry.registry import discover  # noqa: PLC0415
    from benchbench.results.folder import results_folder  # noqa: PLC0415

    (plan,) = read_plans([file], discover(), overrides=overrides, only=only, rehearse=rehearse)
    benchmark = plan.benchmark
    folders = [results_folder(results, benchmark.name, phantom=True)]
    if not rehearse:  # a data root may hold phantom data, too
        folders.insert(0, results_folder(results, benchmark.name, phantom=False))
    lines = [
        {**run.key._asdict(), "digest": run.digest, "state": _state_of(run, folders)} for run in plan.selected
    ]
    if as_json:
        click.echo(json.dumps({"benchmark": benchmark.name, "title": benchmark.title, "runs": lines}, indent=1))
    else:
        _print(lines)


def _state_of(run: Run, folders: Sequence[ResultsFolder]) -> str:
    """Return the status of the first record with the run's digest."""
    for folder in folders:
        record = folder.run(run.key).read_record()
        if record is not None and record.digest == run.digest:
            return record.status
    return _TO_DO


def _print(lines: Sequence[dict[str, Any]]) -> None:
    from benchbench.cli.terminal import Column, print_table, print_text  # noqa: PLC0415 as above
    from benchbench.plan.run import RunKey  # noqa: PLC0415 as above
    from benchbench.words import count  # noqa: PLC0415 as above

    columns = [Column(name=name, is_key=True, is_number=name in {"fold", "seed"}) for name in RunKey._fields]
    columns += [Column(name="digest", is_fixed=True), Column(name="state", is_fixed=True)]
    rows = []
    unfinished: dict[str, int] = {}
    for line in lines:
        keys = [line[name] for name in RunKey._fields]
        rows.append([*keys, line["digest"][:12], line["state"]])
        if line["state"] in {_TO_DO, "failed", "waiting"}:
            unfinished[line["digest"]] = unfinished.get(line["digest"], 0) + 1
    print_table(columns, rows)
    text = f"{count(len(lines), 'run')}, {len(unfinished)} to do"
    n_shared = sum(unfinished.values()) - len(unfinished)
    if n_shared:
        text += f", {n_shared} of equal settings to share their results"
    print_text(text)
