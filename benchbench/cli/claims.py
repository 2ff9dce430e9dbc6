"""`benchbench claims`."""

from __future__ import annotations

from pathlib import Path

import click

_CORRELATION = 0.5  # that of `tables.claims`, whose import takes a second


@click.command("claims")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--correlation",
    type=click.FloatRange(-1, 1),
    default=_CORRELATION,
    show_default=True,
    help="Correlation of the scores of two models over patients; publications do not print it.",
)
def claims_command(files: tuple[Path, ...], *, correlation: float) -> None:
    """Print for each table of every FILE the probability that its best row is not the best.

    A table needs folds (first column `fold`), or `n` and a column NAME_sd for a column NAME.
    """
    from benchbench.cli.terminal import print_text  # noqa: PLC0415 after --help has answered
    from benchbench.spec.reported import read_file  # noqa: PLC0415
    from benchbench.tables.claims import describe_claims  # noqa: PLC0415

    for path in files:
        file = read_file(path)
        print_text(f"{path}: {file.document}")
        for table in file.table:
            for sentence in describe_claims(table, correlation=correlation):
                print_text(f"  {table.title or table.benchmark}: {sentence}")
