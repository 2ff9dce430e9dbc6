"""The end of `benchbench run`: a table of all runs, a line per model, verdicts, and where the files are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from benchbench.report.page.index import read_card
from benchbench.results.folder import ResultsFolder
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import leaderboard, names_with_units
from benchbench.tables.results import PHANTOM_NOTE, Results, read_results

if TYPE_CHECKING:
    from rich.table import Table

_SCORES = ("dice", "iou", "accuracy")
_KEYS = ("dataset", "model", "variant", "fold", "seed")


def print_summary(folder: ResultsFolder) -> None:
    """Print one line per run, one per model and the verdicts, then the paths of page and tables."""
    from rich.console import Console  # noqa: PLC0415 printing only

    results = read_results(folder)
    note = f" ({PHANTOM_NOTE})" if results.manifest.phantom else ""
    Console().print(_run_table(results, note))
    for row in leaderboard(results).to_dict("records"):
        click.echo(f"{_describe_row(results, row)}{note}")
    for verdict in read_card(folder).verdicts:
        click.echo(f"{verdict}{note}")
    click.echo(f"page: {folder.path / 'index.html'}")
    click.echo(f"tables, weights and curves: {folder.path}  (tensorboard --logdir {folder.path}/runs)")


def _run_table(results: Results, note: str) -> Table:
    from rich.table import Table  # noqa: PLC0415 printing only

    folds = fold_table(results)
    scores = [name for name in _SCORES if name in folds]
    right_aligned = {"fold", "seed", *scores}
    table = Table(title=f"{results.manifest.title}{note}", title_justify="left")
    for name in (*_KEYS, *scores, "status"):
        table.add_column(name, justify="right" if name in right_aligned else "left")
    for row in folds.to_dict("records"):
        cells = [str(row[name]) for name in _KEYS]
        cells += [_format_score(row[name]) for name in scores]
        status = f"{row['status']}: {row['reason']}" if row["reason"] else row["status"]
        table.add_row(*cells, status)
    return table


def _describe_row(results: Results, row: Mapping[str, Any]) -> str:
    """Return a row of the leaderboard as a sentence: the model, its first metric and the spread of folds."""
    model = row["model"]
    if row["variant"] != "default":
        model += f" ({row['variant']})"
    if row.get("pretrained"):
        model += f", pretrained ({row['pretrained']})"
    if row.get("selection"):
        model += f", {row['selection']}"
    metric = names_with_units(results.metrics(row["variant"])[0], row)[0]
    score = f"{metric} {_format_score(row[metric])} over all cases"
    folds = f"folds {_format_score(row['fold_mean'])} ± {_format_score(row.get('fold_sd'))}"
    return f"{row['dataset']} {model}: {score}, {folds}, {row['runs']} runs"


def _format_score(value: object) -> str:
    if not isinstance(value, float) or value != value:  # noqa: PLR0124 nan
        return "-"
    return f"{value:.4f}"
