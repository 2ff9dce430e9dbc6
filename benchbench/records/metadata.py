"""The metadata of the tested patients of a run, such as institution or sex, as `metadata.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from benchbench.errors import IntegrityError
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder

METADATA_NAME = "metadata.csv"
_COLUMNS = ["patient", "column", "value"]
Metadata = Mapping[str, Mapping[str, str]]
"""Patient -> column -> value as the dataset has it."""


def write_metadata(folder: RunFolder, metadata: Metadata) -> None:
    """Write a line for each patient and column; no file without metadata."""
    if not metadata:
        folder.discard(METADATA_NAME)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for patient, columns in sorted(metadata.items()):
        writer.writerows([patient, column, value] for column, value in columns.items())
    folder.write(METADATA_NAME, text.getvalue().encode())


def read_metadata(folder: RunFolder, record: Record) -> dict[str, dict[str, str]]:
    """Read the metadata of a run; empty where the record lists none, as those of earlier versions.

    Raises:
        IntegrityError: the file was lost or changed.
    """
    if METADATA_NAME not in record.files:
        return {}
    folder.verify(METADATA_NAME, record)
    path = folder.path / METADATA_NAME
    metadata: dict[str, dict[str, str]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file, strict=True)
            if header != _COLUMNS:
                raise IntegrityError(
                    f"{path}: found columns {header}, expected {_COLUMNS}; delete the folder to run again"
                )
            for patient, column, value in lines:
                metadata.setdefault(patient, {})[column] = value
    except (ValueError, csv.Error) as error:
        raise IntegrityError(
            f"{path}: not a table of metadata ({error}); delete the folder to run again"
        ) from error
    return metadata
