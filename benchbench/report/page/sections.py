"""The contents of the sections of a page, as its template reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchbench.comparison.board import Board
from benchbench.comparison.component_table import component_table
from benchbench.images.arrays import Floats
from benchbench.records.folder import ResultsFolder
from benchbench.report.board_tables import difference_table
from benchbench.report.page.cells import PageTable, planned_table, table_of, without_constants
from benchbench.report.page.names import heading_of
from benchbench.report.page.overview import Overview, overview
from benchbench.report.page.standings import fold_scores, region_scores, standings
from benchbench.report.reproduction_page import count_verdicts, new_sentences, reason_lines, title_of
from benchbench.spec.reported import PrintedTable
from benchbench.statistics import (
    EQUAL_DIGITS,
    Friedman,
    Interval,
    friedman,
    join_warnings,
    leave_one_out,
    median_interval,
)
from benchbench.tables.cost_tables import cost_summary, cost_table
from benchbench.tables.listings import listing_tables
from benchbench.tables.one_model import without_single_model
from benchbench.tables.pivots import pivot_tables
from benchbench.tables.reproduction import Reproduction
from benchbench.tables.results import Results
from benchbench.tables.rows import planned_rows
from benchbench.tables.side_by_side import SideBySide, side_by_side
from benchbench.tables.splits import sizes_by_fold, split_rows, split_sizes
from benchbench.words import count, natural_order

RankedChoices = tuple[Board, pd.DataFrame]
"""A board and its `sensitivity_table`."""

_MOST_RANKS = 8  # rows whose ranks fit into the table of choices
_MOST_PAIRS = 45  # those of ten rows; the file has all
_CHOICE_COLUMNS = ["choice", "first", "tau", "moved", "note"]
_ROW_NAMES = ("dataset", "model", "variant", "fold", "seed", "runs", "parameters", "train_seconds")
_MAIN_OF_COSTS = ("gmacs", "gpu_hours", "ms_per_case_p50", "images_per_second", "peak_memory_bytes")
_MAIN_OF_RUN_COSTS = ("epochs", "ms_per_case_p50", "peak_memory_bytes", "device")
_MAIN_OF_PAIRS = (
    *("first", "second", "difference", "low", "high", "verdict", "wins", "ties", "losses", "p_holm"),
    "smallest_detectable",
)
_NOT_SHOWN = ["dataset", "metric", "empty", "folds", "patients", "holm_pairs", "note"]


@dataclass(frozen=True, kw_only=True)
class BoardSection:
    """The comparisons of a board with at least two rows."""

    board: Board
    pairs: PageTable
    pair_notes: Sequence[str]
    n_pairs_left_out: int
    """Pairs that are in `differences.csv` only."""
    components: PageTable
    """The noise of the differences to the first row, by source."""
    sensitivity: PageTable
    medians: PageTable
    """The median over patients of each row, with its interval."""
    n_choices: int
    """Other choices that could change the order."""
    n_same_first: int
    """Those of them under which the first row stays the first."""


@dataclass(frozen=True, kw_only=True)
class DatasetSection:
    """The tables of a dataset."""

    name: str
    standings: PageTable
    folds: Sequence[PageTable]
    """A table for each metric."""
    regions: Sequence[PageTable]
    """A table for each metric, where the dataset has several regions or classes."""
    boards: Sequence[BoardSection]
    overviews: Sequence[Overview]
    """The chart of each board."""


@dataclass(frozen=True, kw_only=True)
class OverDatasets:
    """Mean ranks over several datasets."""

    table: PageTable
    friedman: str
    """Result of the Friedman test, or the reason why there is none."""
    without_one: PageTable
    """How much the order depends on each dataset."""
    prediction: str
    """The row that is expected to be first on another dataset, with the assumption."""


@dataclass(frozen=True, kw_only=True)
class NamedTable:
    """A table that the benchmark file asks for."""

    name: str
    """Name of its files, without the suffix."""
    table: PageTable
    is_repeated: bool = False
    """True where the table of folds has the same numbers."""


@dataclass(frozen=True, kw_only=True)
class ReproductionSection:
    """A printed table next to the measured one."""

    title: str
    about: str
    """Sentences on the document; '' where the table before has the same ones."""
    printed: PrintedTable
    table: SideBySide
    count: str
    """The number of cells of each verdict."""
    reasons: Sequence[str]
    """A line for each reason why numbers are not compared."""


def dataset_section(results: Results, ranked_choices: Sequence[RankedChoices], name: str) -> DatasetSection:
    """Return the leaderboard, the scores of folds and the comparisons on a dataset."""
    metrics = _metrics(results, name)
    regions = [region_scores(results, name, metric) for metric in metrics]
    of_dataset = [(board, choices) for board, choices in ranked_choices if board.dataset == name]
    sections = [_board_section(board, choices) for board, choices in of_dataset if len(board.rows) > 1]
    return DatasetSection(
        name=name,
        standings=standings(results, [board for board, _ in ranked_choices], name),
        folds=[fold_scores(results, name, metric) for metric in metrics],
        regions=[table for table in regions if table is not None],
        boards=sections,
        overviews=_overviews(results, ranked_choices, name),
    )


def _metrics(results: Results, name: str) -> list[str]:
    """Return the metrics of all rows of a dataset."""
    metrics: dict[str, None] = {}
    for row in planned_rows(results, name):
        metrics.update(dict.fromkeys(results.metrics(row.group.variant)))
    return list(metrics)


def _overviews(results: Results, ranked_choices: Sequence[RankedChoices], name: str) -> list[Overview]:
    """Return the chart of each board of a dataset; charts are numbered over the whole page."""
    charts = []
    for number, (board, _) in enumerate(ranked_choices, start=1):
        if board.dataset == name:
            charts.append(overview(results, board, number=number))
    return charts


def _board_section(board: Board, choices: pd.DataFrame) -> BoardSection:
    title = f"{board.dataset}, {heading_of(board.metric)}"
    pairs = difference_table([board])
    notes = join_warnings(pairs["note"])
    first_pairs = pairs.drop(columns=_NOT_SHOWN).head(_MOST_PAIRS)
    noise = component_table(board).drop(columns=["dataset", "metric"]).head(_MOST_PAIRS)
    is_counted = choices["note"] == ""
    is_same_first = is_counted & (choices["first"] == choices["first"].iloc[0])
    if len(board.rows) > _MOST_RANKS:
        choices = choices[_CHOICE_COLUMNS]
    return BoardSection(
        board=board,
        pairs=table_of(first_pairs, caption=f"Every pair of rows on {title}").with_main(_MAIN_OF_PAIRS),
        pair_notes=[notes] if notes else [],
        n_pairs_left_out=len(pairs) - len(first_pairs),
        components=table_of(noise, caption=f"Noise of the differences to the first row on {title}"),
        sensitivity=table_of(
            choices, caption=f"The order on {title} under other choices", own_names=list(board.rows)
        ),
        medians=table_of(median_table(board), caption=f"Medians over patients on {title}"),
        n_choices=int(is_counted.sum()),
        n_same_first=int(is_same_first.sum()),
    )


def over_datasets(boards: Sequence[Board]) -> OverDatasets | None:
    """Return the mean ranks on boards of the same rows and metric; None unless there are two datasets and rows."""
    comparable = _comparable_boards(boards)
    n_datasets = len({board.dataset for board in comparable})
    if n_datasets < 2 or len(comparable[0].rows) < 2:
        return None
    labels = sorted(comparable[0].rows, key=natural_order)
    lower_is_better = comparable[0].panel.is_lower_better
    scores = np.array([[board.means[label] for label in labels] for board in comparable])
    ranks = pd.DataFrame(scores.round(EQUAL_DIGITS)).rank(axis=1, ascending=lower_is_better)
    frame = pd.DataFrame({"row": labels, "mean rank": ranks.mean().to_numpy()})
    for board, means in zip(comparable, scores, strict=True):
        frame[board.dataset] = means
    caption = f"{heading_of(comparable[0].metric)} over {count(len(comparable), 'dataset')}"
    datasets = [board.dataset for board in comparable]
    table = table_of(frame.sort_values("mean rank", kind="stable"), caption=caption, own_names=datasets)
    return OverDatasets(
        table=table,
        friedman=_describe_friedman(scores, is_lower_better=lower_is_better),
        without_one=_without_one_dataset(comparable, scores),
        prediction=_predict_first(labels, ranks),
    )


def _without_one_dataset(boards: Sequence[Board], scores: Floats) -> PageTable:
    """Return Kendall's tau between the order over all datasets and that over all except one."""
    taus = leave_one_out(scores, is_lower_better=boards[0].panel.is_lower_better)
    frame = pd.DataFrame({"without": [board.dataset for board in boards], "tau": taus})
    return table_of(frame, caption="The order of mean ranks without one dataset")


def _predict_first(labels: Sequence[str], ranks: pd.DataFrame) -> str:
    """Return the chance that the row first on most datasets is first on another: rule of succession."""
    is_first = ranks.eq(ranks.min(axis=1), axis=0).sum()
    best = int(is_first.to_numpy().argmax())
    wins, n = int(is_first.iloc[best]), len(ranks)
    chance = (wins + 1) / (n + 2)
    return (
        f"{labels[best]} is first on {wins} of {n} datasets. If the next dataset is drawn like these, it is"
        f" first there with a probability of about {chance:.0%} (rule of succession)."
    )


def median_table(board: Board) -> pd.DataFrame:
    """Return the median over patients of each row, with an interval that assumes no distribution."""
    lines = []
    for label, values in zip(board.panel.models, board.panel.patient_means, strict=True):
        interval = median_interval(values)
        line: dict[str, object] = {"row": label, "median": float(np.median(values))}
        if isinstance(interval, Interval):
            line |= {"low": interval.low, "high": interval.high}
        lines.append(line)
    return pd.DataFrame(lines)


def _comparable_boards(boards: Sequence[Board]) -> list[Board]:
    """Return the boards that have the rows and the metric of the first."""
    comparable = []
    for board in boards:
        has_rows = sorted(board.rows) == sorted(boards[0].rows)
        if has_rows and board.metric == boards[0].metric:
            comparable.append(board)
    return comparable


def _describe_friedman(scores: Floats, *, is_lower_better: bool) -> str:
    test = friedman(scores, is_lower_better=is_lower_better)
    if isinstance(test, Friedman):
        return f"p = {test.p:.4f}"
    return f"not tested ({test.reason})"


def requested_tables(results: Results) -> list[NamedTable]:
    """Return the pivots and listings that the benchmark file asks for."""
    prefix = f"{results.manifest.title}: "
    tables = []
    for pivot in pivot_tables(results):
        caption = pivot.title.removeprefix(prefix)
        table = planned_table(pivot.table, pivot.style, caption=caption)
        is_repeated = {pivot.spec.rows, pivot.spec.columns} == {"fold", "model"} and pivot.spec.aggregate == "case"
        tables.append(NamedTable(name=pivot.name, table=table, is_repeated=is_repeated))
    for listing in listing_tables(results):
        caption = listing.title.removeprefix(prefix)
        tables.append(
            NamedTable(name=listing.name, table=planned_table(listing.frame, listing.style, caption=caption))
        )
    return tables


def split_size_tables(folder: ResultsFolder, results: Results) -> list[PageTable]:
    """Return the sizes of the parts of every fold, a table for each dataset whose splits are recorded."""
    sizes = sizes_by_fold(split_sizes(split_rows(folder, results.records)))
    tables = []
    for dataset, lines in sizes.groupby("dataset", sort=False):
        caption = f"{dataset}: training / inner validation / test"
        tables.append(table_of(lines.drop(columns="dataset"), caption=caption))
    return tables


def cost_tables(results: Results) -> tuple[PageTable, PageTable]:
    """Return the cost of every model and that of every run."""
    models = _named_rows(results, cost_summary(results))
    runs = _named_rows(results, cost_table(results))
    return (
        table_of(models, caption="Cost of every row").with_main([*_ROW_NAMES, *_MAIN_OF_COSTS]),
        table_of(runs, caption="Cost of every run").with_main([*_ROW_NAMES, *_MAIN_OF_RUN_COSTS]),
    )


def _named_rows(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of costs without the columns that are the same for all rows; the row's name is first."""
    named = without_single_model(results, table.drop(columns="data"))
    named = without_constants(named, ["dataset", "variant"] if "model" in named else ["dataset"])
    first = "model" if "model" in named else "variant"
    return named[[first, *(name for name in named if name != first)]]


def reproduction_sections(reproductions: Sequence[Reproduction]) -> list[ReproductionSection]:
    """Return every printed table with the measured numbers."""
    sections = []
    pairs = zip(reproductions, new_sentences(reproductions), strict=True)
    for number, (reproduction, about) in enumerate(pairs, start=1):
        table = side_by_side(reproduction)
        section = ReproductionSection(
            title=f"Table {number}: {title_of(reproduction.printed)}",
            about=about,
            printed=reproduction.printed,
            table=table,
            count=count_verdicts(reproduction),
            reasons=list(reason_lines(table)),
        )
        sections.append(section)
    return sections
