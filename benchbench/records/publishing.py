"""Publishing: a copy of a results folder that anyone may read and verify, without weights, images and machines.

A published folder has the manifest and, of every run that is done, its record, counts, predicted masks, split and
history. From these `benchbench report` makes every table, figure and page again, with the same bytes.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from benchbench.errors import IntegrityError, UsageError
from benchbench.records.folder import ResultsFolder
from benchbench.records.record import Record

_PUBLISHED = (
    *("cases.parquet", "slices.parquet", "ceiling.parquet", "readers.parquet", "predictions.parquet"),
    *("split.csv", "history.csv"),
)
"""Files of a run that are copied. Metadata of patients have the licence of the dataset, pictures show patients."""
_WEIGHTS = ".safetensors"
_FREE_TEXT = ("reason", "retries", "remarks", "provenance")
"""Fields of a record that may quote a path of the machine, and that no digest is computed from."""
_PATH = re.compile(r"(?<![\w.:/])(?:/[^\s/'\",;:]+){2,}/?|\b[A-Za-z]:\\[^\s'\",;]+")
"""An absolute path of at least two parts."""


def publish(source: ResultsFolder, target: ResultsFolder) -> int:
    """Copy the manifest and all finished runs into a folder, and return the number of runs; no report is written.

    Runs that the target has of an earlier publication are replaced.

    Raises:
        UsageError: the results are of phantom data, nothing is done, or the target is something else.
        IntegrityError: a file was damaged or edited, or settings name a folder of the machine.
    """
    manifest = source.read_manifest()
    if manifest.phantom:
        raise UsageError(f"{source.path}: phantom data, not a result; publish a run on real data")
    records = _finished(source)
    if not records:
        raise UsageError(f"{source.path}: no run is done; run the benchmark before it is published")
    faults = list(_paths_in("benchmark.json", manifest.dump()))
    for record in records:
        faults += _paths_in(f"{record.key}: run.json", {"resolved": record.resolved})
    if faults:
        raise IntegrityError(*(f"{source.path}: {fault}" for fault in faults))
    _empty(source, target)
    target.write_manifest(manifest)
    for record in records:
        _publish_run(source, target, record)
    return len(records)


def _finished(source: ResultsFolder) -> list[Record]:
    """Return the records of the runs that are done, whose files are as they were written."""
    records: list[Record] = []
    for run in source.read_manifest().runs:
        record = source.run(run.key).read_record()
        if record is not None and record.digest == run.digest and record.status == "done":
            source.run(run.key).verify_all(record)
            records.append(record)
    return records


def _empty(source: ResultsFolder, target: ResultsFolder) -> None:
    """Remove an earlier publication from the target.

    Raises:
        UsageError: the target is the source, or a folder that holds something else.
    """
    if target.path.resolve() == source.path.resolve():
        raise UsageError(f"{target.path}: the results themselves; name another folder")
    if not target.path.exists() or not any(target.path.iterdir()):
        return
    if not target.has_manifest or target.read_manifest().name != source.read_manifest().name:
        raise UsageError(f"{target.path}: holds something else; name a new folder")
    shutil.rmtree(target.path)


def _publish_run(source: ResultsFolder, target: ResultsFolder, record: Record) -> None:
    run, copy = source.run(record.key), target.run(record.key)
    copy.path.mkdir(parents=True, exist_ok=True)
    names = [name for name in _PUBLISHED if (run.path / name).exists()]
    for name in names:
        copy.write(name, (run.path / name).read_bytes())
    remaining = {name: value for name, value in record.files.items() if name in names or name.endswith(_WEIGHTS)}
    copy.write_record(_without_machine(replace(record, files=remaining)))


def _without_machine(record: Record) -> Record:
    """Return a record in whose free text a path is its last part alone."""
    changes = {name: _shortened(getattr(record, name)) for name in _FREE_TEXT}
    return replace(record, **changes)


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return _PATH.sub(lambda match: PurePath(match[0].replace("\\", "/")).name, value)
    if isinstance(value, Mapping):
        return {key: _shortened(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_shortened(inner) for inner in value)
    return value


def _paths_in(place: str, value: Any) -> Iterator[str]:
    """Yield a line for each text in a JSON value that has an absolute path."""
    if isinstance(value, str) and (match := _PATH.search(value)):
        yield f"{place}: found the path {match[0]}, which names a folder of this machine; use a relative path"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _paths_in(f"{place}: {key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _paths_in(place, inner)
