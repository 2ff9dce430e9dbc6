"""The columns that each table of a run must have: a file can be edited together with its digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchbench.errors import IntegrityError
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT, _INTEGER, _NUMBER, _BYTES, _LIST = "text", "integers", "numbers", "bytes", "lists"
_TYPES = {
    _TEXT: ("string", "large_string"),
    _INTEGER: ("int", "uint"),
    _NUMBER: ("int", "uint", "double", "float", "halffloat"),
    _BYTES: ("binary", "large_binary"),
    _LIST: ("list<", "large_list<"),
}
"""Kind of a column -> beginnings of the names of its types in Parquet files."""
_KEY = {"dataset": _TEXT, "model": _TEXT, "variant": _TEXT, "fold": _INTEGER, "seed": _INTEGER}
_PLACE = {**_KEY, "case": _TEXT, "patient": _TEXT, "region": _TEXT}
_COUNTS = dict.fromkeys(("tp", "fp", "fn", "tn"), _INTEGER)
_PICTURES = {
    "case": _TEXT,
    "name": _TEXT,
    "axis": _INTEGER,
    "at": _INTEGER,
    "aspect": _NUMBER,
    "image": _BYTES,
    **dict.fromkeys(("rows", "columns", "truth"), _LIST),
}
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "cases.parquet": {**_PLACE, **_COUNTS},
    "ceiling.parquet": {**_PLACE, **_COUNTS},
    "slices.parquet": {**_PLACE, "slice": _INTEGER, **_COUNTS},
    "readers.parquet": {**_PLACE, "rater": _TEXT, "reader": _TEXT, **_COUNTS},
    "predictions.parquet": {
        "case": _TEXT,
        "region": _TEXT,
        "bits": _BYTES,
        **dict.fromkeys(("shape", "start", "stop"), _LIST),
    },
    "pictures.parquet": _PICTURES,
    "planes.parquet": _PICTURES,
}
_WITH_DISTANCES = ("cases.parquet", "ceiling.parquet")


def read_checked(folder: RunFolder, name: str, record: Record) -> pa.Table:
    """Read a table of a run that has the columns that benchbench writes.

    Raises:
        IntegrityError: the file is missing, was changed, or lacks a column.
    """
    table = folder.read_table(name, record)
    try:
        problem = _problem(name, table)
    except UnicodeDecodeError:  # pyarrow decodes names when they are asked for
        problem = "a name of a column is not UTF-8"
    if problem:
        raise IntegrityError(f"{folder.path / name}: {problem}; delete the folder to run again")
    return table


def _problem(name: str, table: pa.Table) -> str:
    """Return a line about the first column that is missing, of another type or has gaps; '' without one."""
    columns = _COLUMNS.get(name, {})
    for column, kind in columns.items():
        if column not in table.column_names:
            return f"no column {column}"
        found_type = str(table.schema.field(column).type)
        if not found_type.startswith(_TYPES[kind]):
            return f"column {column}: found {found_type}, expected {kind}"
        if table.column(column).null_count:
            return f"column {column}: found {table.column(column).null_count} empty cells"
    if name in _WITH_DISTANCES:
        for field in table.schema:
            if field.name not in columns and not str(field.type).startswith((*_TYPES[_NUMBER], "null")):
                return f"column {field.name}: found {field.type}, expected {_NUMBER}"
    return ""
