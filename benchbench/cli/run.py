"""`benchbench run`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchbench.cli.options import (
    benchmark_options,
    cache_option,
    data_root_option,
    file_argument,
    pictures_option,
    read_plan,
    results_option,
)


@click.command("run")
@file_argument
@benchmark_options
@data_root_option
@results_option
@cache_option
@click.option(
    "--device", "--devices", default="auto", show_default=True, help="auto, cpu, cuda:N or a list of them."
)
@click.option("--compress-cache", is_flag=True, help="Less disk for prepared cases, more memory in every run.")
@click.option("--save-predictions", is_flag=True, help="Write the predicted labels of every test case as NIfTI.")
@pictures_option
@click.option("--jobs", type=click.IntRange(min=0), help="Runs at a time [one a device]; 0: in this process.")
def run_command(
    file: Path,
    *,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    rehearse: bool,
    data_root: Path | None,
    results: Path,
    cache: Path,
    device: str,
    compress_cache: bool,
    save_predictions: bool,
    no_pictures: bool,
    jobs: int | None,
) -> int:
    """Carry out the benchmark FILE: what is done is skipped, what is not is done."""
    from benchbench.cli.progress import screen  # noqa: PLC0415 after --help has answered
    from benchbench.engine.device import resolve_devices  # noqa: PLC0415
    from benchbench.orchestrate import Machine, carry_out  # noqa: PLC0415

    benchmark, registry, runs, selected = read_plan(file, overrides=overrides, only=only, rehearse=rehearse)
    machine = Machine(
        results=results,
        cache=cache,
        data_root=data_root,
        devices=resolve_devices(device),
        jobs=jobs,
        compress_cache=compress_cache,
        save_predictions=save_predictions,
        pictures=not no_pictures,
    )
    with screen(terminal=sys.stdout.isatty()) as observer:
        folder, records = carry_out(
            benchmark, runs, selected, registry=registry, machine=machine, observer=observer
        )
    from benchbench.cli.summary import print_folds  # noqa: PLC0415 pandas is in memory by now

    print_folds(folder)
    unfinished = [record for record in records if record is None or record.status != "done"]
    if unfinished:
        click.echo(
            f"{len(unfinished)} of {len(records)} runs did not end well; the table says which and why", err=True
        )
    return 1 if unfinished else 0
