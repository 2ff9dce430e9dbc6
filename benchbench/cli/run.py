"""`benchbench run`."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from benchbench.cli.json_output import document_of, format_option
from benchbench.cli.options import (
    benchmark_options,
    cache_option,
    check_data_option,
    choose_devices,
    choose_shared_gpus,
    compute_options,
    data_root_option,
    device_option,
    echo_to_stderr,
    per_device_option,
    pictures_option,
    results_option,
    size_limit_option,
    verbosity_options,
)

if TYPE_CHECKING:
    from benchbench.cli.progress import Verbosity
    from benchbench.engine.cost.gpu_use import SharedGpu
    from benchbench.launch.benchmark_files import Plan
    from benchbench.launch.launcher_options import ChosenLauncher
    from benchbench.launch.machine import Machine
    from benchbench.records.folder import ResultsFolder
    from benchbench.records.record import Record
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
@check_data_option
@click.option("--save-predictions", is_flag=True, help="Write the predicted labels of every test case as NIfTI.")
@pictures_option
@click.option(
    "--jobs",
    type=click.IntRange(min=0),
    envvar="BENCHBENCH_JOBS",
    help="Runs at the same time; default: --per-device per device; 0: in this process.",
)
@per_device_option
@click.option(
    "--launch",
    "launch_text",
    default="process",
    show_default=True,
    metavar="NAME[:OPTIONS.toml]",
    help="Launcher of the runs: process (this machine), ray, slurm or a plugin, with a file of its options.",
)
@verbosity_options
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
    launch_text: str,
    verbosity: Verbosity,
    output_format: str,
    **machine_options: Any,
) -> int:
    """Run every benchmark FILE in this order; runs that are already done are skipped.

    With `--launch slurm`, runs are submitted and the command returns: `benchbench status --watch` shows them,
    `benchbench report` writes tables and page.
    """
    from benchbench.launch.benchmark_files import read_plans  # noqa: PLC0415 after --help has answered
    from benchbench.launch.machine import Machine  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415

    with document_of("run", output_format) as document:
        registry = discover()
        launcher = _choose_launcher(launch_text, registry, device=device, jobs=machine_options["jobs"])
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
        devices = choose_devices(device, precisions)
        shared_gpus: tuple[SharedGpu, ...] = ()
        if launcher is None:
            shared_gpus = choose_shared_gpus(machine_options["per_device"], devices)
        machine = Machine(
            results=results,
            cache=cache,
            data_root=data_root,
            devices=devices,
            shared_gpus=shared_gpus,
            pictures=not no_pictures,
            **machine_options,
        )
        surroundings = Surroundings(registry, machine, launcher, device, verbosity, document.is_json)
        if len(files) == 1:
            ends = {plans[0].benchmark.name: _carry_out(plans[0], surroundings)}
        else:
            ends = _carry_out_all(plans, surroundings)
        document.content = {"benchmarks": [_end_content(name, end) for name, end in ends.items()]}
    return max(end.exit_code for end in ends.values())


class Surroundings(NamedTuple):
    """Everything that the benchmarks of a command share."""

    registry: Registry
    machine: Machine
    launcher: ChosenLauncher | None
    """None for worker processes of this machine."""
    device: str
    """The text of `--device`."""
    verbosity: Verbosity
    is_json: bool


class BenchmarkEnd(NamedTuple):
    """The end of a benchmark."""

    exit_code: int
    message: str
    content: Mapping[str, Any] = {}
    """Results for JSON; none where the benchmark could not be carried out."""


def _end_content(name: str, end: BenchmarkEnd) -> dict[str, Any]:
    return {"name": name, "exit_code": end.exit_code, "message": end.message, **end.content}


def _choose_launcher(text: str, registry: Registry, *, device: str, jobs: int | None) -> ChosenLauncher | None:
    from benchbench.errors import UsageError  # noqa: PLC0415 as above
    from benchbench.launch.launcher_options import choose_launcher  # noqa: PLC0415
    from benchbench.launch.work_order import launched_device  # noqa: PLC0415

    launcher = choose_launcher(text, registry)
    if launcher is None:
        return None
    launched_device(device)
    if jobs is not None:
        name = launcher.plugin.name
        raise UsageError(
            f"--jobs {jobs}: belongs to --launch process; set the options of --launch {name}:FILE instead"
        )
    return launcher


def _carry_out_all(plans: Sequence[Plan], surroundings: Surroundings) -> dict[str, BenchmarkEnd]:
    """Carry out each benchmark, even if others fail, and return the end of each by name."""
    ends = {plan.benchmark.name: _carry_out_safely(plan, surroundings) for plan in plans}
    for name, end in ends.items():
        click.echo(f"{name}: {end.message}")
    return ends


def _carry_out_safely(plan: Plan, surroundings: Surroundings) -> BenchmarkEnd:
    """Carry out a benchmark and print its error instead of raising it."""
    from benchbench.errors import BenchbenchError, storage_error  # noqa: PLC0415 as above

    try:
        return _carry_out(plan, surroundings)
    except (BenchbenchError, OSError) as error:
        if click.get_current_context().obj["debug"]:
            traceback.print_exception(error)
        failure = storage_error(error) if isinstance(error, OSError) else error
        click.echo(f"error: {plan.benchmark.name}: {failure}", err=True)
        return BenchmarkEnd(failure.exit_code, f"not carried out: {failure.problems[0]}")


def _carry_out(plan: Plan, surroundings: Surroundings) -> BenchmarkEnd:
    from benchbench.cli.plan_splits import count_patients  # noqa: PLC0415 as above
    from benchbench.cli.run_content import run_content  # noqa: PLC0415 as above
    from benchbench.cli.summary import print_summary  # noqa: PLC0415
    from benchbench.cli.terminal import print_text  # noqa: PLC0415
    from benchbench.comparison.floor import planned_floors  # noqa: PLC0415

    registry, machine = surroundings.registry, surroundings.machine
    counted = count_patients(plan.runs, registry, data_root=machine.data_root)
    deltas = plan.benchmark.delta
    floors = planned_floors(plan.runs, registry, machine.results, deltas=deltas, patients=counted)
    for floor in floors:
        print_text(str(floor))
    records: Sequence[Record | None] | None
    launcher = surroundings.launcher
    if launcher is None:
        folder, records = _carry_out_here(plan, surroundings)
    else:
        folder, records = _launch(plan, surroundings, launcher)
        if records is None:
            return _describe_submitted(folder, launcher)
    content: Mapping[str, Any] = {}
    if surroundings.is_json:
        content = run_content(folder, floors)
    else:
        print_summary(folder)
    return _describe_end(records, content)


def _carry_out_here(plan: Plan, surroundings: Surroundings) -> tuple[ResultsFolder, Sequence[Record | None]]:
    """Carry out a benchmark by worker processes of this machine."""
    from benchbench.cli.progress import progress_display  # noqa: PLC0415 as above
    from benchbench.launch.orchestrate import carry_out  # noqa: PLC0415

    is_terminal, verbosity = sys.stdout.isatty(), surroundings.verbosity
    with progress_display(is_terminal=is_terminal, echo=click.echo, verbosity=verbosity) as observer:
        return carry_out(
            plan.benchmark,
            plan.runs,
            plan.selected,
            registry=surroundings.registry,
            machine=surroundings.machine,
            observer=observer,
            exits=plan.exits,
        )


def _launch(
    plan: Plan, surroundings: Surroundings, launcher: ChosenLauncher
) -> tuple[ResultsFolder, Sequence[Record | None] | None]:
    """Carry out a benchmark by workers that a launcher starts; return no records where they are only submitted."""
    from benchbench.cli.progress import progress_display  # noqa: PLC0415 as above
    from benchbench.launch.launched import launch, read_records  # noqa: PLC0415
    from benchbench.launch.work_order import launched_device  # noqa: PLC0415

    is_detached = launcher.plugin.is_detached
    is_terminal, verbosity = sys.stdout.isatty() and not is_detached, surroundings.verbosity
    with progress_display(is_terminal=is_terminal, echo=click.echo, verbosity=verbosity) as observer:
        planned = launch(
            launcher,
            plan.benchmark,
            plan.runs,
            plan.selected,
            registry=surroundings.registry,
            machine=surroundings.machine,
            device=launched_device(surroundings.device),
            observer=observer,
            exits=plan.exits,
        )
    if is_detached and planned.unfinished:
        return planned.folder, None
    return planned.folder, read_records(planned)


def _describe_submitted(folder: ResultsFolder, launcher: ChosenLauncher) -> BenchmarkEnd:
    click.echo(f"to watch the runs: benchbench status {folder.path} --watch")
    click.echo(f"when they have ended: benchbench report {folder.path}")
    return BenchmarkEnd(0, f"submitted to {launcher.plugin.name}", {"folder": folder.path})


def _describe_end(records: Sequence[Record | None], content: Mapping[str, Any]) -> BenchmarkEnd:
    from benchbench.words import are  # noqa: PLC0415 as above

    unfinished = sum(record is None or record.status != "done" for record in records)
    if unfinished:
        message = f"{unfinished} of {are(len(records), 'run')} not done; the table above gives the reasons"
        click.echo(message, err=True)
        return BenchmarkEnd(1, message, content)
    if len(records) == 1:
        return BenchmarkEnd(0, "the run is done", content)
    return BenchmarkEnd(0, f"all {len(records)} runs are done", content)
