"""The thresholds and sizes that a search chose, as a table of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from benchbench.records.record import Record
from benchbench.report.page.cells import PageTable, table_of
from benchbench.tables.results import Results
from benchbench.tables.rows import Row, rows_of

_ALL_FOLDS = "all"


def searched_tables(results: Results) -> list[PageTable]:
    """Return a table for each dataset with rows that searched: thresholds and sizes of every fold and region.

    Where all folds of a row chose together, their values are one line for each region.
    """
    tables = []
    for dataset in results.manifest.datasets:
        lines: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in rows_of(results, dataset):
            for line in _lines(row, results):
                lines[tuple(line.values())] = line
        if lines:
            caption = f"Thresholds and sizes chosen on the inner validation of {dataset}"
            # a region without a smallest size leaves a gap, and pandas makes numbers with gaps fractions
            table = pd.DataFrame(lines.values()).astype({"components": "Int64", "total": "Int64"})
            tables.append(table_of(table, caption=caption))
    return tables


def _lines(row: Row, results: Results) -> Iterator[dict[str, Any]]:
    for record in row.records(results):
        if not _has_search(record):
            continue
        place: dict[str, Any] = {"row": row.label, "fold": _ALL_FOLDS if record.searched else str(record.fold)}
        if row.n_seeds > 1:
            place["seed"] = record.seed
        chosen: Mapping[str, Any] = record.postprocess or {}
        for region, threshold in chosen["thresholds"].items():
            yield {
                **place,
                "region": region,
                "threshold": f"{threshold:g}",
                "components": chosen["components"].get(region),
                "total": chosen["totals"].get(region),
            }


def _has_search(record: Record) -> bool:
    """Return True if the protocol of the run asks for a search and the run has its result."""
    rules = record.resolved.get("protocol", {}).get("postprocess") or {}
    return bool(rules.get("search")) and record.postprocess is not None
