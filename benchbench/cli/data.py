"""`benchbench data`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchbench.cli.cache import cache_command
from benchbench.cli.options import cache_option, data_root_option

if TYPE_CHECKING:
    from benchbench.contract import DatasetPlugin


@click.group("data")
def data_command() -> None:
    """Get datasets, say which are there, verify them, write phantom data, look after the cache."""


data_command.add_command(cache_command)


@data_command.command("status")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@data_root_option
@cache_option
@click.option("--fingerprint", "compute", is_flag=True, help="Read what has no known fingerprint yet.")
def status(*, names: tuple[str, ...], data_root: Path | None, cache: Path, compute: bool) -> None:
    """Say of every dataset, or of those named, whether it is there, whole and known, and where it is had."""
    from benchbench.registry.registry import discover  # noqa: PLC0415 after --help has answered

    registry = discover()
    for name in names or sorted(registry.datasets):
        click.echo(f"{name}: {_state(registry.dataset(name), data_root, cache=cache, compute=compute)}")


@data_command.command("get")
@click.argument("name")
@data_root_option
@click.option("--accept-licence", is_flag=True, help="Agree to the licence that is shown.")
@click.option("--by-hand", is_flag=True, help="Only say how a person gets the official copy.")
def get(name: str, *, data_root: Path | None, accept_licence: bool, by_hand: bool) -> None:
    """Download the dataset NAME, or say what to do where only a person can."""
    from benchbench.data.download import can_download, download_dataset  # noqa: PLC0415 after --help has answered
    from benchbench.registry.registry import discover  # noqa: PLC0415

    plugin = discover().dataset(name)
    root = _given(data_root)
    click.echo(f"{name}: {plugin.download.page}\nlicence: {plugin.download.licence}")
    check = f"benchbench data verify {name} --data-root {root}"
    if by_hand or not can_download(plugin):
        told = plugin.download.steps or (f"download it from the page and unpack it into {root / name}",)
        click.echo("to fetch it by hand:")
        for number, step in enumerate((*told, f"run: {check}"), start=1):
            click.echo(f"  {number}. {step.replace('{folder}', str(root / name))}")
        return
    if not accept_licence:
        _ask(name)
    cases = download_dataset(
        plugin, data_root=root, say=lambda text: click.echo(text, err=True), progressbar=sys.stderr.isatty()
    )
    click.echo(f"{name}: {cases} cases in {root / name}; next: {check}")


@data_command.command("path")
@click.argument("name", required=False)
@data_root_option
def path(name: str | None, *, data_root: Path | None) -> None:
    """Print the data root, or the folder of the dataset NAME in it."""
    from benchbench.registry.registry import discover  # noqa: PLC0415 after --help has answered

    click.echo(_given(data_root) / discover().dataset(name).name if name else _given(data_root))


@data_command.command("verify")
@click.argument("name")
@data_root_option
@click.option(
    "--folds", type=click.IntRange(min=2), default=5, show_default=True, help="For which to count regions."
)
def verify_command(name: str, *, data_root: Path | None, folds: int) -> None:
    """Open every file of the dataset NAME and list all that is wrong with it."""
    from benchbench.data.folder import open_dataset  # noqa: PLC0415 after --help has answered
    from benchbench.data.verify import verify  # noqa: PLC0415
    from benchbench.errors import DataError  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415

    dataset = open_dataset(discover().dataset(name), {}, data_root=data_root)
    with click.progressbar(length=len(dataset.cases()), label=name, hidden=not sys.stderr.isatty()) as bar:
        found = verify(dataset, threads=os.cpu_count() or 1, progress=lambda: bar.update(1), folds=folds)
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
    from benchbench.registry.registry import discover  # noqa: PLC0415
    from benchbench.spec.benchmark_file import PhantomSize  # noqa: PLC0415

    write_phantom(discover().dataset(name), folder / name, PhantomSize(patients=patients, size=size, seed=seed))
    click.echo(f"{patients} phantom patients in {folder / name}; use them with --data-root {folder}")


def _given(data_root: Path | None) -> Path:
    if data_root is None:
        raise click.UsageError("no data root given: use --data-root DIR or set BENCHBENCH_DATA")
    return data_root


def _ask(name: str) -> None:
    try:
        agreed = click.confirm("do you agree to this licence?")
    except click.Abort:  # nobody is there to answer
        agreed = False
    if not agreed:
        raise click.UsageError(
            f"{name} is downloaded only under its licence: agree to it, or add --accept-licence"
        )


def _state(plugin: DatasetPlugin, data_root: Path | None, *, cache: Path, compute: bool) -> str:
    from benchbench.data.fingerprint import fingerprint, known_fingerprint  # noqa: PLC0415
    from benchbench.data.folder import open_dataset  # noqa: PLC0415 as above
    from benchbench.data.phantom import is_phantom  # noqa: PLC0415
    from benchbench.errors import DataError  # noqa: PLC0415

    if data_root is None or not (data_root / plugin.name).is_dir():
        return f"not there; had by: benchbench data get {plugin.name} --data-root {data_root or 'DIR'}"
    folder = data_root / plugin.name
    try:
        dataset = open_dataset(plugin, {}, data_root=data_root)
        cases = dataset.cases()
    except DataError as error:
        return f"not usable: {error}"
    patients = {case.patient for case in cases}
    described = len(set(dataset.metadata()) & patients)
    kind = "phantom data" if is_phantom(folder) else _completeness(len(patients), plugin.download.patients)
    try:
        known = (
            fingerprint(dataset, cases, folder=folder, cache=cache, threads=os.cpu_count() or 1)
            if compute
            else known_fingerprint(dataset, cases, folder=folder, cache=cache)
        )
    except DataError as error:
        known = f"none, as {len(error.problems)} cases have faulty files: benchbench data verify {plugin.name}"
    return (
        f"{kind}: {len(cases)} cases of {len(patients)} patients, {described} with metadata;"
        f" fingerprint {known or 'not known: add --fingerprint'}"
    )


def _completeness(found: int, published: int | None) -> str:
    if published is None:
        return "present"
    if found == published:
        return "complete"
    return (
        f"incomplete, {found} of {published} patients"
        if found < published
        else f"more than the published {published}"
    )
