"""Scores against each reader and the agreement of the readers, as tables of the page."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchbench.report.page.cells import PageTable, table_of
from benchbench.report.page.names import heading_of
from benchbench.tables.readers import reader_table
from benchbench.tables.results import Results
from benchbench.tables.summaries import MEAN_REGION
from benchbench.words import count

_SYMMETRIC = {"dice", "iou"}  # the same for either order of two readers


def reader_tables(results: Results) -> list[list[PageTable]]:
    """Return for each dataset with several readers a table for each region, the mean over regions first.

    Its rows are those of the benchmark and then the readers, its columns the readers; values are means over cases
    of the first overlap.
    """
    lines = reader_table(results)
    if lines.empty:
        return []
    return [list(_tables(part)) for _, part in lines.groupby("dataset", sort=False)]


def _tables(lines: pd.DataFrame) -> Iterator[PageTable]:
    """Yield the tables of a dataset."""
    metric = lines["metric"].iloc[0]
    lines = lines[lines["metric"] == metric]
    is_mean = lines["region"] == MEAN_REGION
    has_one_region = len(set(lines.loc[~is_mean, "region"])) == 1
    if has_one_region:
        lines = lines[~is_mean]
    for region, part in lines.groupby("region", sort=False):
        place = "" if has_one_region else f", {region}"
        if region == MEAN_REGION:
            place = ", mean over regions"
        caption = f"{heading_of(metric)} on {lines['dataset'].iloc[0]}{place}"
        yield _matrix(part, metric, caption)


def _matrix(lines: pd.DataFrame, metric: str, caption: str) -> PageTable:
    """Return a table with a column for each reader."""
    readers = list(dict.fromkeys(lines["reader"]))
    scores: dict[str, dict[str, float]] = {}
    for line in lines.itertuples(index=False):
        scores.setdefault(line.rater, {})[line.reader] = line.mean
        if metric in _SYMMETRIC and line.rater in readers:
            scores.setdefault(line.reader, {})[line.rater] = line.mean
    frame = pd.DataFrame.from_dict(scores, orient="index", columns=readers, dtype=float)
    is_reader = frame.index.isin(readers)
    rows = list(frame.index[~is_reader])
    rows += [reader for reader in readers if reader in scores]
    frame = frame.loc[rows]
    frame.insert(0, "row", rows)
    table = table_of(frame, caption=caption, muted=sorted(is_reader.tolist()), own_names=readers)
    return table.with_notes(_missing_cases(lines))


def _missing_cases(lines: pd.DataFrame) -> list[str]:
    """Return a sentence for each reader without a label of some cases."""
    most = lines.groupby("reader", sort=False)["n"].max()
    total = most.max()
    return [f"{reader}: labels of {n} of {count(total, 'case')}." for reader, n in most.items() if n < total]
