"""Numbers that a publication printed, stored as data next to the benchmark files: `reported/*.toml`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from benchbench.errors import DataError, SpecError
from benchbench.images.input_files import read_text
from benchbench.spec.document import nearest
from benchbench.spec.strict import NonNegative, Strict
from benchbench.spec.toml_text import TomlFault, parse_toml

Cell = str | bool | int | float


class Exempt(Strict):
    """Printed numbers that are not compared with measured ones."""

    row: Cell | None = None
    """First cell of the exempt row; None means every row."""
    column: str | None = None
    """Name of the exempt column; None means every column."""
    why: str
    """Reason for the exemption."""


class ReportedTable(Strict):
    """A table as a publication printed it."""

    title: str = ""
    """Title of this table; the name of the document without it."""
    benchmark: str
    """The `reproduce` name of the benchmark whose results are compared with this table."""
    where: dict[str, str] = Field(default_factory=dict)
    """Axis -> dataset, model or variant; chooses among several measured tables with the same columns."""
    variant: dict[str, Any] = Field(default_factory=dict)
    """Settings that the document varied; shown on the reproduction page."""
    protocol: str = ""
    """Protocol of this table in words, if it differs from the one of the file."""
    columns: Annotated[tuple[str, ...], Field(min_length=2)]
    """Column headings; the first column identifies the row."""
    rows: Annotated[tuple[tuple[Cell, ...], ...], Field(min_length=1)]
    """Rows of cells, one cell for each column."""
    n: Annotated[int, Field(ge=2)] | None = None
    """Number of patients that the printed means and SD are computed over."""
    tolerance: NonNegative
    """Largest difference between a measured and a printed number that counts as reproduced."""
    exempt: tuple[Exempt, ...] = ()
    """Printed numbers that are not compared."""
    note: str = ""
    """Known errors of the document."""

    @model_validator(mode="after")
    def _rows_match_columns(self) -> Self:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row '{row[0]}' has {len(row)} cells, expected {len(self.columns)}")
        return self


class ReportedFile(Strict):
    """The tables of one document."""

    document: str
    """Title or citation of the document."""
    dataset: str
    """Name of the dataset."""
    metric: str = ""
    """Name of the metric in the document."""
    protocol: str = ""
    """Protocol of the document in words."""
    classes: tuple[str, ...] = ()
    """Names of the classes in the document."""
    table: tuple[ReportedTable, ...]
    """The printed tables."""


class PrintedTable(ReportedTable):
    """A reported table together with what holds for its whole document."""

    document: str
    metric: str = ""
    """The document's own name for what is printed."""


def read_reported(folder: Path, benchmark: str) -> list[PrintedTable]:
    """Return every table for a `reproduce` name, with its document, metric and protocol.

    Raises:
        SpecError: a file is invalid, or no table has this name.
    """
    tables: list[PrintedTable] = []
    names: set[str] = set()
    for path in sorted(folder.glob("*.toml")):
        file = read_file(path)
        names.update(table.benchmark for table in file.table)
        tables += _tables_of(file, benchmark)
    if not tables:
        hint = nearest(benchmark, sorted(names))
        raise SpecError(f"{folder}/*.toml: no table of benchmark '{benchmark}'; {hint}")
    return tables


def _tables_of(file: ReportedFile, benchmark: str) -> Iterator[PrintedTable]:
    for table in file.table:
        if table.benchmark == benchmark:
            fields = {**dict(table), "protocol": table.protocol or file.protocol}
            yield PrintedTable(**fields, document=file.document, metric=file.metric)


def read_file(path: Path) -> ReportedFile:
    """Read a file of printed tables.

    Raises:
        SpecError: the file cannot be read or is invalid.
    """
    try:
        # strict JSON mode reads TOML's arrays as tuples
        text = read_text(path, kind="a file of printed tables")
        return ReportedFile.model_validate_json(json.dumps(parse_toml(text)))
    except DataError as error:
        raise SpecError(*error.problems) from error
    except (TomlFault, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as TOML ({error}); copy it again") from error
    except ValidationError as error:
        raise SpecError(*_validation_problems(path, error)) from error


def _validation_problems(path: Path, error: ValidationError) -> Iterator[str]:
    for details in error.errors():
        key = ".".join(map(str, details["loc"]))
        yield f"{path}: {key}: {details['msg']}; correct it"
