"""`benchbench data`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchbench.cli.options import data_root_option

if TYPE_CHECKING:
    from benchbench.contract import DatasetPlugin


@click.group("data")
def data_command() -> None:
    """Say which datasets are there, verify them, write phantom data."""


@data_command.command("status")
@data_root_option
def status(*, data_root: Path | None) -> None:
    """Say of every dataset whether it is there, and where it is had."""
    from benchbench.plugins import discover  # noqa: PLC0415 after --help has answered

    for name, installed in sorted(discover().datasets.items()):
        click.echo(f"{name}: {_state(installed.plugin, data_root)}")


@data_command.command("verify")
@click.argument("name")
@data_root_option
def verify_command(name: str, *, data_root: Path | None) -> None:
    """Open every file of the dataset NAME and list all that is wrong with it."""
    from benchbench.data.folder import open_dataset  # noqa: PLC0415 after --help has answered
    from benchbench.data.verify import verify  # noqa: PLC0415
    from benchbench.errors import DataError  # noqa: PLC0415
    from benchbench.plugins import discover  # noqa: PLC0415

    dataset = open_dataset(discover().dataset(name), {}, data_root=data_root)
    with click.progressbar(length=len(dataset.cases()), label=name, hidden=not sys.stderr.isatty()) as bar:
        found = verify(dataset, threads=os.cpu_count() or 1, progress=lambda: bar.update(1))
    for remark in found.remarks:
        click.echo(f"note: {remark}")
    if found.problems:
        raise DataError(*found.problems, f"{name}: {len(found.problems)} problems in {len(found.cases)} cases")
    patients = {case.patient for case in found.cases}
    click.echo(
        f"{name}: {len(found.cases)} cases of {len(patients)} patients are sound; fingerprint {found.digest}"
    )


@data_command.command("phantom")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--patients", type=click.IntRange(min=1), default=12, show_default=True)
@click.option("--size", type=click.IntRange(min=32), default=64, show_default=True, help="Pixels along an axis.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def phantom(name: str, folder: Path, *, patients: int, size: int, seed: int) -> None:
    """Write made-up cases of the dataset NAME, in its real layout, into FOLDER/NAME."""
    from benchbench.data.phantom import write_phantom  # noqa: PLC0415 after --help has answered
    from benchbench.plugins import discover  # noqa: PLC0415
    from benchbench.spec import PhantomSize  # noqa: PLC0415

    write_phantom(discover().dataset(name), folder / name, PhantomSize(patients=patients, size=size, seed=seed))
    click.echo(f"{patients} phantom patients in {folder / name}; use them with --data-root {folder}")


def _state(plugin: DatasetPlugin, data_root: Path | None) -> str:
    from benchbench.data.folder import open_dataset  # noqa: PLC0415 as above
    from benchbench.data.phantom import is_phantom  # noqa: PLC0415
    from benchbench.errors import DataError  # noqa: PLC0415

    try:
        dataset = open_dataset(plugin, {}, data_root=data_root)
        cases = dataset.cases()
    except DataError as error:
        return f"not there: {error}"
    patients = {case.patient for case in cases}
    described = len(set(dataset.metadata()) & patients)
    kind = "phantom data" if data_root and is_phantom(data_root / plugin.name) else "present"
    return f"{kind}: {len(cases)} cases of {len(patients)} patients, {described} with metadata"
