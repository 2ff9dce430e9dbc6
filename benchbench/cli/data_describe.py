"""`benchbench data describe`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.options import data_root_option, params_option, size_limit_option, threads_option

if TYPE_CHECKING:
    from benchbench.contract import Task
    from benchbench.engine.preparation.description import CaseDescription

_QUANTILES = ("least", "median", "most")
_AXES = {3: ("slices", "rows", "columns"), 2: ("rows", "columns")}


@click.command("describe")
@click.argument("name")
@data_root_option
@params_option
@threads_option
@size_limit_option
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Write a table with a line per case.")
@click.option(
    "--suggest",
    "suggestion",
    type=click.Path(path_type=Path),
    help="Write the [protocol] that nnU-Net's rules give for these cases, with the reasons.",
)
@click.option("--page", type=click.Path(path_type=Path), help="Write an HTML page with tables and histograms.")
def describe_command(
    name: str,
    *,
    data_root: Path | None,
    overrides: tuple[str, ...],
    threads: int | None,
    table: Path | None,
    suggestion: Path | None,
    page: Path | None,
) -> None:
    """Print sizes, voxel sizes, intensities and region volumes of the dataset NAME.

    NAME may be a benchmark file with one dataset, such as that of your own images.
    """
    from benchbench.cli.data import named_datasets  # noqa: PLC0415 a circle otherwise
    from benchbench.cores import available_cores  # noqa: PLC0415 after --help has answered
    from benchbench.data.folder import open_dataset  # noqa: PLC0415
    from benchbench.engine.preparation.description import describe_cases  # noqa: PLC0415
    from benchbench.words import count  # noqa: PLC0415

    datasets = named_datasets(name, overrides, data_root)
    if len(datasets) > 1 and (table or suggestion or page):
        datasets_of_file = count(len(datasets), "dataset")
        raise click.UsageError(f"{name} has {datasets_of_file}; --csv, --suggest and --page take one: name it")
    for plugin, params in datasets:
        dataset = open_dataset(plugin, params, data_root=data_root)
        cases = dataset.cases()
        with click.progressbar(length=len(cases), label=plugin.name, hidden=not sys.stderr.isatty()) as bar:
            described = describe_cases(
                dataset, cases, threads=threads or available_cores(), progress=lambda: bar.update(1)
            )
        _print_dataset(plugin.name, described, dataset.task)
        if table:
            _write_table(table, described, dataset.task)
        if page:
            _write_page(page, plugin.name, described, dataset.task)
        if suggestion:
            _write_suggestion(suggestion, described, dataset.task)


def _print_dataset(name: str, cases: Sequence[CaseDescription], task: Task) -> None:
    from benchbench.cli.terminal import Column, print_table  # noqa: PLC0415 printing only
    from benchbench.words import count  # noqa: PLC0415

    patients = {description.case.patient for description in cases}
    click.echo(f"{name}: {count(len(cases), 'case')} of {count(len(patients), 'patient')}")
    numbers = [Column(name=quantile, is_number=True, is_fixed=True) for quantile in _QUANTILES]
    print_table([Column(name="size", is_key=True), *numbers], list(_size_rows(cases)))
    click.echo()
    columns = [Column(name="channel", is_key=True)]
    columns += [Column(name=text, is_number=True, is_fixed=True) for text in ("0.5 %", "mean", "SD", "99.5 %")]
    print_table(columns, list(_channel_rows(cases, task)), title="Intensities, medians over cases")
    click.echo()
    columns = [Column(name="region", is_key=True), Column(name="cases", is_number=True, is_fixed=True), *numbers]
    print_table(columns, list(_region_rows(cases, task)), title=f"Sizes of regions, in {_unit(cases)}")


def _size_rows(cases: Sequence[CaseDescription]) -> Iterator[list[Any]]:
    """Yield voxels, voxel size and the share of the smallest box with everything that is not 0."""
    import numpy as np  # noqa: PLC0415 as above

    for n_axes, names in _AXES.items():
        group = [item for item in cases if len(item.shape) == n_axes]
        yield from _axis_rows(names, [item.shape for item in group], digits=0)
        spacings = [item.spacing_mm for item in group if item.spacing_mm is not None]
        yield from _axis_rows([f"mm between {name}" for name in names], spacings, digits=3)
    shares = [np.prod(item.nonzero_shape) / item.n_voxels for item in cases]
    yield ["share of the box of nonzero voxels", *_quantiles(shares, digits=3)]


def _axis_rows(names: Sequence[str], values: Sequence[Sequence[float]], *, digits: int) -> Iterator[list[Any]]:
    """Yield a row for each axis, of values with a number for each axis; no row where there are no values."""
    if not values:
        return
    for axis, name in enumerate(names):
        yield [name, *_quantiles([of_case[axis] for of_case in values], digits=digits)]


def _channel_rows(cases: Sequence[CaseDescription], task: Task) -> Iterator[list[Any]]:
    import numpy as np  # noqa: PLC0415 as above

    for position, channel in enumerate(task.channels):
        values = [item.channels[position] for item in cases]
        low, high, mean, sd = np.median(values, axis=0).tolist()
        yield [channel, *(f"{value:.4g}" for value in (low, mean, sd, high))]


def _region_rows(cases: Sequence[CaseDescription], task: Task) -> Iterator[list[Any]]:
    """Yield the number of cases with a region, and its size where it is present."""
    digits = 3 if _unit(cases) == "ml" else 0
    for position, region in enumerate(task.regions):
        present = [item for item in cases if item.region_voxels[position]]
        sizes = [item.region_voxels[position] * _factor(item, cases) for item in present]
        quantiles = _quantiles(sizes, digits=digits) if sizes else ["-"] * len(_QUANTILES)
        yield [region, f"{len(present)} of {len(cases)}", *quantiles]


def _unit(cases: Sequence[CaseDescription]) -> str:
    return "ml" if all(item.voxel_ml is not None for item in cases) else "voxels"


def _factor(item: CaseDescription, cases: Sequence[CaseDescription]) -> float:
    return item.voxel_ml or 1.0 if _unit(cases) == "ml" else 1.0


def _quantiles(values: Sequence[float], *, digits: int) -> list[str]:
    import numpy as np  # noqa: PLC0415 as above

    return [f"{value:.{digits}f}" for value in (min(values), float(np.median(values)), max(values))]


def _write_table(path: Path, cases: Sequence[CaseDescription], task: Task) -> None:
    """Write a line for each case: ids, size, voxel size, intensities and region sizes in voxels."""
    import pandas as pd  # noqa: PLC0415 as above

    from benchbench.data.atomic import write_atomic  # noqa: PLC0415

    rows = []
    for item in cases:
        row: dict[str, Any] = {"case": item.case.id, "patient": item.case.patient}
        row["shape"] = " ".join(map(str, item.shape))
        row["nonzero_shape"] = " ".join(map(str, item.nonzero_shape))
        row["spacing_mm"] = "" if item.spacing_mm is None else " ".join(map(str, item.spacing_mm))
        for channel, values in zip(task.channels, item.channels, strict=True):
            row |= {f"{channel} {name}": value for name, value in values._asdict().items()}
        for region, voxels in zip(task.regions, item.region_voxels, strict=True):
            row[f"{region} voxels"] = voxels
        rows.append(row)
    write_atomic(path, pd.DataFrame(rows).to_csv(index=False).encode())
    click.echo(f"wrote {path}")


def _write_page(path: Path, name: str, cases: Sequence[CaseDescription], task: Task) -> None:
    import pandas as pd  # noqa: PLC0415 as above

    from benchbench.data.atomic import write_atomic  # noqa: PLC0415
    from benchbench.report.page.dataset_page import dataset_page  # noqa: PLC0415
    from benchbench.words import count  # noqa: PLC0415

    patients = {item.case.patient for item in cases}
    tables = {
        "Sizes": pd.DataFrame(_size_rows(cases), columns=["size", *_QUANTILES]),
        "Intensities, medians over cases": pd.DataFrame(
            _channel_rows(cases, task), columns=["channel", "0.5 %", "mean", "SD", "99.5 %"]
        ),
        f"Sizes of regions, in {_unit(cases)}": pd.DataFrame(
            _region_rows(cases, task), columns=["region", "cases", *_QUANTILES]
        ),
    }
    summary = f"{count(len(cases), 'case')} of {count(len(patients), 'patient')}"
    write_atomic(path, dataset_page(name, summary, tables, _distributions(cases, task)).encode())
    click.echo(f"wrote {path}")


def _distributions(cases: Sequence[CaseDescription], task: Task) -> dict[str, list[float]]:
    """Return title -> a value of each case: sizes, voxel sizes, mean intensities and sizes of regions present."""
    values: dict[str, list[float]] = {}
    for item in cases:
        names = _AXES[len(item.shape)]
        for name, size in zip(names, item.shape, strict=True):
            values.setdefault(name, []).append(size)
        for name, spacing in zip(names, item.spacing_mm or (), strict=False):
            values.setdefault(f"mm between {name}", []).append(spacing)
        for channel, statistics in zip(task.channels, item.channels, strict=True):
            values.setdefault(f"mean intensity of {channel}", []).append(statistics.mean)
        for region, voxels in zip(task.regions, item.region_voxels, strict=True):
            if voxels:
                values.setdefault(f"{region}, {_unit(cases)}", []).append(voxels * _factor(item, cases))
    return values


def _write_suggestion(path: Path, cases: Sequence[CaseDescription], task: Task) -> None:
    from benchbench.data.atomic import write_atomic  # noqa: PLC0415 as above
    from benchbench.engine.preparation.suggestion import suggest_protocol  # noqa: PLC0415

    write_atomic(path, suggest_protocol(cases, task).encode())
    click.echo(f"wrote {path}; next: copy it into a benchmark file")
