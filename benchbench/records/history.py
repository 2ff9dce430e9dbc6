"""The history of a run: losses, metrics and learning rate of every epoch, as `history.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from benchbench.errors import IntegrityError
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder

HISTORY_NAME = "history.csv"


def write_history(folder: RunFolder, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one line per epoch; an entry of None is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    folder.write(HISTORY_NAME, text.getvalue().encode())


def history_digest(folder: RunFolder) -> dict[str, str]:
    """Return the SHA-256 of the history as the `cost` of a record has it; nothing where there is no history."""
    digests = folder.digests([HISTORY_NAME])
    return {"history_digest": digests[HISTORY_NAME]} if digests else {}


def read_history(folder: RunFolder, record: Record) -> list[dict[str, float]]:
    """Read the numbers of every epoch, nan where one was not measured; an empty list where there is no file.

    Raises:
        IntegrityError: the file was lost, damaged or edited.
    """
    path = folder.path / HISTORY_NAME
    if HISTORY_NAME in record.digests:
        folder.verify(HISTORY_NAME, record)
    elif not path.exists():
        return []
    rows: list[dict[str, float]] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                rows.append(_numbers(row))  # noqa: PERF401 the error counts the lines before it
    except (ValueError, TypeError, csv.Error) as error:
        line = len(rows) + 2
        problem = f"line {line}: not a row of numbers ({error})"
        raise IntegrityError(f"{path}: {problem}; delete the folder to run it again") from error
    return rows


def _numbers(row: Mapping[str, str]) -> dict[str, float]:
    if None in row or None in row.values():
        raise ValueError("its number of cells is not that of the first line")
    return {name: float(text or "nan") for name, text in row.items()}
