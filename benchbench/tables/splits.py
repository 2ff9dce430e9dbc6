"""Tables of splits: the part of every case in each fold, and the sizes of the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from benchbench.data.folds import PARTS
from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.record import Record
from benchbench.records.split import SPLIT_COLUMNS, Row, read_split
from benchbench.tables.results import Results, table_of_rows

COLUMNS = ("dataset", "variant", *SPLIT_COLUMNS)
SIZES = ("patients", "cases", "slices")
SIZE_COLUMNS = ("dataset", "variant", "fold", "part", *SIZES)


def split_table(folder: ResultsFolder, results: Results) -> pd.DataFrame:
    """Return a row per dataset, variant, fold and case, once for all models and seeds that share the split.

    Raises:
        IntegrityError: the split of a run was changed.
    """
    return table_of_rows(split_rows(folder, results.records), COLUMNS).assign(data=results.data)


def split_rows(folder: ResultsFolder, records: Mapping[RunKey, Record]) -> list[Row]:
    """Return the rows of `split_table` for these records.

    Raises:
        IntegrityError: the split of a run was changed.
    """
    rows: list[Row] = []
    known: set[tuple[str | int, ...]] = set()
    for key in sorted(records, key=lambda key: key.order):
        record = records[key]
        split = (key.dataset, key.variant, key.fold, record.split_digest)
        if split in known:
            continue
        of_run = read_split(folder.run(key), record)
        if of_run:
            known.add(split)
        rows += [{"dataset": key.dataset, "variant": key.variant, **row} for row in of_run]
    return rows


def split_sizes(rows: Sequence[Row]) -> pd.DataFrame:
    """Return patients, cases and slices of each part, by dataset, variant and fold.

    Slices are empty where those of a case are not known.
    """
    table = table_of_rows(rows, COLUMNS)
    if table.empty:
        return pd.DataFrame(columns=list(SIZE_COLUMNS))
    table = table.assign(part=pd.Categorical(table["part"], PARTS), slices=table["slices"].astype("Int64"))
    # the rows are in the order of the runs, in which epochs=5 is before epochs=10
    place = pd.factorize(pd.MultiIndex.from_frame(table[["dataset", "variant"]]))[0]
    groups = table.groupby([place, "dataset", "variant", "fold", "part"], observed=True)
    slices = groups["slices"].agg(lambda numbers: numbers.sum(skipna=False))
    sizes = pd.DataFrame({"patients": groups["patient"].nunique(), "cases": groups.size(), "slices": slices})
    return sizes.astype("Int64").droplevel(0).reset_index().astype({"part": str})


def sizes_by_fold(sizes: pd.DataFrame) -> pd.DataFrame:
    """Return a row per dataset and fold, each size as "training / validation / test" like 1535 / 389 / 212.

    Variants with the same sizes share a row; the column of variants is there only if they differ.
    """
    lines: dict[tuple[str, int, str], dict[str, object]] = {}
    variants: dict[tuple[str, int, str], list[str]] = {}
    for (dataset, variant, fold), parts in sizes.groupby(["dataset", "variant", "fold"], sort=False):
        texts = {name: " / ".join("?" if pd.isna(size) else str(size) for size in parts[name]) for name in SIZES}
        place = (str(dataset), int(fold), repr(texts))
        lines[place] = {"dataset": dataset, "variant": "", "fold": fold, **texts}
        variants.setdefault(place, []).append(str(variant))
    for place, names in variants.items():
        lines[place]["variant"] = ", ".join(names)
    table = table_of_rows(list(lines.values()), ("dataset", "variant", "fold", *SIZES))
    if table["variant"].nunique() < 2:
        return table.drop(columns="variant")
    return table
