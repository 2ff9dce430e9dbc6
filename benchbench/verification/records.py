"""Records against the manifest, files against records, and saved masks against counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import NamedTuple

from benchbench.errors import IntegrityError
from benchbench.images.arrays import Mask
from benchbench.metrics.masks import unpack
from benchbench.records.folder import ResultsFolder
from benchbench.records.manifest import PlannedRun
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder
from benchbench.records.split import read_split
from benchbench.records.table_columns import read_checked
from benchbench.tables.integrity import check_masks
from benchbench.tables.results import Results

PREDICTIONS = "predictions.parquet"
SLICES = "slices.parquet"


class RunCounts(NamedTuple):
    """The runs of a results folder, and the files that their records list."""

    planned: int
    done: int
    files: int


def count_runs(folder: ResultsFolder) -> RunCounts:
    """Return the numbers of planned runs, of finished runs and of the files of these."""
    planned = done = files = 0
    for run in folder.read_manifest().runs:
        planned += 1
        record = _record(folder, run)
        if record is not None and record.status == "done":
            done += 1
            files += sum((folder.run(run.key).path / name).exists() for name in record.digests)
    return RunCounts(planned, done, files)


def record_faults(folder: ResultsFolder) -> Iterator[str]:
    """Yield every record that is not that of its plan, and every file that is not as its record says."""
    for run in folder.read_manifest().runs:
        path = folder.run(run.key).path / "run.json"
        try:
            record = folder.run(run.key).read_record()
        except IntegrityError as error:
            yield from error.problems
            continue
        if record is None:
            continue
        if record.key != run.key:
            yield f"{path}: found the record of {record.key}, expected that of {run.key}"
        if record.digest != run.digest:
            yield f"{path}: digest: found {record.digest[:12]}, but benchmark.json plans {run.digest[:12]}"
        settings = json.dumps(record.resolved, sort_keys=True).encode()
        if hashlib.sha256(settings).hexdigest() != record.digest:
            yield f"{path}: resolved: the settings do not have the digest of the record"
        yield from _file_faults(folder.run(run.key), record)


def content_faults(folder: ResultsFolder, results: Results) -> Iterator[str]:
    """Yield every run whose split is not that of its digest, or a saved mask not that of its counts."""
    for key, record in (results.with_controls or results).records.items():
        run = folder.run(key)
        try:
            read_split(run, record)
        except IntegrityError as error:
            yield from error.problems
        if PREDICTIONS not in record.files or not (run.path / PREDICTIONS).exists():
            continue
        try:
            masks = saved_masks(run, record)
            slices = read_checked(run, SLICES, record).to_pandas()
            check_masks(run.path / PREDICTIONS, masks, slices)
        except IntegrityError as error:
            yield from error.problems


def saved_masks(run: RunFolder, record: Record) -> dict[tuple[str, str], Mask]:
    """Return the predicted mask (S, H, W) of each case and region.

    Raises:
        IntegrityError: the file was changed, or is no table of masks.
    """
    masks: dict[tuple[str, str], Mask] = {}
    for row in read_checked(run, PREDICTIONS, record).to_pylist():
        try:
            masks[row["case"], row["region"]] = unpack(row)
        except ValueError as error:
            place = f"case {row['case']}, region {row['region']}"
            raise IntegrityError(f"{run.path / PREDICTIONS}: {place}: {error}") from error
    return masks


def _record(folder: ResultsFolder, run: PlannedRun) -> Record | None:
    try:
        return folder.run(run.key).read_record()
    except IntegrityError:  # a fault of its own
        return None


def _file_faults(run: RunFolder, record: Record) -> Iterator[str]:
    for name in record.digests:
        may_be_deleted = name.endswith((".safetensors", "candidates.bin"))
        if may_be_deleted and not (run.path / name).exists():
            continue
        try:
            run.verify(name, record)
        except IntegrityError as error:
            yield from error.problems
