"""The history of a run: losses, metrics and learning rate of every epoch, as `history.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from benchbench.results.run_folder import RunFolder

_NAME = "history.csv"


def write_history(folder: RunFolder, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one line per epoch; an entry of None is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    folder.write(_NAME, text.getvalue().encode())


def read_history(folder: RunFolder) -> list[dict[str, float]]:
    """Read the numbers of every epoch, nan where one was not measured; an empty list where there is no file."""
    path = folder.path / _NAME
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [_numbers(row) for row in csv.DictReader(file)]


def _numbers(row: Mapping[str, str]) -> dict[str, float]:
    return {name: float(text or "nan") for name, text in row.items()}
