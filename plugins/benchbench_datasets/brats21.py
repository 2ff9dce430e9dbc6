"""BraTS 2021 and 2023: glioma on four MRI sequences, skull-stripped and resampled to 1 mm.

Source: Baid et al. 2021, arXiv:2107.02314
Layout: <root>/BraTS2021_<n>/BraTS2021_<n>_{flair,t1,t1ce,t2,seg}.nii.gz or .nii, also one folder deeper; in 2023
    <root>/BraTS-GLI-<n>-<visit>/BraTS-GLI-<n>-<visit>-{t2f,t1n,t1c,t2w,seg}.nii.gz
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from benchbench import Case, CaseRef, DatasetPlugin, Download, Task, hookimpl
from benchbench_datasets.brats import MODALITIES, RELATIVES, Patients, brats_task
from benchbench_datasets.brats_phantom import write_brats21


class Edition(NamedTuple):
    """The names and label values of one year's challenge."""

    pattern: str
    """Pattern of the name of a patient's folder."""
    endings: Mapping[str, str]
    """Modality or "seg" -> the part of its file name that follows the name of the folder."""
    enhancing: int
    """Label value of enhancing tumour."""
    advice: Mapping[int, str]
    """Label value that is refused -> what the user can do about it."""


EDITIONS = {
    2021: Edition(
        pattern="BraTS2021_[0-9]*",
        endings={part: f"_{part}" for part in (*MODALITIES, "seg")},
        enhancing=4,
        advice={
            3: "3 is enhancing tumour from 2023 on, but 4 in 2021: set edition = 2023 for data of 2023; up to 2015"
            " it is non-enhancing tumour: change it to 1"
        },
    ),
    2023: Edition(
        pattern="BraTS-GLI-[0-9]*",
        endings={"flair": "-t2f", "t1": "-t1n", "t1ce": "-t1c", "t2": "-t2w", "seg": "-seg"},
        enhancing=3,
        advice={4: "4 is enhancing tumour in older BraTS data: set edition = 2021 for data of 2021"},
    ),
}


@dataclass(frozen=True)
class Brats21:
    """One case per visit, (4, X, Y, Z) with axes to left, posterior and superior; labels as stored."""

    root: Path
    targets: Literal["regions", "classes"] = field(default="regions", kw_only=True)
    """The scored regions: whole tumour, core and enhancing tumour, which overlap, or the classes within them."""
    edition: Literal[2021, 2023] = field(default=2021, kw_only=True)
    """The year of the challenge, which decides the file names and the label value of enhancing tumour."""

    @property
    def task(self) -> Task:
        return brats_task(MODALITIES, targets=self.targets, enhancing=EDITIONS[self.edition].enhancing)

    def cases(self) -> list[CaseRef]:
        return [CaseRef(id=name, patient=self._patient(name)) for name in self._patients.names()]

    image_cases = cases

    def files(self, case_id: str) -> list[Path]:
        """Return FLAIR, T1, T1 after contrast, T2 and the label."""
        return self._patients.files(case_id, stems=self._stems(case_id), modalities=MODALITIES)

    def image_files(self, case_id: str) -> list[Path]:
        """Return FLAIR, T1, T1 after contrast and T2."""
        stems = self._stems(case_id)
        return self._patients.files(case_id, stems=stems, modalities=MODALITIES, has_label=False)

    def load(self, case_id: str) -> Case:
        return self._patients.load(self.files(case_id))

    def load_image(self, case_id: str) -> Case:
        return self._patients.load_image(self.image_files(case_id))

    def metadata(self) -> dict[str, dict[str, str]]:
        return {}

    def _stems(self, case_id: str) -> dict[str, tuple[str, ...]]:
        return {part: (f"{case_id}{ending}",) for part, ending in EDITIONS[self.edition].endings.items()}

    def _patient(self, name: str) -> str:
        """Return the name of a folder without the number of the visit, which the edition of 2023 appends."""
        return name.rpartition("-")[0] if self.edition == 2023 else name

    @cached_property
    def _patients(self) -> Patients:
        edition = EDITIONS[self.edition]
        return Patients(
            dataset="brats21",
            root=self.root,
            places=(".", "*"),
            pattern=edition.pattern,
            enhancing=edition.enhancing,
            advice=edition.advice,
        )


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    download = Download(
        licence="the challenge's own terms: register at Synapse and accept them, cite its papers",
        page="https://www.synapse.org/brats",
        kaggle="dschettler8845/brats-2021-task1/versions/1",
        kaggle_file="BraTS2021_Training_Data.tar",  # the other archives hold one patient each, also in this one
        steps=(
            "log in at https://www.synapse.org/Synapse:syn27046444 and ask for access to the challenge's data",
            "download the training data and unpack it so that {folder}/BraTS2021_00000 exists",
        ),
        patients=1251,
    )
    source = "arXiv:2107.02314"
    return [
        DatasetPlugin(
            name="brats21",
            open=Brats21,
            source=source,
            relatives=RELATIVES,
            download=download,
            phantom=write_brats21,
        )
    ]
