"""The page of a benchmark: one offline HTML file with what was found, how surely, and why it can be believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchbench.comparison.board import Board
from benchbench.report.board_tables import difference_table
from benchbench.report.figures import Figure
from benchbench.report.page.cells import PageTable, table_of
from benchbench.report.page.meanings import MEANINGS
from benchbench.report.page.render import render
from benchbench.report.page.repeat import command_of, repeats
from benchbench.report.page.standings import fold_scores, standings
from benchbench.report.page.trust import endings, facts
from benchbench.report.reproduction_page import reproduction_table
from benchbench.results.folder import ResultsFolder
from benchbench.statistics import Friedman, friedman
from benchbench.tables.cost_tables import cost_summary, cost_table
from benchbench.tables.listings import listing_tables
from benchbench.tables.pivots import pivot_tables
from benchbench.tables.reproduction import Reproduction
from benchbench.tables.results import PHANTOM_NOTE, Results
from benchbench.tables.rows import datasets, rows_of

Judged = tuple[Board, pd.DataFrame]
"""A board and its `sensitivity_table`."""
_MOST_RANKS = 8
_MOST_PAIRS = 45  # of ten rows; the file has all


def benchmark_page(
    folder: ResultsFolder,
    results: Results,
    judged: Sequence[Judged],
    figures: Sequence[Figure],
    held: Sequence[Reproduction],
) -> str:
    """The page as HTML."""
    boards = [board for board, _ in judged]
    return render(
        "benchmark.html",
        title=results.manifest.title,
        phantom=PHANTOM_NOTE if results.manifest.phantom else "",
        boards=boards,
        datasets=[_dataset(results, judged, name) for name in datasets(results)],
        over_datasets=_over_datasets(boards),
        printed=list(_printed(results)),
        figures=figures,
        facts=facts(results),
        endings=endings(results),
        cost=_cost(results),
        reproductions=_reproductions(results, held),
        command=command_of(results.manifest),
        repeats=repeats(folder, results),
        meanings=MEANINGS,
        files=_files(held),
    )


def _dataset(results: Results, judged: Sequence[Judged], name: str) -> dict[str, Any]:
    metrics = dict.fromkeys(
        metric for row in rows_of(results, name) for metric in results.metrics(row.group.variant)
    )
    by_fold = [fold_scores(results, name, metric) for metric in metrics]
    return {
        "name": name,
        "standings": standings(results, [board for board, _ in judged], name),
        "folds": [table for table in by_fold if table],
        "boards": [_board(*each) for each in judged if each[0].dataset == name],
    }


def _board(board: Board, table: pd.DataFrame) -> dict[str, Any]:
    title = f"{board.dataset}, {board.metric}"
    shown: dict[str, Any] = {"title": title, "board": board, "pairs": None, "sensitivity": None}
    if len(board.rows) > 1:
        differences = difference_table([board])
        shown["pair_notes"] = [note for note in dict.fromkeys(differences["note"]) if note]
        differences = differences.drop(columns=["dataset", "metric", "empty", "folds", "patients", "note"])
        shown["pairs"] = table_of(differences.head(_MOST_PAIRS), caption=f"Every two rows on {title}")
        shown["pairs_left_out"] = max(0, len(differences) - _MOST_PAIRS)
        kept = table if len(board.rows) <= _MOST_RANKS else table.iloc[:, :4]
        shown["sensitivity"] = table_of(kept, caption=f"The order on {title} by other choices")
        shown["stable"] = int((table["first"] == table["first"].iloc[0]).sum()), len(table)
    return shown


def _over_datasets(boards: Sequence[Board]) -> dict[str, Any] | None:
    """Mean ranks over at least two boards of the same rows, and whether they differ, if that can be said."""
    labels = sorted(boards[0].rows) if boards else []
    alike = [board for board in boards if sorted(board.rows) == labels and board.metric == boards[0].metric]
    if len(labels) < 2 or len({board.dataset for board in alike}) < 2:
        return None
    scores = np.array([[board.means[label] for label in labels] for board in alike])
    ranks = pd.DataFrame(scores).rank(axis=1, ascending=boards[0].panel.is_lower_better)
    frame = pd.DataFrame({"row": labels, "mean rank": ranks.mean().to_numpy()})
    for board, values in zip(alike, scores, strict=True):
        frame[board.dataset] = values
    found = friedman(scores, is_lower_better=boards[0].panel.is_lower_better)
    said = f"p = {found.p:.4f}" if isinstance(found, Friedman) else f"not tested: {found.reason}"
    caption = f"{boards[0].metric} over {len(alike)} datasets"
    return {"table": table_of(frame.sort_values(["mean rank", "row"]), caption=caption), "friedman": said}


def _printed(results: Results) -> Iterator[tuple[str, PageTable]]:
    for name, title, frame in [*pivot_tables(results), *(each[:3] for each in listing_tables(results))]:
        yield name, table_of(frame, caption=title.removeprefix(f"{results.manifest.title}: "))


def _cost(results: Results) -> list[PageTable]:
    """By model, then run by run."""
    tables = ((cost_summary(results), "Cost of every model"), (cost_table(results), "Cost of every run"))
    return [table_of(frame.drop(columns=["data"]), caption=caption) for frame, caption in tables]


def _reproductions(results: Results, held: Sequence[Reproduction]) -> list[dict[str, Any]]:
    if not held:
        return []
    whole = reproduction_table(results, held)
    return [
        {
            "document": each.reported.document,
            "variant": each.reported.variant,
            "printed_as": each.reported.protocol,
            "note": each.reported.note,
            "deviations": each.deviations,
            "table": table_of(
                whole[whole["table"] == number].drop(columns=["table", "data"]),
                caption=f"Table {number}: measured and printed",
            ),
        }
        for number, each in enumerate(held, start=1)
    ]


def _files(held: Sequence[Reproduction]) -> list[str]:
    names = [
        "leaderboard.md",
        "leaderboard.csv",
        "leaderboard.tex",
        "standings.csv",
        "differences.csv",
        "ranks.csv",
        "sensitivity.csv",
    ]
    names += ["folds.csv", "summary.csv", "cost.csv", "cost_summary.csv"]
    return [*names, *(["reproduction.md", "reproduction.csv"] if held else []), "benchmark.json"]
