"""`benchbench run`."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from benchbench.cli.json_output import Document, document_of, format_option
from benchbench.cli.options import (
    benchmark_options,
    cache_option,
    choose_devices,
    compute_options,
    data_root_option,
    device_option,
    echo_to_stderr,
    pictures_option,
    results_option,
    size_limit_option,
)

if TYPE_CHECKING:
    from benchbench.launch.benchmark_files import Plan
    from benchbench.launch.machine import Machine
    from benchbench.registry.registry import Registry


@click.command("run")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@benchmark_options
@data_root_option
@results_option
@cache_option
@size_limit_option
@device_option
@compute_options
@click.option(
    "--compress-cache", is_flag=True, help="Use less disk for prepared cases, but more memory in every run."
)
@click.option("--save-predictions", is_flag=True, help="Write the predicted labels of every test case as NIfTI.")
@pictures_option
@click.option(
    "--jobs",
    type=click.IntRange(min=0),
    help="Runs at the same time; default: one per device; 0: in this process.",
)
@format_option
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
    no_pictures: bool,
    output_format: str,
    **machine_options: Any,
) -> int:
    """Run every benchmark FILE in this order; runs that are already done are skipped."""
    from benchbench.launch.benchmark_files import read_plans  # noqa: PLC0415 after --help has answered
    from benchbench.launch.machine import Machine  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415

    with document_of("run", output_format) as document:
        registry = discover()
        plans = read_plans(
            files,
            registry,
            overrides=overrides,
            only=only,
            rehearse=rehearse,
            data_root=data_root,
            echo=echo_to_stderr,
        )
        precisions = {run.protocol.precision for plan in plans for run in plan.selected}
        machine = Machine(
            results=results,
            cache=cache,
            data_root=data_root,
            devices=choose_devices(device, precisions),
            pictures=not no_pictures,
            **machine_options,
        )
        if len(files) == 1:
            ends = {plans[0].benchmark.name: _carry_out(plans[0], registry, machine, document)}
        else:
            ends = _carry_out_all(plans, registry, machine, document)
        document.content = {"benchmarks": [_end_content(name, end) for name, end in ends.items()]}
    return max(end.exit_code for end in ends.values())


class BenchmarkEnd(NamedTuple):
    """The end of a benchmark."""

    exit_code: int
    message: str
    content: Mapping[str, Any] = {}
    """Results for JSON; none where the benchmark could not be carried out."""


def _end_content(name: str, end: BenchmarkEnd) -> dict[str, Any]:
    return {"name": name, "exit_code": end.exit_code, "message": end.message, **end.content}


def _carry_out_all(
    plans: Sequence[Plan], registry: Registry, machine: Machine, document: Document
) -> dict[str, BenchmarkEnd]:
    """Carry out each benchmark, even if others fail, and return the end of each by name."""
    ends = {plan.benchmark.name: _carry_out_safely(plan, registry, machine, document) for plan in plans}
    for name, end in ends.items():
        click.echo(f"{name}: {end.message}")
    return ends


def _carry_out_safely(plan: Plan, registry: Registry, machine: Machine, document: Document) -> BenchmarkEnd:
    """Carry out a benchmark and print its error instead of raising it."""
    from benchbench.errors import BenchbenchError, storage_error  # noqa: PLC0415 as above

    try:
        return _carry_out(plan, registry, machine, document)
    except (BenchbenchError, OSError) as error:
        if click.get_current_context().obj["debug"]:
            traceback.print_exception(error)
        failure = storage_error(error) if isinstance(error, OSError) else error
        click.echo(f"error: {plan.benchmark.name}: {failure}", err=True)
        return BenchmarkEnd(failure.exit_code, f"not carried out: {failure.problems[0]}")


def _describe_done(runs: int) -> str:
    return "the run is done" if runs == 1 else f"all {runs} runs are done"


def _carry_out(plan: Plan, registry: Registry, machine: Machine, document: Document) -> BenchmarkEnd:
    from benchbench.cli.progress import progress_display  # noqa: PLC0415 as above
    from benchbench.cli.run_content import run_content  # noqa: PLC0415
    from benchbench.cli.summary import print_summary  # noqa: PLC0415
    from benchbench.cli.terminal import print_text  # noqa: PLC0415
    from benchbench.comparison.floor import planned_floors  # noqa: PLC0415
    from benchbench.launch.orchestrate import carry_out  # noqa: PLC0415
    from benchbench.words import are  # noqa: PLC0415

    floors = planned_floors(plan.runs, registry, machine.results, deltas=plan.benchmark.delta)
    for floor in floors:
        print_text(str(floor))
    with progress_display(is_terminal=sys.stdout.isatty(), echo=click.echo) as observer:
        folder, records = carry_out(
            plan.benchmark,
            plan.runs,
            plan.selected,
            registry=registry,
            machine=machine,
            observer=observer,
            exits=plan.exits,
        )
    content: Mapping[str, Any] = {}
    if document.is_json:
        content = run_content(folder, floors)
    else:
        print_summary(folder)
    unfinished = sum(record is None or record.status != "done" for record in records)
    if not unfinished:
        return BenchmarkEnd(0, _describe_done(len(records)), content)
    message = f"{unfinished} of {are(len(records), 'run')} not done; the table above gives the reasons"
    click.echo(message, err=True)
    return BenchmarkEnd(1, message, content)
