"""The end of `benchbench run`: a table of all runs, a line per model, verdicts, and where the files are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import click

from benchbench.cli.terminal import Column, print_table, print_text
from benchbench.extras import has_extra
from benchbench.records.folder import ResultsFolder
from benchbench.report.page.index import read_card
from benchbench.tables.absent_regions import absent_region_notes
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import leaderboard, names_with_units
from benchbench.tables.results import Results, read_results
from benchbench.words import count

_KEYS = ("dataset", "model", "variant", "fold", "seed")


def print_summary(folder: ResultsFolder) -> None:
    """Print one line per run, one per model and the verdicts, then the paths of page and tables."""
    results = read_results(folder)
    note = f" ({results.note})" if results.note else ""
    _print_runs(results, note)
    for row in leaderboard(results).to_dict("records"):
        print_text(f"{_describe_row(results, row)}{note}")
    for verdict in read_card(folder).verdicts:
        print_text(f"{verdict}{note}")
    for absence in absent_region_notes(results):
        print_text(f"note: {absence}")
    # paths are not wrapped, so that they can be copied
    click.echo(f"page: {folder.path / 'index.html'}")
    line = f"tables, weights and curves: {folder.path}"
    if has_extra("tensorboard"):
        line += f"  (tensorboard --logdir {folder.path}/runs)"
    click.echo(line)


def _print_runs(results: Results, note: str) -> None:
    """Print a row for each run with the benchmark's metrics, then the reasons of runs without a full result."""
    folds = fold_table(results)
    scores = _score_columns(results, folds.columns)
    columns = [Column(name=name, is_key=True, is_number=name in {"fold", "seed"}) for name in _KEYS]
    columns += [Column(name=name, is_number=True, is_fixed=True) for name in scores]
    columns.append(Column(name="status"))
    rows = []
    reasons: dict[str, list[str]] = {}
    for row in folds.to_dict("records"):
        keys = [str(row[name]) for name in _KEYS]
        rows.append([*keys, *(_format_score(row.get(name)) for name in scores), row["status"]])
        if row["reason"]:
            place = f"{'/'.join(keys[:3])}/fold{keys[3]}/seed{keys[4]}"
            reasons.setdefault(f"{row['status']}: {row['reason']}", []).append(place)
    print_table(columns, rows, title=f"{results.manifest.title}{note}")
    for reason, places in reasons.items():
        print_text(f"{', '.join(places)}: {reason}")


def _score_columns(results: Results, names: Collection[str]) -> list[str]:
    """Return the columns of the benchmark's metrics, in its order; one that no run has is named as in the file."""
    columns: dict[str, None] = {}
    for variant in results.manifest.scores:
        for metric in results.metrics(variant):
            columns.update(dict.fromkeys(names_with_units(metric, names) or [metric]))
    return list(columns)


def _describe_row(results: Results, row: Mapping[str, Any]) -> str:
    """Return a row of the leaderboard as a sentence: the model, its first metric and the spread of folds."""
    model = row["model"]
    if row["variant"] != "default":
        model += f" ({row['variant']})"
    if row.get("external"):
        model += f", external ({row['external']})"
    if row.get("own_settings"):
        model += f", own settings ({row['own_settings']})"
    if row.get("pretrained"):
        model += f", pretrained ({row['pretrained']})"
    if row.get("contamination"):
        model += f", not ranked: {row['contamination']}"
    if row.get("selection"):
        model += f", {row['selection']}"
    if row.get("split"):
        model += f", {row['split']}"
    metric = names_with_units(results.metrics(row["variant"])[0], row)[0]
    score = f"{metric} {_format_score(row[metric])} over all cases"
    folds = f"folds {_format_score(row['fold_mean'])} ± {_format_score(row.get('fold_sd'))}"
    return f"{row['dataset']} {model}: {score}, {folds}, {_describe_runs(row['runs'])}"


def _describe_runs(runs: str) -> str:
    """Return a count such as 2 of 3 with its noun."""
    done, _, planned = runs.partition(" of ")
    return f"{done} of {count(int(planned), 'run')}"


def _format_score(value: object) -> str:
    if not isinstance(value, float) or value != value:  # noqa: PLR0124 nan
        return "-"
    return f"{value:.4f}"
