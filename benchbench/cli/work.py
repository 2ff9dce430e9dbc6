"""`benchbench work`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from benchbench.cli.options import (
    cache_option,
    choose_devices,
    choose_shared_gpus,
    compute_options,
    data_root_option,
    device_option,
    per_device_option,
    size_limit_option,
)

if TYPE_CHECKING:
    from benchbench.engine.devices.settings import ComputeSettings
    from benchbench.launch import RunEvent
    from benchbench.launch.job_assignments import Shard
    from benchbench.plan.run import RunKey
    from benchbench.records.folder import ResultsFolder
    from benchbench.run.assignment import Assignment

_POLL_SECONDS = 5.0


def _parse_shard(_context: click.Context, _option: click.Parameter, value: str) -> Shard:
    from benchbench.launch.job_assignments import Shard  # noqa: PLC0415 after --help has answered

    number, slash, count = value.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()) or int(number) >= int(count):
        raise click.BadParameter(f"found {value!r}, expected I/N with I from 0 to N - 1, such as 0/3")
    return Shard(int(number), int(count))


@click.command("work")
@click.argument("results", type=click.Path(path_type=Path))
@data_root_option
@cache_option
@size_limit_option
@device_option
@compute_options
@click.option("--until-empty", is_flag=True, help="End when every run has ended; default: wait for further plans.")
@click.option(
    "--shard",
    default="0/1",
    callback=_parse_shard,
    metavar="I/N",
    help="Part of the runs, counted from 0, for machines without a common folder.",
)
@click.option(
    "--jobs", type=click.IntRange(min=0), help="Runs at the same time; default: --per-device per device."
)
@per_device_option
@click.option("--cores", type=click.IntRange(min=1), help="CPU cores for all runs; default: all of this process.")
@click.option(
    "--scratch", type=click.Path(path_type=Path), help="Copy prepared cases to this folder of a local disk."
)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="End after others have carried out all that is left for so long; default: until they are done.",
)
@click.option("--most-runs", type=click.IntRange(min=1), help="End after so many runs.")
@click.option(
    "--most-losses",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Times that a run is repeated because its worker was lost; it then has failed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON, for launchers.")
@click.option("--end-with-stdin", is_flag=True, help="End, as after SIGTERM, when standard input is closed.")
def work_command(  # noqa: PLR0913 as many as the command has options
    results: Path,
    *,
    until_empty: bool,
    shard: Any,
    data_root: Path | None,
    cache: Path,
    device: str,
    settings: ComputeSettings,
    jobs: int | None,
    per_device: int | Literal["auto"],
    cores: int | None,
    scratch: Path | None,
    wait_seconds: float | None,
    most_runs: int | None,
    most_losses: int,
    as_json: bool,
    end_with_stdin: bool,
) -> int:
    """Carry out the planned runs in RESULTS, together with any number of such commands on other machines.

    `benchbench plan FILE --write` or `benchbench run FILE` writes the plan. Each run is claimed before it starts,
    so that no other command carries it out; a run whose machine was lost is continued by another. `benchbench
    report` writes tables and page.
    """
    from benchbench.launch.job_data import Roots  # noqa: PLC0415
    from benchbench.launch.machine import Machine  # noqa: PLC0415
    from benchbench.launch.work import work  # noqa: PLC0415
    from benchbench.launch.work_queue import Limits  # noqa: PLC0415
    from benchbench.records.folder import benchmark_folders  # noqa: PLC0415

    _stop_at_warning()
    if end_with_stdin:
        _end_with_stdin()
    devices = choose_devices(device)
    machine = Machine(
        results=results,
        cache=cache,
        data_root=data_root,
        devices=devices,
        jobs=jobs,
        per_device=per_device,
        shared_gpus=choose_shared_gpus(per_device, devices),
        cores=cores,
        settings=settings,
    )
    listener = _print_json if as_json else _print_event
    roots = Roots(cache=cache, data_root=data_root, scratch=scratch)
    limits = Limits(wait_seconds=wait_seconds, most_runs=most_runs, most_losses=most_losses)
    carry_out = partial(work, machine=machine, listener=listener, roots=roots, shard=shard, limits=limits)
    if until_empty or most_runs is not None:
        assignments = _carry_out(_planned_folders(results, is_needed=until_empty), carry_out)
        return _print_end(assignments, results)
    while True:
        folders = _planned_folders(results, is_needed=False)
        before = _job_file_states(folders)
        _carry_out(folders, carry_out)
        while _job_file_states(benchmark_folders(results)) == before:
            time.sleep(_POLL_SECONDS)


def _carry_out(
    folders: Sequence[ResultsFolder], carry_out: Callable[[ResultsFolder], list[Assignment]]
) -> list[Assignment]:
    """Carry out the runs of several folders and return them."""
    assignments: list[Assignment] = []
    for folder in folders:
        assignments += carry_out(folder)
    return assignments


def _planned_folders(results: Path, *, is_needed: bool) -> list[ResultsFolder]:
    """Return the folders that have a job file.

    Raises:
        UsageError: there is none, but it is needed.
    """
    from benchbench.errors import UsageError  # noqa: PLC0415 as above
    from benchbench.launch.job_file import JOB_FILE_NAME  # noqa: PLC0415 as above
    from benchbench.records.folder import benchmark_folders  # noqa: PLC0415 as above

    folders = [folder for folder in benchmark_folders(results) if (folder.path / JOB_FILE_NAME).exists()]
    if is_needed and not folders:
        raise UsageError(
            f"{results}: no {JOB_FILE_NAME} here or in its folders; `benchbench plan FILE --write` writes it"
        )
    return folders


def _print_end(assignments: list[Assignment], results: Path) -> int:
    """Print how many runs are done, and return the exit code."""
    from benchbench.launch.work import unfinished  # noqa: PLC0415 as above
    from benchbench.words import are  # noqa: PLC0415 as above

    left = len(unfinished(assignments))
    total = len(assignments)
    click.echo(f"{total - left} of {are(total, 'run')} done; `benchbench report {results}` writes tables and page")
    return 1 if left else 0


def _stop_at_warning() -> None:
    """Treat the signal that SLURM sends before a time limit as the one that asks to end."""
    if hasattr(signal, "SIGUSR1"):
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler):
            signal.signal(signal.SIGUSR1, handler)


def _job_file_states(folders: list[ResultsFolder]) -> dict[Path, int]:
    from benchbench.launch.job_file import JOB_FILE_NAME  # noqa: PLC0415 as above

    states: dict[Path, int] = {}
    for folder in folders:
        path = folder.path / JOB_FILE_NAME
        if path.exists():
            states[path] = os.stat(path).st_mtime_ns  # noqa: PTH116 one call
    return states


def _end_with_stdin() -> None:
    """End as after SIGTERM when standard input is closed, as it is when the process that started this one ends."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _print_json(key: RunKey, event: RunEvent) -> None:
    from benchbench.launch.event_lines import event_line  # noqa: PLC0415 as above

    click.echo(event_line(key, event))


def _print_event(key: RunKey, event: RunEvent) -> None:
    from benchbench.records.record import Record  # noqa: PLC0415 as above

    if isinstance(event, Record):
        text = f"{key}: {event.status}"
        if event.reason:
            text += f": {event.reason}"
        click.echo(f"{text} ({event.seconds:.1f} s)")
    elif isinstance(event, Exception):
        click.echo(f"{key}: {event}", err=True)
    elif event.remark:
        click.echo(f"{key}: {event.remark}")
    elif event.note:
        click.echo(f"{key}: epoch {event.epochs:.0f} of {event.total}: {event.note}")
