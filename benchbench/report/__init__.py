"""A benchmark's report: tables, figures and a page, written as files to read, to print and to compute with."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from benchbench.comparison.board import Board, boards
from benchbench.comparison.sensitivity import sensitivity_table
from benchbench.comparison.subgroups import subgroup_table
from benchbench.records.digest_list import check_published_runs, refresh_digest_list
from benchbench.records.folder import ResultsFolder
from benchbench.records.split import SPLIT_NAME
from benchbench.report.board_tables import choice_table, difference_table, joined, rank_table, standing_table
from benchbench.report.figures import Figure, draw_figures
from benchbench.report.leaderboard_page import leaderboard_page
from benchbench.report.page import benchmark_page
from benchbench.report.page.index import CARD, card
from benchbench.report.reproduction_page import reproduction_page, reproduction_table
from benchbench.report.text import plain_markdown, to_csv, to_latex, to_markdown
from benchbench.tables.cost_tables import cost_summary, cost_table
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.listings import listing_tables
from benchbench.tables.one_model import without_single_model
from benchbench.tables.pivots import pivot_tables
from benchbench.tables.readers import reader_table
from benchbench.tables.references import with_references
from benchbench.tables.reproduction import reproductions
from benchbench.tables.results import Results, read_results, verify_runs
from benchbench.tables.splits import split_rows, split_sizes, split_table
from benchbench.tables.style import Style
from benchbench.tables.summaries import summary_table
from benchbench.tables.tuning import trial_table


def write_report(folder: ResultsFolder, *, pictures: bool = True) -> Results:
    """Write every table, figure and page of a benchmark from its records, and return what was read.

    Raises:
        IntegrityError: a record or a file that it lists is missing, damaged or edited.
        StorageError: a file cannot be written.
    """
    check_published_runs(folder)
    verify_runs(folder)
    results = write_tables(folder)
    write_page(folder, results, pictures=pictures)
    refresh_digest_list(folder)
    return results


def write_tables(folder: ResultsFolder) -> Results:
    """Write every table of a benchmark from its records, and return what was read.

    Raises:
        IntegrityError: a record or its counts are missing, damaged or edited.
    """
    results = read_results(folder)
    with folder.writing():
        _write_tables(folder, results)
    return results


def _write_tables(folder: ResultsFolder, results: Results) -> None:
    folder.write("folds.csv", to_csv(fold_table(results)))
    folder.write(SPLIT_NAME, to_csv(split_table(folder, results)))
    sizes = split_sizes(split_rows(folder, results.records))
    folder.write("split_sizes.csv", to_csv(sizes.assign(data=results.data)))
    folder.write("summary.csv", to_csv(summary_table(results)))
    folder.write("cost.csv", to_csv(cost_table(results)))
    folder.write("cost_summary.csv", to_csv(cost_summary(results)))
    folder.write("leaderboard.md", leaderboard_page(results))
    trials = trial_table(results)
    if len(trials):
        folder.write("tuning.csv", to_csv(trials.assign(data=results.data)))
    board = with_references(leaderboard(results), results)
    folder.write("leaderboard.csv", to_csv(board.assign(data=results.data)))
    folder.write(
        "leaderboard.tex",
        to_latex(without_single_model(results, board), caption=_with_note(results, results.manifest.title)),
    )
    _write_requested_tables(folder, results)
    of_readers = reader_table(results)
    if len(of_readers):
        folder.write("readers.csv", to_csv(of_readers.assign(data=results.data)))
    compared = reproductions(results)
    if compared:
        folder.write("reproduction.md", reproduction_page(results, compared))
        folder.write("reproduction.csv", to_csv(reproduction_table(results, compared)))


def write_page(folder: ResultsFolder, results: Results, *, pictures: bool = True) -> None:
    """Write the statistics, figures and pages of a benchmark; this takes seconds longer than its tables."""
    with folder.writing():
        _write_page(folder, results, pictures=pictures)


def _write_page(folder: ResultsFolder, results: Results, *, pictures: bool) -> None:
    ranked = list(boards(results))
    choices = [sensitivity_table(results, board) for board in ranked]
    subgroups = [subgroup_table(results, board) for board in ranked]
    statistics = {
        "standings": standing_table(ranked),
        "differences": difference_table(ranked),
        "ranks": rank_table(ranked),
        "sensitivity": choice_table(ranked, choices),
        "subgroups": joined(subgroups),
    }
    for name, table in statistics.items():
        folder.write(f"{name}.csv", to_csv(table.assign(data=results.data)))
    figures = write_figures(folder, results, ranked, pictures=pictures)
    folder.write("leaderboard.md", leaderboard_page(results, ranked))
    ranked_choices = list(zip(ranked, choices, strict=True))
    page = benchmark_page(folder, results, ranked_choices, figures, reproductions(results), subgroups=subgroups)
    folder.write("index.html", page)
    content = card(results, ranked).model_dump(mode="json")
    folder.write(CARD, json.dumps(content, indent=1) + "\n")


def write_figures(
    folder: ResultsFolder, results: Results, ranked: Sequence[Board], *, pictures: bool = True
) -> list[Figure]:
    """Write every figure as SVG, PDF and PNG; without `pictures`, delete figures that show images of patients."""
    figures = draw_figures(folder, results, ranked, pictures=pictures)
    written = set()
    for figure in figures:
        for suffix, content in (("svg", figure.standalone), ("pdf", figure.pdf), ("png", figure.png)):
            name = f"{figure.name}.{suffix}"
            folder.write(f"figures/{name}", content)
            written.add(name)
    folder.discard_others("figures", "gallery*", keep=written)
    return figures


def _write_requested_tables(folder: ResultsFolder, results: Results) -> None:
    """Write the pivots and listings that the benchmark file asks for."""
    for pivot in pivot_tables(results):
        _write_table(folder, results, pivot.name, pivot.title, pivot.table, pivot.style)
    for listing in listing_tables(results):
        _write_table(folder, results, listing.name, listing.title, listing.frame, listing.style)


def _write_table(
    folder: ResultsFolder, results: Results, name: str, title: str, table: pd.DataFrame, style: Style
) -> None:
    caption = _with_note(results, title)
    folder.write(f"tables/{name}.md", f"**{plain_markdown(caption)}**\n\n{to_markdown(table, style)}")
    folder.write(f"tables/{name}.tex", to_latex(table, style, caption=caption))
    table.insert(len(table.columns), "data", results.data, allow_duplicates=True)
    folder.write(f"tables/{name}.csv", to_csv(table))


def _with_note(results: Results, title: str) -> str:
    if results.note:
        return f"{title} ({results.note})"
    return title
