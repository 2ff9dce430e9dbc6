"""A dataset of a plugin that may raise anything: what it raises becomes one line with its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbench.contract import Case, CaseRef, Dataset, Task
from benchbench.errors import DataError
from benchbench.registry.faults import plugin_faults


@dataclass(frozen=True)
class Guarded:
    """A dataset that raises DataError where its plugin raises an exception that benchbench does not define.

    `load` is left to `load_case`, which reads again where storage fails for a moment.
    """

    name: str
    dataset: Dataset

    @property
    def task(self) -> Task:
        with plugin_faults(self.name, "task", DataError):
            return self.dataset.task

    def cases(self) -> Sequence[CaseRef]:
        with plugin_faults(self.name, "cases()", DataError):
            return [CaseRef(*case) for case in self.dataset.cases()]

    def files(self, case_id: str) -> Sequence[Path]:
        with plugin_faults(self.name, f"files({case_id!r})", DataError):
            return [Path(path) for path in self.dataset.files(case_id)]

    def load(self, case_id: str) -> Case:
        return self.dataset.load(case_id)

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        with plugin_faults(self.name, "metadata()", DataError):
            return self.dataset.metadata()
