"""The leaderboard of a page: ranks, mean with its interval, further scores, and the scores of every fold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchbench.comparison.board import Board
from benchbench.plan.run import GROUP, Group
from benchbench.report.page.cells import Cell, Heading, PageTable, Span, cell_of, decimals_of, table_of
from benchbench.report.page.meanings import meaning
from benchbench.report.page.names import Direction, heading_of
from benchbench.spec.metric_names import is_overlap
from benchbench.statistics import Unknown
from benchbench.tables.cost_tables import cost_summary
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import leaderboard, names_with_units
from benchbench.tables.one_model import without_single_model
from benchbench.tables.references import BACKGROUND, UPPER_BOUND, control_names, with_references
from benchbench.tables.results import Results, RunLines
from benchbench.tables.rows import Row, planned_rows
from benchbench.tables.summaries import MEAN_REGION, columns_of, summary_lines

_TIME, _INTERVAL = "ms_per_case_p50", "interval"
_NOT_SHOWN = ["dataset", "rank"]
_ALWAYS = ("ranks", "model", "variant", "pretrained", "selection", "split", "parameters", _TIME, _INTERVAL)
_FURTHER_METRICS = 2  # next to the first one


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
    frame = _with_time(results, with_references(leaderboard(results), results))
    frame = frame[frame["dataset"] == dataset]
    boards = [board for board in boards if board.dataset == dataset]
    places = _places(frame, boards)
    is_reference = frame["model"].isin([BACKGROUND, UPPER_BOUND, *control_names(results)]).tolist()
    columns = _select_columns(without_single_model(results, frame), places)
    metrics = _metric_columns(results, frame)
    table = table_of(columns, caption=f"Leaderboard on {dataset}", muted=is_reference, keep=metrics)
    table = _with_best(table)
    cells = list(_interval_cells(places, _ranges(boards)))
    table = _insert_intervals(table, cells, after=_metric_column(table, boards))
    main = [*_ALWAYS, *_main_metrics(metrics)]
    if any(row.runs and not row.is_complete for row in planned_rows(results, dataset)):
        main.append("runs")
    return table.with_main(main).with_notes(_missing_intervals(places))


def _with_time(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the leaderboard with the time of a case."""
    times = cost_summary(results).set_index(GROUP)[_TIME]
    groups = frame[GROUP].itertuples(index=False, name=None)
    return frame.assign(**{_TIME: [times.get(group, np.nan) for group in groups]})


def _main_metrics(metrics: Sequence[str]) -> list[str]:
    """Return the first metric and two others: the first distance, then in the order of the file."""
    first, *others = metrics
    others = sorted(others, key=is_overlap)
    if others and not is_overlap(others[0]):
        rest = [name for name in metrics[1:] if name != others[0]]
        return [first, others[0], *rest[: _FURTHER_METRICS - 1]]
    return [first, *metrics[1 : 1 + _FURTHER_METRICS]]


def _with_best(table: PageTable) -> PageTable:
    """Return the table with the best value of each column in bold, among the rows that are not references."""
    ranked = [not muted for muted in table.muted] or [True] * len(table.rows)
    if sum(ranked) < 2:
        return table
    columns = []
    for heading, cells in zip(table.headings, zip(*table.rows, strict=True), strict=True):
        candidates = [cell.sort for cell, is_row in zip(cells, ranked, strict=True) if is_row and cell.sort]
        best = _best(candidates, heading.direction)
        marked = [
            cell._replace(is_best=is_row and cell.sort == best) for cell, is_row in zip(cells, ranked, strict=True)
        ]
        columns.append(marked)
    return replace(table, rows=list(zip(*columns, strict=True)))


def _best(candidates: Sequence[str], direction: Direction) -> str | None:
    """Return the best of several sort keys; None where no direction is better, or all are equal."""
    if not direction or len(set(candidates)) < 2:
        return None
    return max(candidates, key=float) if direction == "up" else min(candidates, key=float)


def _missing_intervals(places: Iterable[_Place | None]) -> list[str]:
    """Return the reason why rows have no interval, with their names."""
    rows: dict[str, list[str]] = {}
    for place in places:
        if place is None:
            continue
        interval = place.board.intervals[place.label]
        if isinstance(interval, Unknown):
            rows.setdefault(interval.reason, []).append(place.label)
    return [f"{'; '.join(labels)}: no interval, {reason}" for reason, labels in rows.items()]


def fold_scores(results: Results, dataset: str, metric: str) -> PageTable:
    """Return one line per row and one column per fold, the mean over its seeds; then mean and SD over folds.

    Every planned row and fold has its place, empty as long as it has no score.
    """
    folds = RunLines(fold_table(results))
    planned_folds = sorted({key.fold for key in results.planned if key.dataset == dataset})
    lines = []
    for row in planned_rows(results, dataset):
        scores = pd.Series(dtype=float)
        columns = columns_of(metric, results.cases_of(row.runs))
        of_row = folds.select(row.runs)
        if row.runs and len(columns) == 1:
            scores = of_row.groupby("fold")[columns[0]].mean()
        line = _row_cells(row)
        for fold in planned_folds:
            line[f"fold {fold}"] = scores.get(fold, np.nan)
        line |= {"mean": scores.mean(), "sd": scores.std(ddof=1), "runs": len(row.runs)}
        lines.append({**line, "cases": _count_cases(of_row)})
    frame = _without_empty_settings(pd.DataFrame(lines))
    return table_of(frame, caption=f"{heading_of(metric)} on {dataset}, fold by fold", keep=list(frame))


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
    caption = f"{heading_of(metric)} on {dataset} by region"
    return table_of(frame, caption=caption, keep=list(frame), own_names=list(regions))


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
    heading = Heading(name=_INTERVAL, text=heading_of("interval"), meaning=meaning("interval"), is_number=True)
    headings = list(table.headings)
    headings.insert(after + 1, heading)
    rows = [list(row) for row in table.rows]
    for row, cell in zip(rows, cells, strict=True):
        row.insert(after + 1, cell)
    return replace(table, headings=headings, rows=rows)


def _interval_cells(places: Sequence[_Place | None], ranges: Mapping[str, _Range]) -> Iterator[Cell]:
    for place in places:
        if place is None:
            yield Cell("", is_number=True)
        else:
            yield _interval_cell(place.board, place.label, ranges[place.board.metric])


def _interval_cell(board: Board, label: str, scale: _Range) -> Cell:
    interval = board.intervals[label]
    if isinstance(interval, Unknown):
        return Cell("", is_number=True)
    span = Span(
        low=scale.percent(interval.low),
        middle=scale.percent(board.means[label]),
        high=scale.percent(interval.high),
    )
    decimals = decimals_of(board.metric, pd.Series([interval.low, interval.high]))
    low = cell_of("low", interval.low, decimals=decimals)
    high = cell_of("high", interval.high, decimals=decimals)
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
