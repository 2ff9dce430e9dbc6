"""`benchbench split`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchbench.cli.options import cache_option, data_root_option, file_argument

if TYPE_CHECKING:
    from benchbench.contract import Dataset
    from benchbench.registry.registry import Registry
    from benchbench.spec.benchmark import Benchmark
    from benchbench.spec.benchmark_file import DatasetEntry


@click.command("split")
@file_argument
@click.option(
    "--write",
    "written",
    type=click.Path(path_type=Path),
    required=True,
    help="File for the splits: splits_final.json as nnU-Net reads it, other JSON with all parts, or CSV.",
)
@click.option("--dataset", "name", help="The dataset, if the benchmark has several.")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change a value of the file.")
@click.option("--rehearse", is_flag=True, help="Write the splits of the phantom data.")
@data_root_option
@cache_option
def split_command(
    file: Path,
    *,
    written: Path,
    name: str | None,
    overrides: tuple[str, ...],
    rehearse: bool,
    data_root: Path | None,
    cache: Path,
) -> None:
    """Write the cases of each part of each fold of the benchmark FILE, which `protocol.splits` can read again."""
    from benchbench.data.atomic import write_atomic  # noqa: PLC0415 after --help has answered
    from benchbench.data.region_strata import metadata_for_strata  # noqa: PLC0415
    from benchbench.data.split_file import folds_of, split_text  # noqa: PLC0415
    from benchbench.errors import UsageError  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415
    from benchbench.spec.benchmark import read_benchmark  # noqa: PLC0415
    from benchbench.words import count  # noqa: PLC0415

    if written.suffix.lower() not in {".json", ".csv"}:
        raise UsageError(f"--write {written}: expected a name that ends with .json or .csv")
    registry = discover()
    benchmark = read_benchmark(file, check=registry.check, overrides=overrides, rehearse=rehearse)
    entry = _choose_dataset(benchmark, name)
    dataset = _open(benchmark, entry, registry, data_root=data_root, cache=cache)
    protocol = benchmark.variants[0].protocol
    cases = dataset.cases()
    folds = folds_of(cases, protocol, metadata_for_strata(dataset, cases, protocol.stratify))
    write_atomic(written, split_text(folds, written.name).encode())
    click.echo(f"wrote {count(len(folds), 'fold')} of {entry.name} to {written}")


def _choose_dataset(benchmark: Benchmark, name: str | None) -> DatasetEntry:
    from benchbench.errors import UsageError  # noqa: PLC0415 as above
    from benchbench.spec.document import nearest  # noqa: PLC0415

    entries = {entry.name: entry for entry in benchmark.variants[0].datasets}
    if name is None and len(entries) == 1:
        return next(iter(entries.values()))
    if name is None:
        raise UsageError(f"found {len(entries)} datasets ({', '.join(entries)}); name one with --dataset")
    if name not in entries:
        raise UsageError(f"--dataset {name}: not in the benchmark; {nearest(name, list(entries))}")
    return entries[name]


def _open(
    benchmark: Benchmark, entry: DatasetEntry, registry: Registry, *, data_root: Path | None, cache: Path
) -> Dataset:
    from benchbench.data.folder import open_dataset  # noqa: PLC0415 as above
    from benchbench.data.phantom import phantom_root  # noqa: PLC0415

    plugin = registry.named_dataset(entry)
    if benchmark.rehearsal is not None:
        data_root = phantom_root(plugin, benchmark.rehearsal, cache=cache)
    return open_dataset(plugin, entry.params, data_root=data_root)
