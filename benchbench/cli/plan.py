"""`benchbench plan`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from benchbench.cli.json_output import document_of, format_option
from benchbench.cli.options import (
    F,
    benchmark_options,
    cache_option,
    check_data_option,
    data_root_option,
    echo_to_stderr,
    file_argument,
    results_option,
)

if TYPE_CHECKING:
    from benchbench.cli.plan_splits import PlannedSizes
    from benchbench.comparison.floor import Floor
    from benchbench.launch.benchmark_files import Plan
    from benchbench.registry.registry import Registry

_IGNORED = (
    *("--device", "--devices", "--jobs", "--per-device", "--launch", "--size-limit"),
    *("--compile", "--resume-seconds"),
)
_IGNORED_LISTS = ("--report",)
_IGNORED_FLAGS = ("--deterministic", "--no-pictures", "--quiet", "-q", "--verbose", "-v")


def _options_of_run(command: F) -> F:
    """Add the options of `run` that change no plan, so that its command line works here, too."""
    for name in _IGNORED:
        command = click.option(name, expose_value=False, hidden=True)(command)
    for name in _IGNORED_LISTS:
        command = click.option(name, expose_value=False, hidden=True, multiple=True)(command)
    for name in _IGNORED_FLAGS:
        command = click.option(name, expose_value=False, hidden=True, is_flag=True)(command)
    return command


@click.command("plan")
@file_argument
@benchmark_options
@results_option
@data_root_option
@cache_option
@click.option("--compress-cache", is_flag=True, help="With --write: as in `benchbench run`.")
@check_data_option
@click.option("--save-predictions", is_flag=True, help="With --write: as in `benchbench run`.")
@_options_of_run
@format_option
@click.option(
    "--write", "is_written", is_flag=True, help="Prepare the data and write the plan for `benchbench work`."
)
def plan_command(
    file: Path,
    *,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    rehearse: bool,
    results: Path,
    data_root: Path | None,
    cache: Path,
    compress_cache: bool,
    check_data: bool,
    save_predictions: bool,
    output_format: str,
    is_written: bool,
) -> None:
    """List the runs of the benchmark FILE with digest and state, and the sizes of training, validation and test.

    Here a run counts as done if a record has its digest; `run` also compares the data and the split. Sizes are
    those of finished runs, or are counted in the files of --data-root.
    """
    from benchbench.api.plan_lines import trial_lines  # noqa: PLC0415 after --help has answered
    from benchbench.cli.run_content import floor_rows  # noqa: PLC0415
    from benchbench.cli.terminal import print_text  # noqa: PLC0415
    from benchbench.launch.benchmark_files import read_plans  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415

    machine_options = {
        "cache": cache,
        "compress_cache": compress_cache,
        "check_data": check_data,
        "save_predictions": save_predictions,
    }
    with document_of("plan", output_format) as document:
        registry = discover()
        (plan,) = read_plans(
            [file],
            registry,
            overrides=overrides,
            only=only,
            rehearse=rehearse,
            data_root=data_root,
            echo=echo_to_stderr,
        )
        if is_written:
            document.content = _write(plan, registry, results=results, data_root=data_root, **machine_options)
            return
        root = None if rehearse else data_root  # the data of a rehearsal are phantoms
        lines, planned, floors = _describe(plan, registry, results, root, rehearse=rehearse)
        if not document.is_json:
            _print(lines, planned, [str(floor) for floor in floors])
            for line in trial_lines(plan):
                print_text(line)
        document.content = {
            "benchmark": plan.benchmark.name,
            "title": plan.benchmark.title,
            "runs": lines,
            "splits": planned.sizes,
            "floors": floor_rows(floors),
            "trials": trial_lines(plan),
            "notes": planned.remarks,
        }


class _Described(NamedTuple):
    lines: list[dict[str, Any]]
    planned: PlannedSizes
    floors: Sequence[Floor]


def _describe(
    plan: Plan, registry: Registry, results: Path, data_root: Path | None, *, rehearse: bool
) -> _Described:
    """Return the runs with their states, the sizes of the parts, and the smallest differences that show."""
    from benchbench.api.plan_lines import plan_lines  # noqa: PLC0415 as above
    from benchbench.cli.plan_splits import count_tested, planned_sizes  # noqa: PLC0415
    from benchbench.comparison.floor import planned_floors  # noqa: PLC0415
    from benchbench.plan.host_work import host_work_remarks  # noqa: PLC0415
    from benchbench.records.folder import results_folder  # noqa: PLC0415

    benchmark = plan.benchmark
    folders = [results_folder(results, benchmark.name, phantom=True)]
    if not rehearse:  # a data root may hold phantom data, too
        folders.insert(0, results_folder(results, benchmark.name, phantom=False))
    planned = planned_sizes(plan.selected, folders, registry, data_root=data_root)
    planned = planned._replace(remarks=[*planned.remarks, *host_work_remarks(plan.selected)])
    is_whole = len(plan.selected) == len(plan.runs)  # patients of other folds are not counted
    counted = count_tested(planned.sizes) if is_whole else {}
    floors = planned_floors(plan.runs, registry, results, deltas=benchmark.delta, patients=counted)
    return _Described(plan_lines(plan, folders), planned, floors)


def _write(plan: Plan, registry: Registry, *, results: Path, **options: Any) -> dict[str, Any]:
    """Prepare the data, write the plan, and return its numbers."""
    from benchbench.cli.progress import progress_display  # noqa: PLC0415 as above
    from benchbench.launch.machine import Machine  # noqa: PLC0415 as above
    from benchbench.launch.orchestrate import write_plan  # noqa: PLC0415 as above
    from benchbench.words import count  # noqa: PLC0415 as above

    machine = Machine(results=results, devices=("cpu",), jobs=None, **options)
    with progress_display(is_terminal=sys.stdout.isatty(), echo=click.echo) as observer:
        planned = write_plan(
            plan.benchmark,
            plan.runs,
            plan.selected,
            registry=registry,
            machine=machine,
            observer=observer,
            exits=plan.exits,
        )
    runs = count(len(planned.assignments), "run")
    click.echo(f"{runs}, {len(planned.unfinished)} to do; carry them out: benchbench work {planned.folder.path}")
    content = {"benchmark": plan.benchmark.name, "folder": planned.folder.path}
    return {**content, "planned": len(planned.assignments), "to_do": len(planned.unfinished)}


def _print(lines: Sequence[dict[str, Any]], planned: PlannedSizes, floors: Sequence[str]) -> None:
    from benchbench.api.plan_lines import TO_DO  # noqa: PLC0415 as above
    from benchbench.cli.terminal import Column, print_table, print_text  # noqa: PLC0415 as above
    from benchbench.plan.run import RunKey  # noqa: PLC0415 as above
    from benchbench.words import count  # noqa: PLC0415 as above

    columns = [Column(name=name, is_key=True, is_number=name in {"fold", "seed"}) for name in RunKey._fields]
    has_own = any("own_settings" in line for line in lines)
    if has_own:
        columns.append(Column(name="own settings"))
    columns += [Column(name="digest", is_fixed=True), Column(name="state", is_fixed=True)]
    rows = []
    unfinished: dict[str, int] = {}
    for line in lines:
        keys = [line[name] for name in RunKey._fields]
        if has_own:
            keys.append(line.get("own_settings", ""))
        rows.append([*keys, line["digest"][:12], line["state"]])
        if line["state"] in {TO_DO, "failed", "waiting"}:
            unfinished[line["digest"]] = unfinished.get(line["digest"], 0) + 1
    print_table(columns, rows)
    _print_sizes(planned)
    for floor in floors:
        print_text(floor)
    text = f"{count(len(lines), 'run')}, {len(unfinished)} to do"
    n_shared = sum(unfinished.values()) - len(unfinished)
    if n_shared:
        text += f", {n_shared} of equal settings to share their results"
    print_text(text)


def _print_sizes(planned: PlannedSizes) -> None:
    from benchbench.cli.terminal import Column, print_table, print_text  # noqa: PLC0415 as above
    from benchbench.tables.splits import sizes_by_fold  # noqa: PLC0415 as above

    sizes = sizes_by_fold(planned.sizes)
    if len(sizes.drop(columns="fold", errors="ignore").drop_duplicates()) == 1:
        sizes = sizes[:1].assign(fold="all")  # one line in place of a table of numbers of folds
    if len(sizes):
        columns = [Column(name=str(name), is_key=name in {"dataset", "variant", "fold"}) for name in sizes]
        rows = sizes.to_numpy().tolist()
        print_table(columns, rows, title="sizes: training / inner validation / test")
    for remark in planned.remarks:
        print_text(remark)
