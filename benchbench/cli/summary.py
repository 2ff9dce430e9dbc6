"""What a finished benchmark prints: the per-fold table and where the rest lies."""

from __future__ import annotations

import click

from benchbench.report.page.index import read_card
from benchbench.results.folder import ResultsFolder
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.results import PHANTOM_NOTE, read_results

_SHOWN = ("dice", "iou", "accuracy")


def print_folds(folder: ResultsFolder) -> None:
    """Prints one line a run, then one a model, then what can be said of them, and names the files."""
    from rich.console import Console  # noqa: PLC0415 printing only
    from rich.table import Table  # noqa: PLC0415

    results = read_results(folder)
    console = Console()
    note = f" ({PHANTOM_NOTE})" if results.manifest.phantom else ""
    folds = fold_table(results)
    scores = [name for name in _SHOWN if name in folds]
    table = Table(title=f"{results.manifest.title}{note}", title_justify="left")
    for name in ("dataset", "model", "variant", "fold", "seed", *scores, "status"):
        table.add_column(name, justify="right" if name in {"fold", "seed", *scores} else "left")
    for line in folds.to_dict("records"):
        named = [str(line[name]) for name in ("dataset", "model", "variant", "fold", "seed")]
        status = f"{line['status']}: {line['reason']}" if line["reason"] else line["status"]
        table.add_row(*named, *(_score(line[name]) for name in scores), status)
    console.print(table)
    for line in leaderboard(results).to_dict("records"):
        metric = results.metrics(line["variant"])[0]
        first = next(known for known in (metric, f"{metric}_mm", f"{metric}_px") if known in line)
        name = line["model"] if line["variant"] == "default" else f"{line['model']} ({line['variant']})"
        name += f", pretrained ({line['pretrained']})" if line.get("pretrained") else ""
        name += f", {line['selection']}" if line.get("selection") else ""
        folds_say = f"folds {_score(line['fold_mean'])} ± {_score(line.get('fold_sd'))}"
        score = f"{first} {_score(line[first])} over all cases, {folds_say}"
        click.echo(f"{line['dataset']} {name}: {score}, {line['runs']} runs{note}")
    for verdict in read_card(folder)["verdicts"]:
        click.echo(f"{verdict}{note}")
    click.echo(f"page: {folder.path / 'index.html'}")
    click.echo(f"tables, weights and curves: {folder.path}  (tensorboard --logdir {folder.path}/runs)")


def _score(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) and value == value else "-"  # noqa: PLR0124 nan
