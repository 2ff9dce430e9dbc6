"""`benchbench merge`."""

from __future__ import annotations

from pathlib import Path

import click

from benchbench.cli.options import pictures_option


@click.command("merge")
@click.argument("folders", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--into", type=click.Path(path_type=Path), required=True, help="Results folder that takes all runs.")
@pictures_option
def merge_command(folders: tuple[Path, ...], *, into: Path, no_pictures: bool) -> None:
    """Bring results of one benchmark from several machines together: FOLDERS hold a benchmark.json each.

    Runs of another protocol, code, data or split are refused. What lies in the target already stays.
    """
    from benchbench.report import write_report  # noqa: PLC0415
    from benchbench.results.folder import ResultsFolder  # noqa: PLC0415
    from benchbench.results.merging import merge  # noqa: PLC0415 after --help has answered

    target = ResultsFolder(into)
    merged = merge([ResultsFolder(folder) for folder in folders], target)
    write_report(target, pictures=not no_pictures)
    for key in merged.twice:
        click.echo(f"note: {key}: done twice with different scores; the first folder's are taken")
    total = merged.copied + merged.kept
    click.echo(f"{into}: {merged.copied} runs copied, {merged.kept} kept, {total} of {merged.planned} recorded")
