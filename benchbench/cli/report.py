"""`benchbench report`."""

from __future__ import annotations

from pathlib import Path

import click

from benchbench.cli.options import pictures_option


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@pictures_option
def report_command(folder: Path, *, no_pictures: bool) -> None:
    """Rewrite the tables, figures and page of every benchmark in FOLDER (default: results) from its records."""
    from benchbench.errors import UsageError  # noqa: PLC0415 after --help has answered
    from benchbench.records.folder import benchmark_folders  # noqa: PLC0415
    from benchbench.report import write_report  # noqa: PLC0415
    from benchbench.report.page.index import write_index  # noqa: PLC0415
    from benchbench.words import count  # noqa: PLC0415

    benchmarks = benchmark_folders(folder)
    if not benchmarks:
        raise UsageError(f"{folder}: no benchmark.json here or in its folders; give the results folder of a run")
    for benchmark in benchmarks:
        results = write_report(benchmark, pictures=not no_pictures)
        click.echo(
            f"{benchmark.path / 'index.html'}: {len(results.records)} of {count(len(results.planned), 'run')}"
        )
    if not (folder / "benchmark.json").exists():
        write_index(folder)
        click.echo(f"{folder / 'index.html'}: index of all benchmarks")
