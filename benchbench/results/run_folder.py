"""Keeps records under `results/`, each file written whole or not at all.

    results/<benchmark>/benchmark.json            what was asked: tables, metrics, every planned run
    results/<benchmark>/runs/<dataset>/<model>/<variant>/fold0_seed0/
        run.json          status, digest, resolved spec, provenance; written last, so a run without it is not done
        cases.parquet     voxel counts and distances by case and region: the primary record
        slices.parquet    the same by slice
        ceiling.parquet   the same by case of the truth, scaled to the network's input and back; if that scales
        predictions.parquet  the predicted masks of the test cases, from which other distances can be measured
        pictures.parquet  of each test case the slice, or planes, that galleries show, with the truth
        history.csv       of every epoch losses, metrics, the learning rate (lr), whether it is the best so far
                          (is_best) and, under early stopping, how many came since the best (epochs_without_gain)
        best.safetensors  weights of the epoch that the inner validation chose; best_2 and so on if more are kept
        resume.pt         present only while a run is under way
        events.out.*      TensorBoard
        predictions/      labels of the test cases as NIfTI, if they are asked for
        previews/         image | truth | prediction of the best, median and worst case
        worker.log        what the run's process printed

Rehearsals go the same way under `results/rehearsal/`.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from benchbench.data.atomic import write_atomic
from benchbench.errors import BenchbenchError, IntegrityError
from benchbench.plan.run import RECORD_SCHEMA
from benchbench.results.files import json_bytes, parquet_bytes
from benchbench.results.record import Record

if TYPE_CHECKING:
    import pyarrow as pa


class RunBusyError(BenchbenchError):
    """Another process holds this run."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @contextlib.contextmanager
    def held(self, timeout_seconds: float) -> Iterator[None]:
        """Keeps other processes off this run; the system lets go when the process dies, however it dies.

        Raises:
            RunBusyError: another process keeps it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / ".lock", timeout=timeout_seconds):
                yield
        except Timeout as error:
            raise RunBusyError(f"{self.path}: another process is at this run; wait for it or stop it") from error

    def clear(self, *, keep_resume: bool) -> None:
        """Removes everything but the lock and the log, and the kept state if it is to be gone on from."""
        kept = {".lock", "worker.log", *(["resume.pt"] if keep_resume else [])}
        for entry in self.path.iterdir():
            if entry.name in kept:
                continue
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def write(self, name: str, content: bytes) -> None:
        write_atomic(self.path / name, content)

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write("history.csv", text.getvalue().encode())

    def read_history(self) -> list[dict[str, float]]:
        """The numbers of every epoch, nan where one was not measured; none where there is no such file."""
        path = self.path / "history.csv"
        if not path.exists():
            return []
        with path.open(encoding="utf-8", newline="") as file:
            return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]

    def write_table(self, name: str, table: pa.Table) -> None:
        self.write(name, parquet_bytes(table))

    def replace_table(self, name: str, table: pa.Table, record: Record) -> Record:
        """Puts a table in the place of one that the record vouches for; gives the record of the new one."""
        content = parquet_bytes(table)
        digest = hashlib.sha256(content).hexdigest()
        self.write_record(replace(record, replacing={name: digest}))
        self.write(name, content)
        record = replace(record, files={**record.files, name: digest}, replacing={})
        self.write_record(record)
        return record

    def columns_of(self, name: str) -> list[str]:
        """The columns of a table; none where there is no such file."""
        import pyarrow.parquet as pq  # noqa: PLC0415 as above

        path = self.path / name
        return list(pq.read_schema(path).names) if path.exists() else []

    def write_record(self, record: Record) -> None:
        self.write("run.json", json_bytes(asdict(record)))

    def write_resume(self, tag: str, state: bytes) -> None:
        """Keeps the state of a run under way, for a run of the same tag only."""
        head = f"{tag} {hashlib.sha256(state).hexdigest()}\n".encode()
        self.write("resume.pt", head + state)

    def read_resume(self, tag: str) -> bytes | None:
        """The state kept under this tag; None where there is none, or not in the bytes that were written."""
        path = self.path / "resume.pt"
        if not path.exists():
            return None
        head, _, state = path.read_bytes().partition(b"\n")
        return state if head.decode(errors="replace") == f"{tag} {hashlib.sha256(state).hexdigest()}" else None

    @contextlib.contextmanager
    def events(self) -> Iterator[Callable[[int, Mapping[str, Any]], None]]:
        """A function that adds an epoch's numbers to TensorBoard's event file."""
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415 half a second, needed by runs only
        from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415
        from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: PLC0415

        # tensorboard's own file writer would put the host's name into the file's
        with (self.path / f"events.out.tfevents.{time.time_ns()}").open("wb") as file:
            records = RecordWriter(file)
            records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())

            def add(step: int, row: Mapping[str, Any]) -> None:
                values = [
                    Summary.Value(tag=name, simple_value=value)
                    for name, value in row.items()
                    if name != "epoch" and value is not None
                ]
                event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
                records.write(event.SerializeToString())
                records.flush()

            yield add

    def names_in(self, name: str) -> set[str]:
        """The files of a folder of the run; none where there is no such folder."""
        folder = self.path / name
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    def discard(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def read_record(self) -> Record | None:
        """The record; None where the run has not ended or was recorded by another version.

        Raises:
            IntegrityError: the file is not what was written.
        """
        path = self.path / "run.json"
        if not path.exists():
            return None
        try:
            fields = json.loads(path.read_bytes())
            return Record(**fields) if fields["schema"] == RECORD_SCHEMA else None
        except (ValueError, TypeError, KeyError) as error:
            raise IntegrityError(
                f"{path}: not a run record ({error}); delete the folder to run it again"
            ) from error

    def copy_to(self, other: RunFolder) -> None:
        """Puts a copy of a run that ended in another's place, its record last."""
        with other.held(0):
            other.discard("run.json")
            other.clear(keep_resume=False)
            for path in sorted(self.path.rglob("*")):
                name = path.relative_to(self.path).as_posix()
                if path.is_file() and name not in {"run.json", ".lock", "resume.pt"}:
                    write_atomic(other.path / name, path.read_bytes())
            other.write("run.json", (self.path / "run.json").read_bytes())

    def weights(self) -> list[str]:
        """The names of the weights that were kept, best first."""
        return sorted(
            (path.name for path in self.path.glob("best*.safetensors")), key=lambda name: (len(name), name)
        )

    def weights_digest(self) -> str:
        """SHA-256 of all weights that were kept; '' where there are none."""
        digests = [self.digest_of(name) for name in self.weights()]
        return hashlib.sha256(" ".join(digests).encode()).hexdigest() if digests else ""

    def digests(self, names: Sequence[str]) -> dict[str, str]:
        """SHA-256 of those of these files that there are."""
        return {name: self.digest_of(name) for name in names if (self.path / name).exists()}

    def digest_of(self, name: str) -> str:
        """SHA-256 of a file of the run."""
        return hashlib.sha256((self.path / name).read_bytes()).hexdigest()

    def read_table(self, name: str, record: Record) -> pa.Table:
        """A table of the run, as the record vouches for it.

        Raises:
            IntegrityError: the file is missing or was changed since it was written.
        """
        import pyarrow.parquet as pq  # noqa: PLC0415 as above

        path = self.path / name
        vouched = {record.files.get(name), record.replacing.get(name)}
        if not path.exists() or self.digest_of(name) not in vouched:
            raise IntegrityError(
                f"{path}: missing or changed since run.json was written; delete the folder to run again"
            )
        return pq.read_table(path)
