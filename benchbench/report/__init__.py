"""Writes a benchmark's tables, figures and page as files that people read, print and compute with."""

from __future__ import annotations

import json
from collections.abc import Sequence

from benchbench.comparison.board import Board, boards
from benchbench.comparison.sensitivity import sensitivity_table
from benchbench.report.board_tables import choice_table, difference_table, rank_table, standing_table
from benchbench.report.figures import Figure, draw_figures
from benchbench.report.page import benchmark_page
from benchbench.report.page.index import CARD, card
from benchbench.report.reproduction_page import reproduction_page, reproduction_table
from benchbench.report.text import plain_markdown, to_csv, to_latex, to_markdown
from benchbench.results.folder import ResultsFolder
from benchbench.results.record import Record
from benchbench.spec.metric_names import is_overlap
from benchbench.tables.cost_tables import cost_summary, cost_table
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.listings import listing_tables
from benchbench.tables.pivots import pivot_tables
from benchbench.tables.references import BACKGROUND, CEILING, with_references
from benchbench.tables.reproduction import reproductions
from benchbench.tables.results import PHANTOM_NOTE, Results, mixed_data, read_results
from benchbench.tables.summaries import summary_table, unmeasured

_DISTANCES = (
    "Distances are in mm by the voxel size of each case, or in pixels (`px`) where it is unknown. Where one mask"
    " alone is empty, the length of the case's diagonal stands for a distance and 0 for nsd: `n_penalised` in"
    " `summary.csv` counts these, and its median feels them less than the mean."
)
_MANY_EMPTY = 0.05
_READING = (
    "Scores are means over all test cases of all folds, each case scored once per seed as a whole volume on its"
    " own grid by the checkpoint that the inner validation chose; `fold_mean` and `fold_sd` are over the values of"
    " the runs. Empty masks: `{policies}`. A rank is the order of the means and says nothing of significance."
)

_TIERS = (
    "Rows of one tier cannot be told from its best: interval, adjusted test and test over folds do not all speak"
    " for a difference. `differences.csv` has every two rows."
)

_REFERENCES = {
    BACKGROUND: "`all background` predicts nothing at all: what it scores no model has earned.",
    CEILING: (
        "`truth, resized` is the reference itself, scaled to the network's input and back: what it lacks of a"
        " perfect score resizing has taken away."
    ),
}


def write_report(folder: ResultsFolder, *, pictures: bool = True) -> Results:
    """Makes every table, figure and page of a benchmark anew from its records.

    Raises:
        IntegrityError: a record or its counts are not what was written.
    """
    results = write_tables(folder)
    write_page(folder, results, pictures=pictures)
    return results


def write_page(folder: ResultsFolder, results: Results, *, pictures: bool = True) -> None:
    """Draws every figure, computes every statistic and puts them on one page; slower than tables by seconds."""
    found = list(boards(results))
    choices = [sensitivity_table(results, board) for board in found]
    statistics = {
        "standings": standing_table(found),
        "differences": difference_table(found),
        "ranks": rank_table(found),
        "sensitivity": choice_table(found, choices),
    }
    for name, table in statistics.items():
        folder.write(f"{name}.csv", to_csv(table.assign(data=results.data)))
    figures = write_figures(folder, results, found, pictures=pictures)
    folder.write("leaderboard.md", leaderboard_page(results, found))
    page = benchmark_page(folder, results, list(zip(found, choices, strict=True)), figures, reproductions(results))
    folder.write("index.html", page)
    folder.write(CARD, json.dumps(card(results, found), indent=1) + "\n")


def write_figures(
    folder: ResultsFolder, results: Results, found: Sequence[Board], *, pictures: bool = True
) -> list[Figure]:
    """Draws every figure anew, for page, print and eye; without `pictures` none that shows a patient is left."""
    figures = draw_figures(folder, results, found, pictures=pictures)
    written = set()
    for figure in figures:
        for suffix, content in (("svg", figure.standalone), ("pdf", figure.pdf), ("png", figure.png)):
            folder.write(f"figures/{figure.name}.{suffix}", content)
            written.add(f"{figure.name}.{suffix}")
    folder.discard_others("figures", "gallery*", kept=written)
    return figures


def write_tables(folder: ResultsFolder) -> Results:
    """Makes every table of a benchmark anew from its records.

    Raises:
        IntegrityError: a record or its counts are not what was written.
    """
    results = read_results(folder)
    folder.write("folds.csv", to_csv(fold_table(results)))
    folder.write("summary.csv", to_csv(summary_table(results)))
    folder.write("cost.csv", to_csv(cost_table(results)))
    folder.write("cost_summary.csv", to_csv(cost_summary(results)))
    folder.write("leaderboard.md", leaderboard_page(results))
    board = with_references(leaderboard(results), results)
    folder.write("leaderboard.csv", to_csv(board.assign(data=results.data)))
    folder.write("leaderboard.tex", to_latex(board, caption=_noted(results, results.manifest.title)))
    for name, title, table in [*pivot_tables(results), *(each[:3] for each in listing_tables(results))]:
        noted = _noted(results, title)
        folder.write(f"tables/{name}.md", f"**{plain_markdown(noted)}**\n\n{to_markdown(table)}")
        folder.write(f"tables/{name}.tex", to_latex(table, caption=noted))
        table.insert(len(table.columns), "data", results.data, allow_duplicates=True)
        folder.write(f"tables/{name}.csv", to_csv(table))
    if held := reproductions(results):
        folder.write("reproduction.md", reproduction_page(results, held))
        folder.write("reproduction.csv", to_csv(reproduction_table(results, held)))
    return results


def _noted(results: Results, title: str) -> str:
    return f"{title} ({PHANTOM_NOTE})" if results.manifest.phantom else title


def leaderboard_page(results: Results, found: Sequence[Board] = ()) -> str:
    """The leaderboard in Markdown, with what a reader must know to believe it."""
    lines = [f"# {plain_markdown(results.manifest.title)}", ""]
    if results.manifest.phantom:
        lines += [f"**{PHANTOM_NOTE}**", ""]
    lines += [line for board in found for line in (plain_markdown(str(board.verdict)), "")]
    table = with_references(leaderboard(results), results)
    lines += [to_markdown(table), *_standing(found), *_reading(results)]
    lines += [line for name, text in _REFERENCES.items() if name in set(table["model"]) for line in (text, "")]
    lines += _troubles(results)
    return "\n".join(lines).rstrip() + "\n"


def _standing(found: Sequence[Board]) -> list[str]:
    """Tiers and intervals, where they can be known."""
    if not found:
        return []
    lines = ["## Tiers", "", to_markdown(standing_table(found)), _TIERS, ""]
    return [
        *lines,
        *(f"{board.dataset}: {plain_markdown(board.family)}." for board in found if board.comparisons),
        "",
    ]


def _reading(results: Results) -> list[str]:
    policies = sorted({results.empty(variant) for variant in results.manifest.scores})
    lines = [_READING.format(policies="`, `".join(policies)), ""]
    asked = [metric for variant in results.manifest.scores for metric in results.metrics(variant)]
    if not all(map(is_overlap, asked)):
        lines += [_DISTANCES, ""]
    if (share := _share_of_empty(results)) > _MANY_EMPTY:
        lines += [f"In {share:.0%} of the cases the reference is empty, which lifts the mean: see `dice_pos`.", ""]
    return lines


def _share_of_empty(results: Results) -> float:
    """The largest share of cases without a reference that any region has."""
    summary = summary_table(results)
    if summary.empty:
        return 0.0
    regions = summary[(summary["region"] != "mean") & (summary["aggregate"] == "case")]
    return float((regions["n_ref_empty"] / regions["n"]).max())


def _troubles(results: Results) -> list[str]:
    ended_badly = [_ending(record) for _, record in sorted(results.records.items()) if record.status != "done"]
    lines = ["## Runs that did not end well", "", *ended_badly, ""] if ended_badly else []
    for dataset, variant in mixed_data(results):
        where = plain_markdown(f"{dataset}, {variant}")
        lines += [f"{where}: not all runs saw the same files in the same folds: no rank; run them again.", ""]
    for metric, runs in unmeasured(results).items():
        lines += [
            f"{metric} is not measured yet in {runs} runs; `benchbench run` does it without training again.",
            "",
        ]
    missing = sum(key not in results.records for key in results.planned)
    return [*lines, f"{missing} of {len(results.planned)} planned runs are still to do."] if missing else lines


def _ending(record: Record) -> str:
    first_line = "".join(record.reason.splitlines()[:1])
    return f"- {plain_markdown(f'{record.key}: {record.status}: {first_line}')}"
