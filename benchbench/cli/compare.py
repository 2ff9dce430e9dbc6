"""`benchbench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from benchbench.comparison import Outcome
    from benchbench.statistics import Comparison, Interval, Unknown


_TESTS = ("p", "p(Holm)", "p(folds)", "rank-biserial", "better/same/worse")
_COLUMNS = ("metric", "difference", "95 % interval", "wins/ties/losses", *_TESTS)


@click.command("compare")
@click.argument("first")
@click.argument("second")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Results folder of the benchmark that has both models.",
)
@click.option("--metrics", help="Names, separated by commas; default: those of the benchmark.")
@click.option("--dataset", help="Compare on this dataset only.")
def compare_command(first: str, second: str, *, results: Path, metrics: str | None, dataset: str | None) -> None:
    """Compare two models of a benchmark patient by patient, or two results folders model by model.

    FIRST and SECOND are models, written `unet` or `unet:variant`, or results folders. Differences are first minus
    second.
    """
    from benchbench.comparison import compare_results  # noqa: PLC0415 after --help has answered

    names = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    for outcome in compare_results(first, second, results=results, metrics=names, dataset=dataset):
        _print(outcome)


def _print(outcome: Outcome) -> None:
    from rich.console import Console  # noqa: PLC0415 printing only

    console = Console()
    click.echo(outcome.verdict)
    for note in outcome.notes:
        click.echo(f"note: {note}")
    click.echo(outcome.family)
    console.print(_comparison_table(outcome))
    click.echo(f"differences between the recipes: {len(outcome.recipe)}")
    console.print(_recipe_table(outcome))


def _comparison_table(outcome: Outcome) -> Table:
    from rich.table import Table  # noqa: PLC0415 printing only

    table = Table()
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "metric" else "right")
    for metric, comparison in outcome.comparisons.items():
        table.add_row(metric, *_cells(comparison))
    return table


def _recipe_table(outcome: Outcome) -> Table:
    from rich.table import Table  # noqa: PLC0415 printing only

    table = Table()
    for name in ("key", outcome.first, outcome.second):
        table.add_column(name, overflow="fold")
    for difference in outcome.recipe:
        table.add_row(*difference)
    return table


def _cells(comparison: Comparison) -> list[str]:
    return [
        f"{comparison.difference:+.4f}",
        _format_interval(comparison.interval),
        f"{comparison.wins}/{comparison.ties}/{comparison.losses}",
        _format_number(comparison.p_wilcoxon),
        _format_number(comparison.p_holm),
        _format_number(comparison.p_folds),
        f"{comparison.rank_biserial:+.2f}",
        "/".join(f"{share:.2f}" for share in comparison.rope),
    ]


def _format_interval(interval: Interval | Unknown) -> str:
    from benchbench.statistics import Unknown  # noqa: PLC0415 as above

    if isinstance(interval, Unknown):
        return "-"
    low, high = interval[:2]
    return f"[{low:+.4f}, {high:+.4f}]"


def _format_number(value: float | Unknown) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "-"
