"""The table of own images: patients of cases, and metadata."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from benchbench import DataError
from benchbench_datasets.case_files import file_problem, read_table, split_rows

Row = dict[str, str]


def read_rows(root: Path, name: str, *, columns: Sequence[str], dataset: str) -> dict[str, Row]:
    """Return the rows of a CSV file by the value of the first of these columns; {} if no file is named.

    Raises:
        DataError: the file is missing or is no table, it lacks one of the columns, or a value occurs twice.
    """
    if not name:
        return {}
    path = root / name
    text = read_table(path, dataset=dataset, root=root)
    if not text:
        raise DataError(
            file_problem(
                path, "found no such table, expected a CSV file; correct `table`", dataset=dataset, root=root
            )
        )
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        header, *rows = split_rows(text, delimiter=delimiter)
    except csv.Error as error:
        fault = f"found no table ({error}), expected one; correct the file"
        raise DataError(file_problem(path, fault, dataset=dataset, root=root)) from error
    absent = [column for column in columns if column not in header]
    if absent:
        fault = (
            f"found columns {', '.join(header)}, expected '{absent[0]}'; correct `case_column`, `patient_column`"
            " or `labelled_column`"
        )
        raise DataError(file_problem(path, fault, dataset=dataset, root=root))
    key = columns[0]
    by_key: dict[str, Row] = {}
    for number, values in enumerate(rows, start=2):
        if len(values) != len(header):
            fault = f"row {number}: found {len(values)} values, expected {len(header)}; correct the row"
            raise DataError(file_problem(path, fault, dataset=dataset, root=root))
        row = dict(zip(header, values, strict=True))
        if row[key] in by_key:
            fault = f"row {number}: found '{row[key]}' again, expected one row for each; remove one"
            raise DataError(file_problem(path, fault, dataset=dataset, root=root))
        by_key[row[key]] = row
    return by_key
