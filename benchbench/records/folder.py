"""The results folder of a benchmark: its manifest, its runs and its reports."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from benchbench.data.advisory_lock import acquire_where_possible
from benchbench.data.atomic import remove_leftovers, without_name, write_atomic
from benchbench.errors import storage_error
from benchbench.plan.run import RunKey
from benchbench.records.files import json_bytes
from benchbench.records.manifest import Manifest, read_manifest
from benchbench.records.run_folder import RunFolder
from benchbench.spec.file_names import inside, slug
from benchbench.words import natural_order

MANIFEST_NAME = "benchmark.json"


@dataclass(frozen=True)
class ResultsFolder:
    """The results of one benchmark."""

    path: Path

    def run(self, key: RunKey) -> RunFolder:
        name = f"fold{key.fold}_seed{key.seed}"
        return RunFolder(self.path / "runs" / slug(key.dataset) / slug(key.model) / slug(key.variant) / name)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other processes from writing the files of the benchmark, apart from those of its runs.

        What processes that died left unfinished is removed.

        Raises:
            StorageError: the folder cannot be written.
        """
        lock = FileLock(self.path / ".lock")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            acquire_where_possible(lock)
        except OSError as error:
            raise storage_error(without_name(error, Path(lock.lock_file)), self.path) from error
        try:
            for folder in (self.path, self.path / "figures", self.path / "tables"):
                remove_leftovers(folder)
            yield
        finally:
            lock.release()

    @property
    def has_manifest(self) -> bool:
        return (self.path / MANIFEST_NAME).exists()

    def write_manifest(self, manifest: Manifest) -> None:
        with self.writing():
            self.write(MANIFEST_NAME, json_bytes(manifest.dump()))

    def read_manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            IntegrityError: the file is missing, was damaged or edited, or is of another version.
        """
        return read_manifest(self.path / MANIFEST_NAME)

    def write(self, name: str, content: str | bytes) -> None:
        if isinstance(content, str):
            content = content.encode()
        write_atomic(inside(self.path, name), content)

    def discard_others(self, folder: str, pattern: str, *, keep: Container[str]) -> None:
        """Remove the files of a subfolder that match the pattern and are not among `keep`."""
        for path in (self.path / folder).glob(pattern):
            if path.name not in keep:
                path.unlink(missing_ok=True)


def results_folder(results: Path, benchmark: str, *, phantom: bool) -> ResultsFolder:
    """Return the results folder of a benchmark; results on phantom data have a folder of their own."""
    if phantom:
        return ResultsFolder(results / "rehearsal" / benchmark)
    return ResultsFolder(results / benchmark)


def benchmark_folders(results: Path) -> list[ResultsFolder]:
    """Return the results folders inside a folder, or the folder itself where it is one."""
    folder = ResultsFolder(results)
    if folder.has_manifest:
        return [folder]
    paths = [*results.glob(f"*/{MANIFEST_NAME}"), *results.glob(f"rehearsal/*/{MANIFEST_NAME}")]
    return [ResultsFolder(path.parent) for path in sorted(paths, key=lambda path: natural_order(str(path)))]
