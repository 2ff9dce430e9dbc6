"""The table of splits: which case was trained on, chose the checkpoint or was tested in each fold."""

from __future__ import annotations

import pandas as pd

from benchbench.results.folder import ResultsFolder
from benchbench.results.split import SPLIT_COLUMNS, Row, read_split
from benchbench.tables.results import Results, table_of_rows

COLUMNS = ("dataset", "variant", *SPLIT_COLUMNS, "data")


def split_table(folder: ResultsFolder, results: Results) -> pd.DataFrame:
    """Return a row per dataset, variant, fold and case, once for all models and seeds that share the split.

    Raises:
        IntegrityError: the split of a run was changed.
    """
    rows: list[Row] = []
    known: set[tuple[str | int, ...]] = set()
    for key, record in sorted(results.records.items()):
        split = (key.dataset, key.variant, key.fold, record.split_digest)
        if split in known:
            continue
        of_run = read_split(folder.run(key), record)
        if of_run:
            known.add(split)
        place = {"dataset": key.dataset, "variant": key.variant}
        rows += [{**place, **row, "data": results.data} for row in of_run]
    return table_of_rows(rows, COLUMNS)
