"""The leaderboard of a page: ranks, mean with its interval, further scores, and the scores of every fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchbench.comparison.board import Board
from benchbench.plan.run import GROUP, Group
from benchbench.report.page.cells import Cell, Heading, PageTable, Span, cell_of, table_of
from benchbench.report.page.meanings import meaning
from benchbench.statistics import Unknown
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import leaderboard, names_with_units
from benchbench.tables.one_model import without_single_model
from benchbench.tables.references import BACKGROUND, UPPER_BOUND, control_names, with_references
from benchbench.tables.results import Results, lines_of_runs
from benchbench.tables.rows import Row, planned_rows
from benchbench.tables.summaries import MEAN_REGION, columns_of, summary_lines

_NOT_SHOWN = ["dataset", "rank"]


class _Place(NamedTuple):
    """A board and the label of a row on it."""

    board: Board
    label: str


class _Range(NamedTuple):
    """The lowest and the highest end of all intervals of a metric."""

    low: float
    high: float

    def percent(self, value: float) -> float:
        """Return the position of a value in the range, from 0 to 100."""
        width = (self.high - self.low) or 1.0
        return 100 * (value - self.low) / width


def standings(results: Results, boards: Sequence[Board], dataset: str) -> PageTable:
    """Return every row of a dataset from the best, then the reference rows; boards give ranks and intervals."""
    frame = with_references(leaderboard(results), results)
    frame = frame[frame["dataset"] == dataset]
    boards = [board for board in boards if board.dataset == dataset]
    places = _places(frame, boards)
    is_reference = frame["model"].isin([BACKGROUND, UPPER_BOUND, *control_names(results)]).tolist()
    columns = _select_columns(without_single_model(results, frame), places)
    metrics = _metric_columns(results, frame)
    table = table_of(columns, caption=f"Leaderboard on {dataset}", muted=is_reference, keep=metrics)
    cells = list(_interval_cells(places, _ranges(boards)))
    return _insert_intervals(table, cells, after=_metric_column(table, boards))


def fold_scores(results: Results, dataset: str, metric: str) -> PageTable:
    """Return one line per row and one column per fold, the mean over its seeds; then mean and SD over folds.

    Every planned row and fold has its place, empty as long as it has no score.
    """
    folds = fold_table(results)
    planned_folds = sorted({key.fold for key in results.planned if key.dataset == dataset})
    lines = []
    for row in planned_rows(results, dataset):
        scores = pd.Series(dtype=float)
        columns = columns_of(metric, results.cases_of(row.runs))
        if row.runs and len(columns) == 1:
            scores = lines_of_runs(folds, row.runs).groupby("fold")[columns[0]].mean()
        line = _row_cells(row)
        for fold in planned_folds:
            line[f"fold {fold}"] = scores.get(fold, np.nan)
        line |= {"mean": scores.mean(), "sd": scores.std(ddof=1), "runs": len(row.runs)}
        lines.append({**line, "cases": _count_cases(lines_of_runs(folds, row.runs))})
    frame = _without_empty_settings(pd.DataFrame(lines))
    return table_of(frame, caption=f"{metric} on {dataset}, fold by fold", keep=list(frame))


def region_scores(results: Results, dataset: str, metric: str) -> PageTable | None:
    """Return one line per row and one column per region, the mean over cases, then the mean over regions.

    None for a dataset of one region, or as long as no run is done.
    """
    lines = []
    regions: dict[str, None] = {}
    for row in planned_rows(results, dataset):
        line = _row_cells(row)
        columns = columns_of(metric, results.cases_of(row.runs))
        for summary in summary_lines(results)[row.group]:
            if summary.aggregate == "case" and [summary.metric] == columns:
                line[summary.region] = summary.mean
                regions[summary.region] = None
        lines.append(line)
    regions.pop(MEAN_REGION, None)
    if len(regions) < 2:
        return None
    frame = pd.DataFrame(lines, columns=["row", "own_settings", *regions, MEAN_REGION])
    frame = _without_empty_settings(frame)
    return table_of(frame, caption=f"{metric} on {dataset} by region", keep=list(frame))


def _row_cells(row: Row) -> dict[str, object]:
    """Return the cells that name a row: its label, and the settings that it has of its own."""
    return {"row": row.label, "own_settings": row.own_settings}


def _without_empty_settings(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame without the column of own settings where no row has some."""
    if (frame["own_settings"] == "").all():
        return frame.drop(columns="own_settings")
    return frame


def _count_cases(folds: pd.DataFrame) -> int:
    """Return the number of cases of these runs; those of a fold count once."""
    return int(folds.drop_duplicates("fold")["n_cases"].sum()) if len(folds) else 0


def _places(frame: pd.DataFrame, boards: Sequence[Board]) -> list[_Place | None]:
    """Return the place of each row of the frame; None for a row that is on no board."""
    places: dict[Group, _Place] = {}
    for board in boards:
        for label, row in board.rows.items():
            places[row.group] = _Place(board, label)
    groups = [Group(*names) for names in frame[GROUP].itertuples(index=False, name=None)]
    return [places.get(group) for group in groups]


def _select_columns(frame: pd.DataFrame, places: Sequence[_Place | None]) -> pd.DataFrame:
    """Return the columns of the page: with the ranks, and with the runs at the end."""
    ranks = [_ranks(place) for place in places]
    columns = frame.drop(columns=_NOT_SHOWN)
    columns.insert(1, "ranks", ranks)
    if (columns["variant"] == "default").all():
        columns = columns.drop(columns="variant")
    runs = columns.pop("runs")
    return columns.assign(runs=runs)


def _metric_columns(results: Results, frame: pd.DataFrame) -> list[str]:
    """Return the columns of the metrics of all variants, with their units."""
    names: list[str] = []
    for variant in results.manifest.scores:
        for metric in results.metrics(variant):
            names += names_with_units(metric, frame.columns)
    return names


def _ranks(place: _Place | None) -> str:
    if place is None:
        return ""
    return str(place.board.ranks[place.label])


def _metric_column(table: PageTable, boards: Sequence[Board]) -> int:
    """Return the number of the first column that a board is ordered by; of the row's name if there is none."""
    metrics = {board.metric for board in boards}
    names = [heading.name for heading in table.headings]
    for number, name in enumerate(names):
        if name in metrics:
            return number
    return names.index("model" if "model" in names else "variant")


def _insert_intervals(table: PageTable, cells: Sequence[Cell], *, after: int) -> PageTable:
    if not any(cell.text for cell in cells):
        return table
    heading = Heading(name="95 % interval", meaning=meaning("interval"), is_number=True)
    headings = list(table.headings)
    headings.insert(after + 1, heading)
    rows = [list(row) for row in table.rows]
    for row, cell in zip(rows, cells, strict=True):
        row.insert(after + 1, cell)
    return PageTable(caption=table.caption, headings=headings, rows=rows, muted=table.muted)


def _interval_cells(places: Sequence[_Place | None], ranges: Mapping[str, _Range]) -> Iterator[Cell]:
    for place in places:
        if place is None:
            yield Cell("", is_number=True)
        else:
            yield _interval_cell(place.board, place.label, ranges[place.board.metric])


def _interval_cell(board: Board, label: str, scale: _Range) -> Cell:
    interval = board.intervals[label]
    if isinstance(interval, Unknown):
        return Cell(f"none: {interval.reason}", is_number=True)
    span = Span(
        low=scale.percent(interval.low),
        middle=scale.percent(board.means[label]),
        high=scale.percent(interval.high),
    )
    low = cell_of("low", interval.low)
    high = cell_of("high", interval.high)
    return Cell(f"{low.text} to {high.text}", low.sort, is_number=True, span=span)


def _ranges(boards: Sequence[Board]) -> dict[str, _Range]:
    """Return the range of all intervals and means, by metric."""
    values: dict[str, list[float]] = {}
    for board in boards:
        of_metric = values.setdefault(board.metric, [])
        of_metric += board.means.values()
        for interval in board.intervals.values():
            if not isinstance(interval, Unknown):
                of_metric += [interval.low, interval.high]
    return {metric: _Range(min(ends), max(ends)) for metric, ends in values.items()}
