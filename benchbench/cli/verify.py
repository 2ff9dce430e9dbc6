"""`benchbench verify`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("verify")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@click.option(
    "--from-masks",
    "data_root",
    type=click.Path(path_type=Path),
    help="Folder that holds one folder per dataset: score the saved masks again.",
)
def verify_command(folder: Path, *, data_root: Path | None) -> None:
    """Verify every benchmark in FOLDER (default: results): digests, tables, pages and saved masks.

    Tables and pages are made again from the counts of the cases and compared byte for byte. Training is not
    repeated. Every fault is a line; with any, the exit code is 4.
    """
    from benchbench.errors import IntegrityError, UsageError  # noqa: PLC0415 after --help has answered
    from benchbench.records.folder import benchmark_folders  # noqa: PLC0415
    from benchbench.verification import verify  # noqa: PLC0415

    benchmarks = benchmark_folders(folder)
    if not benchmarks:
        raise UsageError(f"{folder}: no benchmark.json here or in its folders; give the results folder of a run")
    faults: list[str] = []
    for benchmark in benchmarks:
        outcome = verify(benchmark, data_root=data_root)
        click.echo(f"{benchmark.path}")
        for term, lines in (("claimed", outcome.claimed), ("recomputed", outcome.recomputed)):
            for line in lines:
                click.echo(f"  {term}: {line}")
        click.echo(f"  retrained: {outcome.retrained}")
        click.echo("  verified" if not outcome.faults else f"  not verified: {len(outcome.faults)} faults")
        faults += outcome.faults
    if faults:
        raise IntegrityError(*faults)
