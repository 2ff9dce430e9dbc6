"""Scores against each reader and the agreement of the readers, as a table of the page."""

from __future__ import annotations

import pandas as pd

from benchbench.report.page.cells import PageTable, table_of
from benchbench.tables.readers import reader_table
from benchbench.tables.results import Results


def reader_tables(results: Results) -> list[PageTable]:
    """Return a table for each dataset with several readers: the first overlap, a column for each region."""
    lines = reader_table(results)
    tables = []
    for dataset, part in lines.groupby("dataset", sort=False) if len(lines) else ():
        metric = part["metric"].iloc[0]
        rows: dict[tuple[str, str], dict[str, object]] = {}
        for line in part[part["metric"] == metric].itertuples(index=False):
            row = rows.setdefault((line.rater, line.reader), {"rater": line.rater, "reader": line.reader})
            row[line.region] = f"{line.mean:.3f}"
        caption = (
            f"{metric} of {dataset} against each reader, and of readers against one another; means over cases"
        )
        tables.append(table_of(pd.DataFrame(rows.values()), caption=caption))
    return tables
