"""Numbers that a publication printed, as data beside the benchmark files: `reported/*.toml`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from benchbench.errors import SpecError
from benchbench.spec.document import nearest
from benchbench.spec.strict import NonNegative, Strict

Cell = str | bool | int | float


class Exempt(Strict):
    """Printed numbers that nothing measured can be held against."""

    row: Cell | None = None
    """The first cell of the row; without it, every row."""
    column: str | None = None
    why: str


class ReportedTable(Strict):
    """A table as it was printed."""

    benchmark: str
    """Name of the benchmark that measures a table of this shape."""
    where: dict[str, str] = Field(default_factory=dict)
    """Which of several tables of one shape: axis -> dataset, model or variant."""
    variant: dict[str, Any] = Field(default_factory=dict)
    """What the document says was varied."""
    protocol: str = ""
    columns: Annotated[tuple[str, ...], Field(min_length=2)]
    rows: Annotated[tuple[tuple[Cell, ...], ...], Field(min_length=1)]
    tolerance: NonNegative
    """How far a measured number may lie from the printed one and still count as the same."""
    exempt: tuple[Exempt, ...] = ()
    note: str = ""
    """Errors of the document itself."""

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row '{row[0]}' has {len(row)} cells, expected {len(self.columns)}")
        return self


class ReportedFile(Strict):
    """The tables of one document."""

    document: str
    dataset: str
    metric: str = ""
    protocol: str = ""
    classes: tuple[str, ...] = ()
    table: tuple[ReportedTable, ...]


def read_reported(folder: Path, benchmark: str) -> list[dict[str, Any]]:
    """Every table that a benchmark reproduces, each with its document, metric and protocol, as plain data.

    Raises:
        SpecError: a file is not what it should be, or no table is of this benchmark.
    """
    found, known = [], []
    for path in sorted(folder.glob("*.toml")):
        file = _read(path)
        known += [table.benchmark for table in file.table]
        found += list(_tables(file, benchmark))
    if not found:
        hint = nearest(benchmark, sorted(set(known)))
        raise SpecError(f"{folder}/*.toml: no table of benchmark '{benchmark}'; {hint}")
    return found


def _tables(file: ReportedFile, benchmark: str) -> Iterator[dict[str, Any]]:
    for table in file.table:
        if table.benchmark == benchmark:
            plain = table.model_dump(mode="json")
            yield {
                **plain,
                "document": file.document,
                "metric": file.metric,
                "protocol": table.protocol or file.protocol,
            }


def _read(path: Path) -> ReportedFile:
    try:
        # strict JSON mode reads TOML's arrays as tuples
        return ReportedFile.model_validate_json(json.dumps(tomllib.loads(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as TOML ({error}); copy it again") from error
    except ValidationError as error:
        raise SpecError(
            *(f"{path}: {'.'.join(map(str, each['loc']))}: {each['msg']}; correct it" for each in error.errors())
        ) from error
