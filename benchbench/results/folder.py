"""The results folder of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbench.data.atomic import write_atomic
from benchbench.errors import IntegrityError
from benchbench.plan.run import RunKey
from benchbench.results.files import json_bytes, slug
from benchbench.results.run_folder import RunFolder

MANIFEST_SCHEMA = 2


@dataclass(frozen=True)
class ResultsFolder:
    """The results of one benchmark."""

    path: Path

    def run(self, key: RunKey) -> RunFolder:
        name = f"fold{key.fold}_seed{key.seed}"
        return RunFolder(self.path / "runs" / slug(key.dataset) / slug(key.model) / slug(key.variant) / name)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        write_atomic(self.path / "benchmark.json", json_bytes({**manifest, "schema": MANIFEST_SCHEMA}))

    def read_manifest(self) -> dict[str, Any]:
        """What was asked of this benchmark.

        Raises:
            IntegrityError: there is no readable manifest.
        """
        path = self.path / "benchmark.json"
        try:
            manifest = dict(json.loads(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise IntegrityError(
                f"{path}: cannot be read ({error}); is this the results folder of a benchmark?"
            ) from error
        if manifest.get("schema") != MANIFEST_SCHEMA:
            raise IntegrityError(
                f"{path}: written by another version of benchbench; `benchbench run` writes it anew"
                " and keeps what is done"
            )
        return manifest

    def write(self, name: str, content: str | bytes) -> None:
        write_atomic(self.path / name, content if isinstance(content, bytes) else content.encode())

    def discard_others(self, folder: str, pattern: str, *, kept: Container[str]) -> None:
        """Removes the files of a folder that match the pattern, but for those that are kept."""
        for path in (self.path / folder).glob(pattern):
            if path.name not in kept:
                path.unlink()


def results_folder(results: Path, benchmark: str, *, phantom: bool) -> ResultsFolder:
    """Where a benchmark's results lie; phantom ones apart from the real."""
    return ResultsFolder(results / "rehearsal" / benchmark if phantom else results / benchmark)


def benchmark_folders(results: Path) -> list[ResultsFolder]:
    """The benchmarks recorded in a folder, or the one that the folder is."""
    if (results / "benchmark.json").exists():
        return [ResultsFolder(results)]
    found = [*results.glob("*/benchmark.json"), *results.glob("rehearsal/*/benchmark.json")]
    return [ResultsFolder(path.parent) for path in sorted(found)]
