"""The images of a dataset, with or without labels, for predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchbench.contract import Case, CaseRef, ImageReader
from benchbench.data.guarded import Guarded
from benchbench.errors import DataError
from benchbench.registry.faults import plugin_faults


class Images(Guarded):
    """A dataset whose cases are images, also those without a label where its plugin can read these."""

    def cases(self) -> Sequence[CaseRef]:
        if isinstance(self.dataset, ImageReader):
            with plugin_faults(self.name, "image_cases()", DataError):
                return [CaseRef(*case) for case in self.dataset.image_cases()]
        return super().cases()

    def files(self, case_id: str) -> Sequence[Path]:
        if isinstance(self.dataset, ImageReader):
            with plugin_faults(self.name, f"image_files({case_id!r})", DataError):
                return [Path(path) for path in self.dataset.image_files(case_id)]
        return super().files(case_id)

    def load(self, case_id: str) -> Case:
        """Read a case; `load_case` turns what a plugin raises into a DataError."""
        if isinstance(self.dataset, ImageReader):
            return self.dataset.load_image(case_id)
        return super().load(case_id)

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        return {}
