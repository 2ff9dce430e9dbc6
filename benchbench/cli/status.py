"""`benchbench status`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.json_output import document_of, format_option

if TYPE_CHECKING:
    from benchbench.records.folder import ResultsFolder
    from benchbench.tables.run_states import RunState

_PAUSE_SECONDS = 5.0


@click.command("status")
@click.argument("results", type=click.Path(path_type=Path), default=Path("results"))
@click.option("--watch", is_flag=True, help="Print again every 5 seconds until no run is left.")
@format_option
def status_command(results: Path, *, watch: bool, output_format: str) -> None:
    """Show the state of each planned run in RESULTS (default: results), and the machine that carries it out.

    A run is to do, running, lost (its machine renews its claim no more, so that another takes over), or what its
    record says: done, diverged, failed or waiting.
    """
    from benchbench.errors import UsageError  # noqa: PLC0415 after --help has answered
    from benchbench.records.folder import benchmark_folders  # noqa: PLC0415

    folders = benchmark_folders(results)
    if not folders:
        raise UsageError(f"{results}: no benchmark.json here or in its folders; give the results folder of a run")
    if watch and output_format == "json":
        raise UsageError("--watch: prints again and again, and --format json prints one document; leave one out")
    with document_of("status", output_format) as document:
        if document.is_json:
            document.content = {"benchmarks": [_content(folder) for folder in folders]}
        else:
            _print_until_over(folders, watch=watch)


def _print_until_over(folders: Sequence[ResultsFolder], *, watch: bool) -> None:
    """Print all states; with `watch`, again and again until no run is left."""
    from benchbench.tables.run_states import OPEN_STATES, run_states  # noqa: PLC0415 as above

    while True:
        states: list[RunState] = []
        for folder in folders:
            of_folder = run_states(folder)
            _print(folder, of_folder)
            states += of_folder
        if not watch or not any(state.state in OPEN_STATES for state in states):
            return
        time.sleep(_PAUSE_SECONDS)
        click.echo()


def _content(folder: ResultsFolder) -> dict[str, Any]:
    from benchbench.tables.run_states import count_states, run_states  # noqa: PLC0415 as above

    states = run_states(folder)
    runs = []
    for state in states:
        epochs = int(state.epochs) if state.epochs else None
        ending = {"state": state.state, "machine": state.machine, "epochs": epochs}
        ending |= {"trials": state.trials, "reason": state.reason}
        runs.append({**state.key._asdict(), **ending})
    return {"name": folder.path.name, "folder": folder.path, "runs": runs, "counts": count_states(states)}


def _print(folder: ResultsFolder, states: Sequence[RunState]) -> None:
    from benchbench.cli.terminal import Column, print_table  # noqa: PLC0415 as above
    from benchbench.plan.run import RunKey  # noqa: PLC0415 as above
    from benchbench.tables.run_states import count_states  # noqa: PLC0415 as above
    from benchbench.words import count  # noqa: PLC0415 as above

    columns = [Column(name=name, is_key=True, is_number=name in {"fold", "seed"}) for name in RunKey._fields]
    columns += [Column(name="state", is_fixed=True), Column(name="machine"), Column(name="epochs", is_number=True)]
    has_trials = any(state.trials for state in states)
    if has_trials:
        columns.append(Column(name="trials"))
    rows = []
    for state in states:
        keys = [str(value) for value in state.key]
        rows.append([*keys, state.state, state.machine, state.epochs])
        if has_trials:
            rows[-1].append(state.trials)
    print_table(columns, rows, title=folder.path.name)
    counts = ", ".join(f"{number} {state}" for state, number in count_states(states).items())
    click.echo(f"{count(len(states), 'run')}: {counts}")
    for state in states:
        if state.reason:
            click.echo(f"{state.key}: {state.reason}")
