"""`benchbench merge`."""

from __future__ import annotations

from pathlib import Path

import click

from benchbench.cli.options import pictures_option


@click.command("merge")
@click.argument("folders", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--into", type=click.Path(path_type=Path), required=True, help="Results folder to which all runs are copied."
)
@pictures_option
def merge_command(folders: tuple[Path, ...], *, into: Path, no_pictures: bool) -> None:
    """Merge the results of one benchmark from several machines: every one of FOLDERS holds a benchmark.json.

    Runs with another protocol, code, data or split are refused. Runs that the target already has are kept.
    """
    from benchbench.records.folder import ResultsFolder  # noqa: PLC0415
    from benchbench.records.merging import merge  # noqa: PLC0415 after --help has answered
    from benchbench.report import write_report  # noqa: PLC0415
    from benchbench.words import count  # noqa: PLC0415

    target = ResultsFolder(into)
    merged = merge([ResultsFolder(folder) for folder in folders], target)
    write_report(target, pictures=not no_pictures)
    for key in merged.twice:
        click.echo(f"note: {key}: in two folders with different scores; the one of the first folder is used")
    total = merged.copied + merged.present
    copied = count(merged.copied, "run")
    click.echo(f"{into}: {copied} copied, {merged.present} kept, {total} of {merged.planned} recorded")
