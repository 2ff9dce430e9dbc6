"""`benchbench data`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli import NearestGroup
from benchbench.cli.cache import cache_command
from benchbench.cli.completion import complete_datasets
from benchbench.cli.data_describe import describe_command
from benchbench.cli.options import (
    cache_option,
    data_root_option,
    params_option,
    read_params,
    size_limit_option,
    threads_option,
)
from benchbench.cores import available_cores
from benchbench.words import are, count

if TYPE_CHECKING:
    from benchbench.contract import CaseRef, Dataset, DatasetPlugin
    from benchbench.data.verify import Verification


@click.group("data", cls=NearestGroup)
def data_command() -> None:
    """Download, inspect and verify datasets, write phantom data, clear the cache."""


data_command.add_command(cache_command)
data_command.add_command(describe_command)


@data_command.command("status")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_datasets)
@data_root_option
@cache_option
@click.option(
    "--fingerprint", "compute", is_flag=True, help="Compute unknown fingerprints, which reads the files."
)
@params_option
@threads_option
def status(
    *,
    names: tuple[str, ...],
    data_root: Path | None,
    cache: Path,
    compute: bool,
    overrides: tuple[str, ...],
    threads: int | None,
) -> None:
    """Print the state of all datasets, or of those named.

    For a dataset that is not found, the command to get it is printed.
    """
    from benchbench.contract import OWN_FILES  # noqa: PLC0415 after --help has answered
    from benchbench.registry.registry import discover  # noqa: PLC0415

    if overrides and len(names) != 1:
        raise click.UsageError("--set changes one dataset: name it")
    registry = discover()
    most = (threads or available_cores()) if compute else 0
    published = [
        name for name, installed in registry.datasets.items() if installed.plugin.download is not OWN_FILES
    ]
    for name in names or sorted(published):
        plugin = registry.dataset(name)
        params = read_params(plugin.open, overrides)
        state = _describe_state(plugin, params, data_root, cache=cache, threads=most)
        click.echo(f"{name}: {state}")


@data_command.command("get")
@click.argument("name", shell_complete=complete_datasets)
@data_root_option
@click.option("--accept-licence", is_flag=True, help="Accept the licence that is printed.")
@click.option("--by-hand", is_flag=True, help="Only print how to get the official copy by hand.")
def get(name: str, *, data_root: Path | None, accept_licence: bool, by_hand: bool) -> None:
    """Download the dataset NAME, or all datasets of a benchmark file.

    If it can only be downloaded by hand, the steps are printed.
    """
    from benchbench.data.download import can_download, download_dataset  # noqa: PLC0415 after --help has answered
    from benchbench.registry.registry import discover  # noqa: PLC0415

    root = _require_root(data_root)
    is_file = name.endswith(".toml")
    plugins = _downloads_of(Path(name)) if is_file else [discover().dataset(name)]
    for plugin in plugins:
        click.echo(f"{plugin.name}: {plugin.download.page}\nlicence: {plugin.download.licence}")
        verify_words = f"benchbench data verify {name} --data-root {root}"
        if by_hand or not can_download(plugin):
            _print_steps(plugin, root / plugin.name, last_step=f"run: {verify_words}")
            continue
        if not accept_licence:
            _ask_for_consent(name)
        cases = download_dataset(
            plugin, data_root=root, say=_echo_progress, progressbar=sys.stderr.isatty(), may_be_nested=is_file
        )
        click.echo(f"{plugin.name}: {count(cases, 'case')} in {root / plugin.name}; next: {verify_words}")


def _downloads_of(file: Path) -> list[DatasetPlugin]:
    """Return the datasets of a benchmark file, opened with its parameters and downloaded from its addresses."""
    from dataclasses import replace  # noqa: PLC0415 as above

    from benchbench.data.folder import open_with_description  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415
    from benchbench.spec.benchmark import read_benchmark  # noqa: PLC0415

    registry = discover()
    benchmark = read_benchmark(file, check=registry.check)
    plugins = []
    for entry in benchmark.variants[0].datasets:
        plugin = registry.named_dataset(entry)
        opened = partial(open_with_description, plugin, entry.params)
        plugins.append(replace(plugin, open=opened, download=entry.download or plugin.download))
    return plugins


@data_command.command("path")
@click.argument("name", required=False, shell_complete=complete_datasets)
@data_root_option
def path(name: str | None, *, data_root: Path | None) -> None:
    """Print the data root, or the folder of the dataset NAME in it."""
    from benchbench.registry.registry import discover  # noqa: PLC0415 after --help has answered

    root = _require_root(data_root)
    click.echo(root / discover().dataset(name).name if name else root)


@data_command.command("verify")
@click.argument("name", shell_complete=complete_datasets)
@data_root_option
@cache_option
@params_option
@threads_option
@size_limit_option
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Check that every region occurs in each of this many folds.",
)
def verify_command(
    name: str,
    *,
    data_root: Path | None,
    cache: Path,
    overrides: tuple[str, ...],
    threads: int | None,
    folds: int,
) -> None:
    """Read every file of the dataset NAME and list all problems.

    NAME may be a benchmark file: each of its datasets is read, own images too.
    """
    from benchbench.errors import DataError  # noqa: PLC0415 after --help has answered

    problems: list[str] = []
    for plugin, params in named_datasets(name, overrides, data_root):
        try:
            _verify(plugin, params, data_root, cache=cache, threads=threads or available_cores(), folds=folds)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(*problems)


def named_datasets(
    name: str, overrides: tuple[str, ...], data_root: Path | None
) -> list[tuple[DatasetPlugin, Mapping[str, Any]]]:
    """Return a dataset, or all datasets of a benchmark file, with their parameters."""
    from benchbench.data.folder import described_params  # noqa: PLC0415 after --help has answered
    from benchbench.registry.parameters import resolve_params  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415
    from benchbench.spec.benchmark import read_benchmark  # noqa: PLC0415

    registry = discover()
    if not name.endswith(".toml"):
        plugin = registry.dataset(name)
        return [(plugin, read_params(plugin.open, overrides))]
    benchmark = read_benchmark(
        Path(name),
        check=registry.check,
        overrides=overrides,
        describe=lambda entry: described_params(registry.named_dataset(entry), data_root=data_root),
    )
    datasets: list[tuple[DatasetPlugin, Mapping[str, Any]]] = []
    for entry in benchmark.variants[0].datasets:
        plugin = registry.named_dataset(entry)
        datasets.append((plugin, resolve_params(plugin.open, entry.params)))
    return datasets


def _verify(
    plugin: DatasetPlugin,
    params: Mapping[str, Any],
    data_root: Path | None,
    *,
    cache: Path,
    threads: int,
    folds: int,
) -> None:
    """Read every file of a dataset and print the result.

    Raises:
        DataError: with all problems.
    """
    from benchbench.data.fingerprint import case_states  # noqa: PLC0415 as above
    from benchbench.data.folder import open_dataset  # noqa: PLC0415
    from benchbench.data.unused_files import files_of_no_case  # noqa: PLC0415
    from benchbench.data.verify import verify  # noqa: PLC0415

    name = plugin.name
    dataset = open_dataset(plugin, params, data_root=data_root)
    folder = _require_root(data_root) / name
    cases = dataset.cases()
    states = case_states(dataset, cases)
    with click.progressbar(length=len(cases), label=name, hidden=not sys.stderr.isatty()) as bar:
        checked = verify(dataset, threads=threads, progress=lambda: bar.update(1), folds=folds)
    for remark in checked.remarks:
        click.echo(f"note: {remark}")
    if unused := files_of_no_case(dataset, cases, folder):
        click.echo(f"note: files of no case: {', '.join(unused)}")
    _store_digests(checked, states, dataset, folder, cache)
    _print_verification(name, checked)


def _store_digests(
    checked: Verification, states: Mapping[str, str], dataset: Dataset, folder: Path, cache: Path
) -> None:
    """Keep the digests for `data status`; a cache that cannot be written is named and changes nothing else."""
    from benchbench.data.fingerprint import store_fingerprint  # noqa: PLC0415 as above

    try:
        store_fingerprint(checked.digests, states, dataset, folder=folder, cache=cache)
    except OSError as error:
        click.echo(f"note: the fingerprint is not kept, because {cache} cannot be written ({error.strerror})")


def _print_verification(name: str, checked: Verification) -> None:
    from benchbench.errors import DataError  # noqa: PLC0415 as above

    cases = count(len(checked.cases), "case")
    if checked.problems:
        problems = count(len(checked.problems), "problem")
        raise DataError(*checked.problems, f"{name}: {problems}; {checked.faulty} of {cases} with faulty files")
    patients = {case.patient for case in checked.cases}
    slices = count(checked.slices, "slice")
    click.echo(
        f"{name}: {cases} ({slices}) of {are(len(patients), 'patient')} valid; fingerprint {checked.digest}"
    )


@data_command.command("phantom")
@click.argument("name", shell_complete=complete_datasets)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--patients", type=click.IntRange(min=1), default=12, show_default=True)
@click.option("--size", type=click.IntRange(min=32), default=64, show_default=True, help="Pixels along an axis.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def phantom(name: str, folder: Path, *, patients: int, size: int, seed: int) -> None:
    """Write synthetic cases of the dataset NAME to FOLDER/NAME.

    The files have the same layout as the real ones.
    """
    from benchbench.data.phantom import write_phantom  # noqa: PLC0415 after --help has answered
    from benchbench.registry.registry import discover  # noqa: PLC0415
    from benchbench.spec.benchmark_file import PhantomSize  # noqa: PLC0415

    write_phantom(discover().dataset(name), folder / name, PhantomSize(patients=patients, size=size, seed=seed))
    click.echo(f"{count(patients, 'phantom patient')} in {folder / name}; use them with --data-root {folder}")


def _require_root(data_root: Path | None) -> Path:
    if data_root is None:
        raise click.UsageError("no data root given: use --data-root DIR or set BENCHBENCH_DATA")
    return data_root


def _print_steps(plugin: DatasetPlugin, folder: Path, *, last_step: str) -> None:
    steps = plugin.download.steps or ("download it from the page and unpack it into {folder}",)
    click.echo("to download it by hand:")
    for number, step in enumerate((*steps, last_step), start=1):
        click.echo(f"  {number}. {step.replace('{folder}', str(folder))}")


def _ask_for_consent(name: str) -> None:
    try:
        has_agreed = click.confirm("do you accept this licence?")
    except click.Abort:  # there is no terminal to answer from
        has_agreed = False
    if not has_agreed:
        raise click.UsageError(
            f"{name} can only be downloaded under its licence: accept it, or add --accept-licence"
        )


def _echo_progress(text: str) -> None:
    click.echo(text, err=True)


def _describe_state(
    plugin: DatasetPlugin, params: Mapping[str, Any], data_root: Path | None, *, cache: Path, threads: int
) -> str:
    """Return the state of a dataset; unknown fingerprints are computed with `threads`, unless that is 0."""
    from benchbench.contract import OWN_FILES  # noqa: PLC0415 as above
    from benchbench.data.folder import open_dataset  # noqa: PLC0415
    from benchbench.data.phantom import is_phantom  # noqa: PLC0415
    from benchbench.errors import DataError  # noqa: PLC0415

    if data_root is None or not (data_root / plugin.name).is_dir():
        if plugin.download is OWN_FILES:
            return "a layout for your own files: name it in a benchmark file"
        return f"not found; to get it: benchbench data get {plugin.name} --data-root {data_root or 'DIR'}"
    folder = data_root / plugin.name
    try:
        dataset = open_dataset(plugin, params, data_root=data_root)
        cases = dataset.cases()
        patients = {case.patient for case in cases}
        with_metadata = len(patients & set(dataset.metadata()))
    except DataError as error:
        return f"not usable: {error}"
    completeness = _describe_completeness(len(patients), plugin.download.patients)
    if is_phantom(folder):
        completeness = "phantom data"
    known = _describe_fingerprint(plugin.name, dataset, cases, folder, cache=cache, threads=threads)
    counts = f"{count(len(cases), 'case')} of {count(len(patients), 'patient')}, {with_metadata} with metadata"
    return f"{completeness}: {counts}; fingerprint {known}"


def _describe_completeness(patients: int, published: int | None) -> str:
    if published is None:
        return "present"
    if patients == published:
        return "complete"
    if patients < published:
        return f"incomplete, {patients} of {count(published, 'patient')}"
    return f"more than the published {published}"


def _describe_fingerprint(
    name: str, dataset: Dataset, cases: Sequence[CaseRef], folder: Path, *, cache: Path, threads: int
) -> str:
    from benchbench.data.fingerprint import fingerprint, known_fingerprint  # noqa: PLC0415 as above
    from benchbench.errors import DataError  # noqa: PLC0415

    if not threads:
        known = known_fingerprint(dataset, cases, folder=folder, cache=cache)
        return known or "not known: add --fingerprint"
    try:
        return fingerprint(dataset, cases, folder=folder, cache=cache, threads=threads)
    except DataError as error:
        return f"none, because of {count(len(error.problems), 'problem')}: benchbench data verify {name}"
