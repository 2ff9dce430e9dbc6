"""The folder of a run: its files, each written whole or not at all.

    results/<benchmark>/benchmark.json            the manifest: tables, metrics, every planned run
    results/<benchmark>/runs/<dataset>/<model>/<variant>/fold0_seed0/
        run.json             status, digest, settings, provenance; written last: a run without it is not done
        cases.parquet        voxel counts and distances by case and region: the primary record
        slices.parquet       voxel counts by slice and region
        readers.parquet      counts against each reader and between readers, where cases have several
        ceiling.parquet      counts of the reference resized to the network's input and back, where that applies
        predictions.parquet  predicted masks of the test cases, from which further metrics can be measured
        pictures.parquet     the slice, or the planes, of each test case that galleries show, with its reference
        planes.parquet       up to 15 further slices of each test case, which a slider of the page moves through
        split.csv            every case of the fold with its patient and part: train, validation or test
        metadata.csv         patient, column and value of the metadata of the tested patients, if there are any
        history.csv          a line per epoch: losses, metrics, learning rate (lr), if it is the best so far
                             (is_best) and, under early stopping, validations since (validations_without_gain)
        tuning/journal.log   Optuna's journal of the trials of a tuned run, each added when it has ended
        tuning/trial_0003/   the trial under way, and the weights of the best ones
        candidates.bin       voxels of the inner validation from which thresholds are chosen, if over all folds
        best.safetensors     weights of the epoch that the inner validation chose; best_2 and so on for the next
        resume.pt            state of a run that is under way
        events.out.*         TensorBoard
        predictions/         labels of the test cases as NIfTI, on request
        previews/            image, reference and prediction of the best, median and worst case
        worker.log           output of the process of the run
        .claim-1             the process that carries out the run, or how it ended; .claim-2 and so on for the
                             next; `run` removes them at its end

Rehearsals have the same layout under `results/rehearsal/`.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from benchbench.data.advisory_lock import acquire_where_possible
from benchbench.data.atomic import has_leftovers, remove_leftovers, without_name, write_atomic
from benchbench.errors import BenchbenchError, IntegrityError, StorageError, storage_error
from benchbench.records.claims import (
    CLAIM_PREFIX,
    INTERRUPTED,
    Claim,
    active_claim,
    has_claims,
    remove_claims,
    renewing,
    try_claim,
)
from benchbench.records.files import json_bytes, parquet_bytes
from benchbench.records.record import Record, read_record, record_fields
from benchbench.spec.file_names import inside

if TYPE_CHECKING:
    import pyarrow as pa

LOCK_SECONDS = 15.0
"""Time to wait for the lock of a run, which a process that is being stopped may hold for a few seconds."""
RESUME_NAME = "resume.pt"
CANDIDATES_NAME = "candidates.bin"
"""Voxels of the inner validation that may be foreground, for a search over all folds of a row."""
_RECORD_NAME = "run.json"
_LOCK_NAME = ".lock"


class RunBusyError(BenchbenchError):
    """Another process works on this run."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path
    claim: Claim | None = field(default=None, compare=False)
    """The claim under which this process writes."""

    @contextlib.contextmanager
    def lock(self, timeout_seconds: float) -> Iterator[None]:
        """Keep other processes off this run; the system frees the lock when the process dies, however it dies.

        Processes of other machines are kept off by their claims, because the lock may be that of one machine only.

        Raises:
            RunBusyError: another process has the lock or a claim.
            StorageError: the folder cannot be written.
        """
        lock = FileLock(self.path / _LOCK_NAME, timeout=timeout_seconds)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            acquire_where_possible(lock)
        except Timeout as error:
            raise RunBusyError(f"{self.path}: another process is at this run; wait for it or stop it") from error
        except OSError as error:
            raise storage_error(without_name(error, Path(lock.lock_file)), self.path) from error
        try:
            self._check_claims()
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def claimed(self) -> Iterator[RunFolder]:
        """Yield this folder with a claim, which is renewed until the block ends; a claim that it has is used.

        Raises:
            RunBusyError: another process has a claim.
            StorageError: the folder cannot be written.
        """
        if self.claim:
            self._check_claims()
            yield self
            return
        try:
            claim = try_claim(self.path)
        except OSError as error:
            raise storage_error(error, self.path) from error
        if claim is None:
            raise RunBusyError(f"{self.path}: another process has just claimed this run; wait for it or stop it")
        outcome = INTERRUPTED
        try:
            with renewing(claim.renew):
                yield replace(self, claim=claim)
            outcome = "ended"
        finally:
            with contextlib.suppress(OSError):  # the claim then expires
                claim.release(outcome)

    def _check_claims(self) -> None:
        """Refuse to work on a run that a process of another machine carries out.

        Raises:
            RunBusyError: another process has a claim.
        """
        other = active_claim(self.path, but=self.claim)
        if other is not None and other.holder is not None:
            raise RunBusyError(
                f"{self.path}: process {other.holder.process} of {other.holder.host} is at this run; wait for it"
                " or stop it"
            )

    def clear(self, *, keep_resume: bool, keep: Collection[str] = ()) -> None:
        """Remove everything but the lock, the log, `keep` and, if asked, the state to resume from."""
        remaining = {_LOCK_NAME, "worker.log", *keep}
        if keep_resume:
            remaining.add(RESUME_NAME)
        for entry in self.path.iterdir():
            if entry.name in remaining or entry.name.startswith(CLAIM_PREFIX):
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the run.

        Raises:
            RunBusyError: another process has taken over, because the claim of this one expired.
            StorageError: the file cannot be written.
        """
        self.check_claim()
        write_atomic(inside(self.path, name), content)

    def check_claim(self) -> None:
        """Refuse to change the files of a run whose claim this process has lost.

        Raises:
            RunBusyError: another process has taken over, because the claim of this one expired.
        """
        if self.claim and not self.claim.is_current:
            raise RunBusyError(
                f"{self.path}: another process has taken over this run, because this one did not renew its claim"
            )

    def discard(self, name: str) -> None:
        """Delete a file of the run, if it exists.

        Raises:
            RunBusyError: another process has taken over, because the claim of this one expired.
            StorageError: the file cannot be deleted.
        """
        self.check_claim()
        path = inside(self.path, name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, path) from error

    def remove_leftovers(self) -> None:
        """Remove claims and what a process that died left from the folder of a run that is done and not in use."""
        folders = [self.path, *(path for path in self.path.iterdir() if path.is_dir())]
        has_state = (self.path / RESUME_NAME).exists() or has_claims(self.path)
        if not has_state and not any(has_leftovers(folder) for folder in folders):
            return
        with contextlib.suppress(RunBusyError, StorageError), self.lock(0):
            for folder in folders:
                remove_leftovers(folder)
            self.discard(RESUME_NAME)
            with contextlib.suppress(OSError):  # the next command removes them
                remove_claims(self.path)

    def names_in(self, name: str) -> set[str]:
        """Return the names of the files in a subfolder; an empty set where there is none."""
        folder = inside(self.path, name)
        if not folder.is_dir():
            return set()
        return {path.name for path in folder.iterdir()}

    def digest_of(self, name: str) -> str:
        """Return the SHA-256 of a file of the run."""
        return hashlib.sha256(inside(self.path, name).read_bytes()).hexdigest()

    def digests(self, names: Sequence[str]) -> dict[str, str]:
        """Return the SHA-256 of each of these files that exists."""
        return {name: self.digest_of(name) for name in names if inside(self.path, name).exists()}

    def read_record(self) -> Record | None:
        """Read the record; None where the run has not ended or was recorded by another version.

        Raises:
            IntegrityError: the file was damaged or edited.
        """
        return read_record(self.path / _RECORD_NAME)

    def write_record(self, record: Record) -> None:
        self.write(_RECORD_NAME, json_bytes(record_fields(record)))

    def write_table(self, name: str, table: pa.Table) -> None:
        self.write(name, parquet_bytes(table))

    def replace_table(self, name: str, table: pa.Table, record: Record) -> Record:
        """Replace a table that the record lists and return the record of the new one.

        The record lists both digests while the file changes, so that a power cut leaves a valid run.
        """
        content = parquet_bytes(table)
        digest = hashlib.sha256(content).hexdigest()
        self.write_record(replace(record, replacing={name: digest}))
        self.write(name, content)
        record = replace(record, files={**record.files, name: digest}, replacing={})
        self.write_record(record)
        return record

    def columns_of(self, name: str) -> list[str]:
        """Return the columns of a table; an empty list where there is no such file."""
        import pyarrow.parquet as pq  # noqa: PLC0415 half a second that listing and planning do not pay

        path = inside(self.path, name)
        if not path.exists():
            return []
        return list(pq.read_schema(path).names)

    def read_table(self, name: str, record: Record) -> pa.Table:
        """Read a table whose digest the record lists.

        Raises:
            IntegrityError: the file is missing or was changed since it was written.
        """
        import pyarrow.parquet as pq  # noqa: PLC0415 as above

        path = inside(self.path, name)
        self.verify(name, record)
        try:
            return pq.read_table(path)
        except (OSError, ValueError, NotImplementedError) as error:  # those of pyarrow are one of them
            raise IntegrityError(
                f"{path}: not a Parquet file ({type(error).__name__}); delete the folder to run again"
            ) from error

    def verify(self, name: str, record: Record) -> None:
        """Compare the digest of a file with the one that the record lists.

        Raises:
            IntegrityError: the file is missing or was changed since it was written.
        """
        path = inside(self.path, name)
        expected = {record.digests.get(name), record.replacing.get(name)}
        if not path.exists() or self.digest_of(name) not in expected:
            raise IntegrityError(
                f"{path}: missing or changed since run.json was written; delete the folder to run again"
            )

    def verify_all(self, record: Record) -> None:
        """Compare the digests of all files that the record lists; large files that nothing reads may be deleted.

        Raises:
            IntegrityError: a file is missing or was changed since it was written.
        """
        for name in record.digests:
            if inside(self.path, name).exists() or not name.endswith((".safetensors", CANDIDATES_NAME)):
                self.verify(name, record)

    def copy_to(self, other: RunFolder) -> None:
        """Copy a run that ended over another folder, its record last.

        Raises:
            IntegrityError: the folder holds a symbolic link, which could bring in any file of the machine.
        """
        self._refuse_links()
        with other.lock(0):
            self.copy_files_to(other)
            other.write(_RECORD_NAME, (self.path / _RECORD_NAME).read_bytes())

    def copy_files_to(self, other: RunFolder) -> None:
        """Copy the files of a run that ended, without its record, over another folder, whose lock the caller has.

        Raises:
            IntegrityError: the folder holds a symbolic link, which could bring in any file of the machine.
        """
        self._refuse_links()
        other.discard(_RECORD_NAME)
        other.clear(keep_resume=False)
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            is_claim = name.startswith(CLAIM_PREFIX)
            if path.is_file() and not is_claim and name not in {_RECORD_NAME, _LOCK_NAME, RESUME_NAME}:
                other.write(name, path.read_bytes())

    def _refuse_links(self) -> None:
        for path in self.path.rglob("*"):
            if path.is_symlink():
                raise IntegrityError(f"{path}: a symbolic link; replace it by the file itself or delete it")
