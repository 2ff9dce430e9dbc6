"""The leaderboard of a page: tier, mean with its interval, further scores, and the scores of every fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from benchbench.comparison.board import Board
from benchbench.plan.run import GROUP
from benchbench.report.page.cells import Cell, Heading, PageTable, cell_of, table_of
from benchbench.report.page.meanings import meaning
from benchbench.statistics import Unknown
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.references import BACKGROUND, CEILING, with_references
from benchbench.tables.results import Results, lines_of_runs
from benchbench.tables.rows import rows_of
from benchbench.tables.summaries import columns_of

_LEFT_OUT = ("dataset", "rank")


def standings(results: Results, boards: Sequence[Board], dataset: str) -> PageTable:
    """Every row of a dataset, from the best, then the references; tiers and intervals where a board has them."""
    frame = with_references(leaderboard(results), results)
    frame = frame[frame["dataset"] == dataset]
    places = {row.group: (board, label) for board in boards for label, row in board.rows.items()}
    found = [places.get(group) for group in frame[GROUP].itertuples(index=False, name=None)]
    tiers = [board.tiers[label] if board else "" for board, label in (each or (None, "") for each in found)]
    shown = frame.drop(columns=list(_LEFT_OUT))
    shown = shown.drop(columns=["variant"]) if (shown["variant"] == "default").all() else shown
    shown.insert(1, "tier", tiers)
    shown = shown[[*(name for name in shown if name != "runs"), "runs"]]
    is_reference = frame["model"].isin([BACKGROUND, CEILING]).tolist()
    table = table_of(shown, caption=f"Leaderboard on {dataset}", muted=is_reference)
    span = _range([board for board in boards if board.dataset == dataset])
    cells = [_interval(*each, span) if each else Cell("", is_number=True) for each in found]
    return _with_interval(table, cells, after=_first_metric(table, boards, dataset))


def fold_scores(results: Results, dataset: str, metric: str) -> PageTable | None:
    """One line a row, one column a fold: the mean over its seeds; then mean and SD over folds."""
    folds = fold_table(results)
    lines = []
    for row in rows_of(results, dataset):
        names = columns_of(metric, lines_of_runs(results.cases, row.runs))
        if len(names) != 1:
            continue
        mine = lines_of_runs(folds, row.runs)
        values = mine.groupby("fold")[names[0]].mean()
        named: dict[str, object] = {"row": row.label}
        named |= {f"fold {fold}": value for fold, value in values.items()}
        mean, sd = values.mean(), values.std(ddof=1)
        lines.append(
            {
                **named,
                "mean": mean,
                "sd": sd,
                "runs": len(row.runs),
                "cases": int(mine.drop_duplicates("fold")["n_cases"].sum()),
            }
        )
    if not lines:
        return None
    frame = pd.DataFrame(lines)
    last = ["mean", "sd", "runs", "cases"]
    frame = frame[[*(name for name in frame if name not in last), *last]]
    return table_of(frame, caption=f"{metric} on {dataset}, fold by fold")


def _first_metric(table: PageTable, boards: Sequence[Board], dataset: str) -> int:
    """Behind which column the interval stands."""
    metrics = {board.metric for board in boards if board.dataset == dataset}
    names = [heading.name for heading in table.headings]
    return next((at for at, name in enumerate(names) if name in metrics), names.index("model"))


def _with_interval(table: PageTable, cells: Sequence[Cell], *, after: int) -> PageTable:
    if not any(cell.text for cell in cells):
        return table
    heading = Heading(name="95 % interval", meaning=meaning("interval"), is_number=True)
    headings = [*table.headings[: after + 1], heading, *table.headings[after + 1 :]]
    rows = [[*row[: after + 1], cell, *row[after + 1 :]] for row, cell in zip(table.rows, cells, strict=True)]
    return PageTable(caption=table.caption, headings=headings, rows=rows, muted=table.muted)


def _range(boards: Sequence[Board]) -> Mapping[str, tuple[float, float]]:
    """By metric, from the lowest to the highest end of any interval or mean."""
    ends: dict[str, list[float]] = {}
    for board in boards:
        known = [each for each in board.intervals.values() if not isinstance(each, Unknown)]
        values = [*board.means.values(), *(end for each in known for end in each[:2])]
        ends.setdefault(board.metric, []).extend(values)
    return {metric: (min(values), max(values)) for metric, values in ends.items()}


def _interval(board: Board, label: str, ranges: Mapping[str, tuple[float, float]]) -> Cell:
    found, mean = board.intervals[label], board.means[label]
    if isinstance(found, Unknown):
        return Cell(f"none: {found.reason}", is_number=True)
    low, high = ranges[board.metric]
    width = (high - low) or 1.0
    span = tuple(100 * (value - low) / width for value in (found.low, mean, found.high))
    text = f"{cell_of('low', found.low).text} to {cell_of('high', found.high).text}"
    return Cell(text, f"{found.low:.6g}", is_number=True, span=(span[0], span[1], span[2]))
