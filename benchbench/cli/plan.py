"""`benchbench plan`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchbench.cli.options import benchmark_options, file_argument, results_option


@click.command("plan")
@file_argument
@benchmark_options
@results_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def plan_command(
    file: Path, *, overrides: tuple[str, ...], only: tuple[str, ...], rehearse: bool, results: Path, as_json: bool
) -> None:
    """List the runs of the benchmark FILE, each with its digest, done or to do.

    A run counts as done by its digest; `run` compares the data and the split as well.
    """
    from benchbench.cli.plans import read_plans  # noqa: PLC0415 after --help has answered
    from benchbench.registry.registry import discover  # noqa: PLC0415
    from benchbench.results.folder import results_folder  # noqa: PLC0415

    (plan,) = read_plans([file], discover(), overrides=overrides, only=only, rehearse=rehearse)
    benchmark, runs = plan.benchmark, plan.selected
    folders = [results_folder(results, benchmark.name, phantom=phantom) for phantom in ({True, rehearse})]
    lines = []
    for run in runs:
        records = [record for folder in folders if (record := folder.run(run.key).read_record())]
        states = [record.status for record in records if record.digest == run.digest]
        lines.append({**run.key._asdict(), "digest": run.digest, "state": states[0] if states else "to do"})
    if as_json:
        click.echo(json.dumps({"benchmark": benchmark.name, "title": benchmark.title, "runs": lines}, indent=1))
        return
    for line in lines:
        key = "  ".join(f"{name} {line[name]}" for name in ("dataset", "model", "variant", "fold", "seed"))
        click.echo(f"{line['digest'][:12]}  {line['state']:<8}  {key}")
    waiting = sum(line["state"] in {"to do", "failed"} for line in lines)
    click.echo(f"{len(lines)} runs, {waiting} to do")
