"""Writes a benchmark's tables as files that people read, print and compute with."""

from __future__ import annotations

import pandas as pd

from benchbench.report.text import to_csv, to_latex, to_markdown
from benchbench.store import ResultsFolder
from benchbench.tables import (
    PHANTOM_NOTE,
    Results,
    cost_table,
    fold_table,
    leaderboard,
    pivot_tables,
    read_results,
    summary_table,
)

_MANY_EMPTY = 0.05


def write_report(folder: ResultsFolder) -> Results:
    """Makes every table of a benchmark anew from its records.

    Raises:
        IntegrityError: a record or its counts are not what was written.
    """
    results = read_results(folder)
    folder.write("folds.csv", to_csv(fold_table(results)))
    folder.write("summary.csv", to_csv(summary_table(results)))
    folder.write("cost.csv", to_csv(cost_table(results)))
    folder.write("leaderboard.md", leaderboard_page(results))
    for name, title, table in pivot_tables(results):
        noted = f"{title} ({PHANTOM_NOTE})" if results.manifest["phantom"] else title
        folder.write(f"tables/{name}.md", f"**{noted}**\n\n{to_markdown(table)}")
        folder.write(f"tables/{name}.csv", to_csv(table.assign(data=results.data)))
        folder.write(f"tables/{name}.tex", to_latex(table, caption=noted))
    return results


def leaderboard_page(results: Results) -> str:
    """The leaderboard in Markdown, with what a reader must know to believe it."""
    board = leaderboard(results)
    lines = [f"# {results.manifest['title']}", ""]
    if results.manifest["phantom"]:
        lines += [f"**{PHANTOM_NOTE}**", ""]
    lines += [to_markdown(board), *_reading(results, board), *_troubles(results)]
    return "\n".join(lines).rstrip() + "\n"


def _reading(results: Results, board: pd.DataFrame) -> list[str]:
    policies = sorted({results.empty(variant) for variant in results.manifest["scores"]})
    lines = [
        "Scores are means over all test cases of all folds, each case scored once per seed as a whole volume on its own"
        " grid by the checkpoint that the inner validation chose; `fold_mean` and `fold_sd` are over the values of the"
        f" runs. Empty masks: `{'`, `'.join(policies)}`. A rank is the order of the means and says nothing of significance.",
    ]
    share = (board["n_ref_empty"] / board["n"]).max() if "n" in board and len(board) else 0
    if pd.notna(share) and share > _MANY_EMPTY:
        lines.append(
            f"In {share:.0%} of the cases the reference is empty, which lifts the mean: compare `dice_pos`."
        )
    return ["\n\n".join(lines), ""]


def _troubles(results: Results) -> list[str]:
    ended_badly = [
        f"- {key}: {record.status}: {record.reason.splitlines()[0] if record.reason else ''}"
        for key in results.planned
        if (record := results.records.get(key)) is not None and record.status != "done"
    ]
    missing = sum(key not in results.records for key in results.planned)
    lines = ["## Runs that did not end well", "", *ended_badly, ""] if ended_badly else []
    return [*lines, f"{missing} of {len(results.planned)} planned runs are still to do."] if missing else lines
