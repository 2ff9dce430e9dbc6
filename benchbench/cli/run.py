"""`benchbench run`."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from benchbench.cli.options import (
    benchmark_options,
    cache_option,
    data_root_option,
    pictures_option,
    results_option,
)

if TYPE_CHECKING:
    from benchbench.cli.plans import Plan
    from benchbench.launch.orchestrate import Machine
    from benchbench.registry.registry import Registry


@click.command("run")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
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
    files: tuple[Path, ...],
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
    """Carry out every benchmark FILE, in this order: what is done is skipped, what is not is done."""
    from benchbench.cli.plans import read_plans  # noqa: PLC0415 after --help has answered
    from benchbench.engine.devices.device import resolve_devices  # noqa: PLC0415
    from benchbench.launch.orchestrate import Machine  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415

    registry = discover()
    plans = read_plans(files, registry, overrides=overrides, only=only, rehearse=rehearse)
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
    if len(files) == 1:
        return _carry_out(plans[0], registry, machine).exit_code
    return _carry_out_all(plans, lambda plan: _carry_out(plan, registry, machine))


class Ending(NamedTuple):
    """How a benchmark ended."""

    exit_code: int
    said: str


def _carry_out_all(plans: Sequence[Plan], carry_out: Callable[[Plan], Ending]) -> int:
    """Carries out each benchmark, whatever becomes of the others; the worst exit code."""
    from benchbench.errors import BenchbenchError  # noqa: PLC0415 as above

    endings: dict[str, Ending] = {}
    for plan in plans:
        name = plan.benchmark.name
        try:
            endings[name] = carry_out(plan)
        except BenchbenchError as error:
            if click.get_current_context().obj["debug"]:
                traceback.print_exception(error)
            click.echo(f"error: {name}: {error}", err=True)
            endings[name] = Ending(error.exit_code, f"not carried out: {error.problems[0]}")
    for name, ending in endings.items():
        click.echo(f"{name}: {ending.said}")
    return max(ending.exit_code for ending in endings.values())


def _carry_out(plan: Plan, registry: Registry, machine: Machine) -> Ending:
    from benchbench.cli.progress import screen  # noqa: PLC0415 as above
    from benchbench.cli.summary import print_folds  # noqa: PLC0415
    from benchbench.launch.orchestrate import carry_out  # noqa: PLC0415

    with screen(terminal=sys.stdout.isatty()) as observer:
        folder, records = carry_out(
            plan.benchmark, plan.runs, plan.selected, registry=registry, machine=machine, observer=observer
        )
    print_folds(folder)
    unfinished = sum(record is None or record.status != "done" for record in records)
    if not unfinished:
        return Ending(0, f"all {len(records)} runs ended well")
    said = f"{unfinished} of {len(records)} runs did not end well; the table says which and why"
    click.echo(said, err=True)
    return Ending(1, said)
