"""`benchbench score`."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from benchbench.cli.json_output import document_of, format_option
from benchbench.cli.options import size_limit_option, threads_option
from benchbench.spec.metric_names import CHALLENGES
from benchbench.spec.protocol import EmptyPolicy

if TYPE_CHECKING:
    import pandas as pd

    from benchbench.scoring import Scores

_METRICS = "dice,iou,precision,sensitivity,hd95"
_NUMBERS = ("mean", "low", "high", "median", "n", "n_ref_empty", "n_penalised", "n_nan", "dice_pos")
_KEYS = ("metric", "region")
_COLUMNS = (*_KEYS, *_NUMBERS)


@click.command("score")
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("prediction", type=click.Path(path_type=Path))
@click.option(
    "--labels", multiple=True, metavar="REGION=VALUES", help="Label values of regions: 'tumour=1 whole=1,2,4'."
)
@click.option(
    "--task", type=click.Path(path_type=Path), help="TOML or JSON file with the regions in a table `labels`."
)
@click.option("--background", multiple=True, type=int, metavar="VALUE", help="A label value that is in no region.")
@click.option(
    "--ignore",
    multiple=True,
    type=int,
    metavar="VALUE",
    help="A label value of the reference whose voxels are left out of every score.",
)
@click.option(
    "--metrics", default=_METRICS, show_default=True, help="Names, separated by commas, e.g. dice,hd95,nsd@2."
)
@click.option(
    "--empty",
    type=click.Choice(get_args(EmptyPolicy)),
    default="score",
    show_default=True,
    help="Policy for empty masks.",
)
@click.option(
    "--missing",
    type=click.Choice(["refuse", "worst"]),
    default="refuse",
    show_default=True,
    help="Policy for cases without a prediction: refuse them, or give them the worst score.",
)
@click.option(
    "--lesions",
    type=click.Choice(CHALLENGES),
    help="Also score every lesion by the rules of this BraTS 2023 challenge.",
)
@threads_option
@size_limit_option
@click.option("--out", type=click.Path(path_type=Path), help="Folder for cases.csv, cases.parquet, summary.csv.")
@format_option
def score_command(
    reference: Path, prediction: Path, *, out: Path | None, output_format: str, **options: Any
) -> None:
    """Score PREDICTION against REFERENCE: two label maps, or two folders of label maps paired by name.

    The files may be NIfTI, TIFF, PNG or NRRD. Distances are in mm if the header of the reference has a voxel size,
    otherwise in pixels.
    """
    with document_of("score", output_format) as document:
        scores = _score(reference, prediction, options)
        if not document.is_json:
            _print(scores)
        if out is not None:
            _write(scores, out)
            click.echo(f"written to {out}: cases.csv, cases.parquet, summary.csv")
        document.content = {
            "empty": scores.empty,
            "cases": scores.cases,
            "summary": scores.summary,
            "missing": scores.missing,
            "extra": scores.extra,
            "unread": scores.unread,
            "notes": scores.notes,
        }


def _score(reference: Path, prediction: Path, options: Mapping[str, Any]) -> Scores:
    """Score the files by the rules of the options, with a progress bar on a terminal."""
    from benchbench.scoring import Scoring, read_labels, score_paths  # noqa: PLC0415 after --help has answered

    labels = read_labels(options["labels"], options["task"], ignore=options["ignore"])
    scoring = Scoring(
        regions=labels.regions,
        metrics=tuple(name.strip() for name in options["metrics"].split(",") if name.strip()),
        empty=options["empty"],
        missing=options["missing"],
        background=frozenset({0, *options["background"]}),
        ignore=labels.ignore,
        lesions=options["lesions"],
    )
    cases = _count_cases(reference)
    with click.progressbar(
        length=cases, label="cases", file=sys.stderr, hidden=cases < 2 or not sys.stderr.isatty()
    ) as bar:
        return score_paths(
            reference, prediction, scoring, threads=options["threads"], progress=lambda: bar.update(1)
        )


def _count_cases(reference: Path) -> int:
    from benchbench.images.label_maps import suffix_of  # noqa: PLC0415 as above

    if not reference.is_dir():
        return 1
    return sum(suffix_of(path.name) is not None for path in reference.iterdir())


def _print(scores: Scores) -> None:
    from benchbench.cli.terminal import Column, print_table, print_text  # noqa: PLC0415 printing only
    from benchbench.words import count  # noqa: PLC0415 as above

    summary = scores.summary[scores.summary["aggregate"] == "case"]
    names = [name for name in _COLUMNS if name in summary]
    columns = [
        Column(name=name, is_key=name in _KEYS, is_number=name in _NUMBERS, is_fixed=name == "mean")
        for name in names
    ]
    integers = [name for name in names if name.startswith("n_") or name == "n"]
    table = summary.astype(dict.fromkeys(integers, "Int64"))[names]
    rows = [list(map(_format_cell, row)) for row in table.itertuples(index=False, name=None)]
    cases = count(scores.cases["case"].nunique(), "case")
    print_table(columns, rows, title=f"{cases}, empty masks: {scores.empty}")
    for note in _notes_on_rows(summary):
        print_text(f"note: {note}")
    for note in scores.notes:
        print_text(f"note: {note}")


def _notes_on_rows(summary: pd.DataFrame) -> Iterator[str]:
    """Yield every note once, with the rows that it is about unless it is about all."""
    if "note" not in summary:
        return
    rows_of_note: dict[str, list[str]] = {}
    for metric, region, note in (
        summary[["metric", "region", "note"]].fillna("").itertuples(index=False, name=None)
    ):
        if note:
            rows_of_note.setdefault(note, []).append(f"{metric} {region}")
    for note, rows in rows_of_note.items():
        if len(rows) == len(summary):
            yield note
        else:
            yield f"{note} ({', '.join(rows)})"


def _write(scores: Scores, out: Path) -> None:
    from benchbench.data.atomic import write_atomic  # noqa: PLC0415 as above
    from benchbench.report.text import to_csv  # noqa: PLC0415

    content = io.BytesIO()
    scores.cases.to_parquet(content, index=False)
    write_atomic(out / "cases.parquet", content.getvalue())
    write_atomic(out / "cases.csv", to_csv(scores.cases).encode())
    write_atomic(out / "summary.csv", to_csv(scores.summary).encode())


def _format_cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4f}"
    if value is None or str(value) == "<NA>":
        return ""
    return str(value)
