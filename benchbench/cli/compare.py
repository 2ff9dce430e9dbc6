"""`benchbench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchbench.comparison import Outcome
    from benchbench.statistics import Comparison, Unknown


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
    help="The results folder of the benchmark whose models are compared.",
)
@click.option("--metrics", help="Names between commas; by default those of the benchmark.")
@click.option("--dataset", help="Only this dataset.")
def compare_command(first: str, second: str, *, results: Path, metrics: str | None, dataset: str | None) -> None:
    """Compare two models of a benchmark, patient by patient, or two results folders model by model.

    FIRST and SECOND are models, as `unet` or `unet:variant`, or results folders. Differences are first minus
    second.
    """
    from benchbench.comparison import compare_results  # noqa: PLC0415 after --help has answered

    names = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    for outcome in compare_results(first, second, results=results, metrics=names, dataset=dataset):
        _print(outcome)


def _print(outcome: Outcome) -> None:
    from rich.console import Console  # noqa: PLC0415 printing only
    from rich.table import Table  # noqa: PLC0415

    console = Console()
    click.echo(outcome.verdict)
    for note in outcome.notes:
        click.echo(f"note: {note}")
    click.echo(outcome.family)
    table = Table()
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "metric" else "right")
    for metric, comparison in outcome.comparisons.items():
        table.add_row(metric, *_cells(comparison))
    console.print(table)
    click.echo(f"differences between the recipes: {len(outcome.recipe)}")
    recipe = Table()
    for name in ("key", outcome.first, outcome.second):
        recipe.add_column(name, overflow="fold")
    for difference in outcome.recipe:
        recipe.add_row(*difference)
    console.print(recipe)


def _cells(found: Comparison) -> list[str]:
    from benchbench.statistics import Unknown  # noqa: PLC0415 as above

    ends = () if isinstance(found.interval, Unknown) else found.interval[:2]
    interval = f"[{', '.join(f'{end:+.4f}' for end in ends)}]" if ends else "-"
    return [
        f"{found.difference:+.4f}",
        interval,
        f"{found.wins}/{found.ties}/{found.losses}",
        *(_number(p) for p in (found.p_wilcoxon, found.p_holm, found.p_folds)),
        f"{found.rank_biserial:+.2f}",
        "/".join(f"{share:.2f}" for share in found.rope),
    ]


def _number(value: float | Unknown) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "-"
