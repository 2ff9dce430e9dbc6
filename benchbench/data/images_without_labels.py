"""The images of a dataset, with or without labels, for predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbench.contract import Case, CaseRef, Dataset, ImageReader, Task
from benchbench.errors import DataError
from benchbench.registry.faults import plugin_faults


@dataclass(frozen=True)
class Images:
    """A dataset whose cases are images, also those without a label where its plugin can read these."""

    name: str
    dataset: Dataset

    @property
    def task(self) -> Task:
        with plugin_faults(self.name, "task", DataError):
            return self.dataset.task

    def cases(self) -> Sequence[CaseRef]:
        with plugin_faults(self.name, "image_cases()", DataError):
            if isinstance(self.dataset, ImageReader):
                return [CaseRef(*case) for case in self.dataset.image_cases()]
            return [CaseRef(*case) for case in self.dataset.cases()]

    def files(self, case_id: str) -> Sequence[Path]:
        with plugin_faults(self.name, f"image_files({case_id!r})", DataError):
            if isinstance(self.dataset, ImageReader):
                return [Path(path) for path in self.dataset.image_files(case_id)]
            return [Path(path) for path in self.dataset.files(case_id)]

    def load(self, case_id: str) -> Case:
        """Read a case; `load_case` turns what a plugin raises into a DataError."""
        if isinstance(self.dataset, ImageReader):
            return self.dataset.load_image(case_id)
        return self.dataset.load(case_id)

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        return {}
