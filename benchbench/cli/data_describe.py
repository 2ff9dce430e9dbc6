"""`benchbench data describe`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.options import data_root_option, params_option, size_limit_option, threads_option

if TYPE_CHECKING:
    from benchbench.contract import Task
    from benchbench.engine.preparation.description import CaseDescription
    from benchbench.report.dataset_sections import DatasetSection


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
    from benchbench.report.dataset_sections import dataset_sections  # noqa: PLC0415
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
        _print_dataset(f"{plugin.name}: {_summary(described)}", dataset_sections(described, dataset.task))
        if table:
            _write_table(table, described, dataset.task)
        if page:
            _write_page(page, plugin.name, described, dataset.task, data_root=data_root)
        if suggestion:
            _write_suggestion(suggestion, described, dataset.task)


def _summary(cases: Sequence[CaseDescription]) -> str:
    from benchbench.words import count  # noqa: PLC0415 as above

    patients = {item.case.patient for item in cases}
    return f"{count(len(cases), 'case')} of {count(len(patients), 'patient')}"


def _print_dataset(summary: str, sections: Sequence[DatasetSection]) -> None:
    from benchbench.cli.terminal import Column, print_table  # noqa: PLC0415 printing only

    click.echo(summary)
    for position, section in enumerate(sections):
        if position:
            click.echo()
        key, *names = section.columns
        columns = [Column(name=key, is_key=True)]
        columns += [Column(name=name, is_number=True, is_fixed=True) for name in names]
        print_table(columns, section.rows, title=section.caption if position else "")


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


def _write_page(
    path: Path, name: str, cases: Sequence[CaseDescription], task: Task, *, data_root: Path | None
) -> None:
    from benchbench.data.atomic import write_atomic  # noqa: PLC0415 as above
    from benchbench.data.phantom import is_phantom  # noqa: PLC0415
    from benchbench.engine.preparation.suggestion import suggest_protocol  # noqa: PLC0415
    from benchbench.report.dataset_sections import dataset_sections  # noqa: PLC0415
    from benchbench.report.page.dataset_page import dataset_page  # noqa: PLC0415

    text = dataset_page(
        name,
        _summary(cases),
        dataset_sections(cases, task),
        protocol=suggest_protocol(cases, task),
        is_phantom=data_root is not None and is_phantom(data_root / name),
    )
    write_atomic(path, text.encode())
    click.echo(f"wrote {path}")


def _write_suggestion(path: Path, cases: Sequence[CaseDescription], task: Task) -> None:
    from benchbench.data.atomic import write_atomic  # noqa: PLC0415 as above
    from benchbench.engine.preparation.suggestion import suggest_protocol  # noqa: PLC0415

    write_atomic(path, suggest_protocol(cases, task).encode())
    click.echo(f"wrote {path}; next: copy it into a benchmark file")
