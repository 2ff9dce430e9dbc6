"""`benchbench publish`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("publish")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--to", "target", type=click.Path(path_type=Path), required=True, help="Folder of the published copy."
)
def publish_command(folder: Path, *, target: Path) -> None:
    """Copy the results FOLDER of a benchmark without weights, logs, images of patients and names of machines.

    The copy has its own report and the SHA-256 of every file, so that `benchbench verify` and `benchbench report`
    work on it.
    """
    from benchbench.records.digest_list import write_digest_list  # noqa: PLC0415
    from benchbench.records.folder import ResultsFolder  # noqa: PLC0415
    from benchbench.records.publishing import publish  # noqa: PLC0415
    from benchbench.report import write_report  # noqa: PLC0415 after --help has answered
    from benchbench.report.page.index import write_index  # noqa: PLC0415
    from benchbench.words import count  # noqa: PLC0415

    copy = ResultsFolder(target)
    n_runs = publish(ResultsFolder(folder), copy)
    write_report(copy, pictures=False)
    write_digest_list(copy)
    write_index(target.parent)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    click.echo(f"{target}: {count(n_runs, 'run')}, {size / 1e6:.1f} MB; `benchbench verify {target}` verifies it")
