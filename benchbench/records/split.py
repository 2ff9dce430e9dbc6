"""The split of a run: which case was trained on, chose the checkpoint or was tested, as `split.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchbench.contract import CaseRef
from benchbench.data.folds import PARTS, Part, split_digest
from benchbench.errors import IntegrityError
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder

SPLIT_NAME = "split.csv"
SPLIT_COLUMNS = ("case", "patient", "fold", "part", "slices")

Row = dict[str, str | int | None]
"""A case of a fold: its id, its patient, the number of the fold, the part, and the slices; None where unknown."""


class CountedCase(NamedTuple):
    """A case and its number of slices."""

    case: CaseRef
    slices: int


def write_split(folder: RunFolder, fold: int, parts: Mapping[Part, Sequence[CountedCase]]) -> None:
    """Write a line for each case, part after part."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SPLIT_COLUMNS)
    for part in PARTS:
        writer.writerows([case.id, case.patient, fold, part, slices] for case, slices in parts[part])
    folder.write(SPLIT_NAME, text.getvalue().encode())


def read_split(folder: RunFolder, record: Record) -> list[Row]:
    """Read the split of a run; an empty list where the record lists none.

    Raises:
        IntegrityError: the file was lost or changed, or is not the split that the record has the digest of.
    """
    if SPLIT_NAME not in record.files:
        return []
    folder.verify(SPLIT_NAME, record)
    path = folder.path / SPLIT_NAME
    parts: dict[Part, list[CaseRef]] = {part: [] for part in PARTS}
    rows: list[Row] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file, strict=True):
                case, patient, fold, part = (line[name] for name in SPLIT_COLUMNS[:4])
                parts[part].append(CaseRef(case, patient))  # type: ignore[index] # another text is a KeyError
                slices = int(line["slices"]) if "slices" in line else None
                rows.append({"case": case, "patient": patient, "fold": int(fold), "part": part, "slices": slices})
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise IntegrityError(f"{path}: not a list of cases ({error}); delete the folder to run again") from error
    if split_digest(parts) != record.split_digest:
        raise IntegrityError(
            f"{path}: not the split of which run.json has the digest; delete the folder to run again"
        )
    return rows
