"""`benchbench report`."""

from __future__ import annotations

from pathlib import Path

import click

from benchbench.cli.options import cache_option, data_root_option, pictures_option


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@pictures_option
@click.option(
    "--viewer",
    is_flag=True,
    help="Also write viewer/index.html, which shows the gallery's cases as volumes; reads them from --data-root.",
)
@data_root_option
@cache_option
def report_command(folder: Path, *, no_pictures: bool, viewer: bool, data_root: Path | None, cache: Path) -> None:
    """Rewrite the tables, figures and page of every benchmark in FOLDER (default: results) from its records."""
    from benchbench.errors import UsageError  # noqa: PLC0415 after --help has answered
    from benchbench.records.folder import benchmark_folders  # noqa: PLC0415
    from benchbench.report import write_report  # noqa: PLC0415
    from benchbench.report.page.index import write_index  # noqa: PLC0415
    from benchbench.report.viewer import write_viewer  # noqa: PLC0415
    from benchbench.words import count  # noqa: PLC0415

    if viewer and data_root is None:
        raise UsageError("--viewer needs the images; give their folder as --data-root")
    if viewer and no_pictures:
        raise UsageError("--viewer shows images of patients and --no-pictures none; give one of the two")
    benchmarks = benchmark_folders(folder)
    if not benchmarks:
        raise UsageError(f"{folder}: no benchmark.json here or in its folders; give the results folder of a run")
    for benchmark in benchmarks:
        results = write_report(benchmark, pictures=not no_pictures)
        click.echo(
            f"{benchmark.path / 'index.html'}: {len(results.records)} of {count(len(results.planned), 'run')}"
        )
        if viewer and data_root is not None:
            page = write_viewer(benchmark, results, data_root=data_root, cache=cache)
            click.echo(f"{page}: viewer of the gallery's cases")
    if not (folder / "benchmark.json").exists():
        write_index(folder)
        click.echo(f"{folder / 'index.html'}: index of all benchmarks")
