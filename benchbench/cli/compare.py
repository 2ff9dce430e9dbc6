"""`benchbench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.json_output import document_of, format_option

if TYPE_CHECKING:
    from benchbench.comparison import Outcome
    from benchbench.statistics import Comparison, Interval, Unknown


_TESTS = ("p", "p(Holm)", "p(equivalent)", "rank-biserial", "better/same/worse")
_UNKNOWN = "-"
_LEAST_P = 0.0001  # with four decimals, smaller ones would be printed as 0
_COLUMNS = ("difference", "95 % interval", "wins/ties/losses", *_TESTS)


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
@format_option
def compare_command(
    first: str, second: str, *, results: Path, metrics: str | None, dataset: str | None, output_format: str
) -> None:
    """Compare two models of a benchmark patient by patient, or two results folders model by model.

    FIRST and SECOND are models, written `unet` or `unet:variant`, or results folders. Differences are first minus
    second.
    """
    from benchbench.comparison import compare_results  # noqa: PLC0415 after --help has answered

    names = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    with document_of("compare", output_format) as document:
        outcomes = compare_results(first, second, results=results, metrics=names, dataset=dataset)
        if not document.is_json:
            for outcome in outcomes:
                _print(outcome)
        document.content = {"outcomes": [_content(outcome) for outcome in outcomes]}


def _content(outcome: Outcome) -> dict[str, Any]:
    from benchbench.comparison.rows import comparison_values  # noqa: PLC0415 after --help has answered

    rows = []
    for metric, comparison in outcome.comparisons.items():
        rows.append({"metric": metric, **comparison_values(comparison)})
    return {
        "dataset": outcome.dataset,
        "first": outcome.first,
        "second": outcome.second,
        "verdict": outcome.verdict,
        "family": outcome.family,
        "seeds": outcome.seeds,
        "notes": outcome.notes,
        "gmacs": outcome.costs,
        "comparisons": rows,
        "recipe": outcome.recipe,
    }


def _print(outcome: Outcome) -> None:
    from benchbench.cli.terminal import Column, print_table, print_text  # noqa: PLC0415 printing only

    print_text(outcome.verdict)
    for note in outcome.notes:
        print_text(f"note: {note}")
    print_text(outcome.family)
    rows = [[metric, *_cells(comparison)] for metric, comparison in outcome.comparisons.items()]
    columns = [Column(name="metric", is_key=True)]
    for place, name in enumerate(_COLUMNS, start=1):
        is_known = any(row[place] != _UNKNOWN for row in rows)
        columns.append(Column(name=name, is_number=True, is_fixed=is_known))
    print_table(columns, rows)
    print_text(f"differences between the recipes: {len(outcome.recipe)}")
    names = ("key", outcome.first, outcome.second)
    sides = [Column(name=name, is_key=name == "key", is_fixed=True) for name in names]
    print_table(sides, outcome.recipe)


def _cells(comparison: Comparison) -> list[str]:
    return [
        f"{comparison.difference:+.4f}",
        _format_interval(comparison.interval),
        f"{comparison.wins}/{comparison.ties}/{comparison.losses}",
        _format_p(comparison.p),
        _format_p(comparison.p_holm),
        _format_p(comparison.p_holm_equivalent),
        f"{comparison.rank_biserial:+.2f}",
        "/".join(f"{share:.2f}" for share in comparison.rope),
    ]


def _format_interval(interval: Interval | Unknown) -> str:
    from benchbench.statistics import Unknown  # noqa: PLC0415 as above

    if isinstance(interval, Unknown):
        return _UNKNOWN
    low, high = interval[:2]
    return f"[{low:+.4f}, {high:+.4f}]"


def _format_p(value: float | Unknown) -> str:
    if not isinstance(value, float):
        return _UNKNOWN
    if value < _LEAST_P:
        return f"< {_LEAST_P}"
    return f"{value:.4f}"
