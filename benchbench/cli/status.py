"""`benchbench status`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchbench.results.folder import ResultsFolder
    from benchbench.tables.run_states import RunState

_PAUSE_SECONDS = 5.0


@click.command("status")
@click.argument("results", type=click.Path(path_type=Path), default=Path("results"))
@click.option("--watch", is_flag=True, help="Print again every 5 seconds until no run is left.")
def status_command(results: Path, *, watch: bool) -> None:
    """Show the state of each planned run in RESULTS (default: results), and the machine that carries it out.

    A run is to do, running, lost (its machine renews its claim no more, so that another takes over), or what its
    record says: done, diverged, failed or waiting.
    """
    from benchbench.errors import UsageError  # noqa: PLC0415 after --help has answered
    from benchbench.results.folder import benchmark_folders  # noqa: PLC0415
    from benchbench.tables.run_states import OPEN_STATES, run_states  # noqa: PLC0415

    folders = benchmark_folders(results)
    if not folders:
        raise UsageError(f"{results}: no benchmark.json here or in its folders; give the results folder of a run")
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


def _print(folder: ResultsFolder, states: Sequence[RunState]) -> None:
    from benchbench.cli.terminal import Column, print_table  # noqa: PLC0415 as above
    from benchbench.plan.run import RunKey  # noqa: PLC0415 as above
    from benchbench.tables.run_states import count_states  # noqa: PLC0415 as above
    from benchbench.words import count  # noqa: PLC0415 as above

    columns = [Column(name=name, is_key=True, is_number=name in {"fold", "seed"}) for name in RunKey._fields]
    columns += [Column(name="state", is_fixed=True), Column(name="machine"), Column(name="epochs", is_number=True)]
    rows = []
    for state in states:
        keys = [str(value) for value in state.key]
        rows.append([*keys, state.state, state.machine, state.epochs])
    print_table(columns, rows, title=folder.path.name)
    counts = ", ".join(f"{number} {state}" for state, number in count_states(states).items())
    click.echo(f"{count(len(states), 'run')}: {counts}")
    for state in states:
        if state.reason:
            click.echo(f"{state.key}: {state.reason}")
