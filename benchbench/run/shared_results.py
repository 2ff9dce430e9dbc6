"""Takes over the results of a finished run with the same digest: models times variants can name a run twice."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from benchbench.plan.run import RunKey
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder
from benchbench.run.assignment import Assignment

_TABLES_WITH_KEYS = ("cases.parquet", "slices.parquet", "ceiling.parquet")


def take_over(assignment: Assignment) -> Record | None:
    """Copy the results of a finished run with the same digest and return their record; None if there is none.

    A trained run that waits for the other folds of its row is copied if none is finished.

    Raises:
        IntegrityError: a file of that run was changed since it was written.
    """
    waiting: tuple[RunFolder, Record] | None = None
    for source in assignment.equal_runs:
        record = source.read_record()
        if record is not None and assignment.is_done_by(record):
            return _copy(source, record, assignment)
        if record is not None and record.status == "waiting" and assignment.is_trained_by(record, source):
            waiting = (source, record)
    if waiting is None or assignment.is_trained_by(assignment.folder.read_record()):
        return None
    return _copy(*waiting, assignment)


def _copy(source: RunFolder, record: Record, assignment: Assignment) -> Record:
    source.verify_all(record)
    names = [name for name in _TABLES_WITH_KEYS if name in record.files]
    tables = {name: source.read_table(name, record) for name in names}
    source.copy_files_to(assignment.folder)
    for name, table in tables.items():
        assignment.folder.write_table(name, _with_key(table, assignment.key))
    return replace(
        record,
        **assignment.key._asdict(),
        files={**record.files, **assignment.folder.digests(names)},
        trained_as=record.trained_as or str(record.key),
    )


def _with_key(table: pa.Table, key: RunKey) -> pa.Table:
    """Return a table of a run as one of another run."""
    for name, value in key._asdict().items():
        position = table.schema.get_field_index(name)
        column = pa.array([value] * len(table), table.schema.field(position).type)
        table = table.set_column(position, name, column)
    return table
