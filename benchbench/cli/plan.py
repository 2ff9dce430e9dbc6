"""`benchbench plan`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.options import (
    F,
    benchmark_options,
    cache_option,
    data_root_option,
    echo_to_stderr,
    file_argument,
    results_option,
)

if TYPE_CHECKING:
    from benchbench.cli.plan_splits import PlannedSizes
    from benchbench.launch.benchmark_files import Plan
    from benchbench.registry.registry import Registry

_IGNORED = ("--device", "--devices", "--jobs", "--size-limit")
_IGNORED_FLAGS = ("--no-pictures",)


def _options_of_run(command: F) -> F:
    """Add the options of `run` that change no plan, so that its command line works here, too."""
    for name in _IGNORED:
        command = click.option(name, expose_value=False, hidden=True)(command)
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
@click.option("--save-predictions", is_flag=True, help="With --write: as in `benchbench run`.")
@_options_of_run
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
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
    save_predictions: bool,
    as_json: bool,
    is_written: bool,
) -> None:
    """List the runs of the benchmark FILE with digest and state, and the sizes of training, validation and test.

    Here a run counts as done if a record has its digest; `run` also compares the data and the split. Sizes are
    those of finished runs, or are counted in the files of --data-root.
    """
    from benchbench.api.plan_lines import plan_lines  # noqa: PLC0415 after --help has answered
    from benchbench.cli.plan_splits import count_tested, planned_sizes  # noqa: PLC0415
    from benchbench.comparison.floor import planned_floors  # noqa: PLC0415
    from benchbench.launch.benchmark_files import read_plans  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415
    from benchbench.results.folder import results_folder  # noqa: PLC0415

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
    benchmark = plan.benchmark
    if is_written:
        _write(
            plan,
            registry,
            results=results,
            data_root=data_root,
            cache=cache,
            compress_cache=compress_cache,
            save_predictions=save_predictions,
        )
        return
    folders = [results_folder(results, benchmark.name, phantom=True)]
    if not rehearse:  # a data root may hold phantom data, too
        folders.insert(0, results_folder(results, benchmark.name, phantom=False))
    lines = plan_lines(plan, folders)
    root = None if rehearse else data_root  # the data of a rehearsal are phantoms
    planned = planned_sizes(plan.selected, folders, registry, data_root=root)
    is_whole = len(plan.selected) == len(plan.runs)  # patients of other folds are not counted
    counted = count_tested(planned.sizes) if is_whole else {}
    floors = planned_floors(plan.runs, registry, results, deltas=benchmark.delta, patients=counted)
    if as_json:
        sizes = json.loads(planned.sizes.to_json(orient="records"))
        content = {"benchmark": benchmark.name, "title": benchmark.title, "runs": lines, "splits": sizes}
        content["floors"] = [
            {"dataset": floor.dataset, "metric": floor.metric, "difference": floor.difference} for floor in floors
        ]
        click.echo(json.dumps(content, indent=1))
    else:
        _print(lines, planned, [str(floor) for floor in floors])


def _write(plan: Plan, registry: Registry, *, results: Path, **options: Any) -> None:
    """Prepare the data and write the plan."""
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
