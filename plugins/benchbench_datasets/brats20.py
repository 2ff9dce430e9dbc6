"""BraTS 2020: glioma on four MRI sequences, skull-stripped and resampled to 1 mm.

Source: Menze et al. 2015, doi:10.1109/TMI.2014.2377694; Bakas et al. 2018, arXiv:1811.02629
Layout: <root>/BraTS20_Training_<n>/BraTS20_Training_<n>_{flair,t1,t1ce,t2,seg}.nii or .nii.gz, also under
    MICCAI_BraTS2020_TrainingData, alone or in BraTS2020_TrainingData; beside them name_mapping.csv and
    survival_info.csv. In the Kaggle copy the labels of patient 355 are in W39_1998.09.19_Segm.nii.
"""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from benchbench import (
    Case,
    CaseRef,
    DataError,
    DataNotFoundError,
    DatasetPlugin,
    Download,
    IncompatibleError,
    Task,
    hookimpl,
)
from benchbench_datasets.brats import MODALITIES, Patients, brats_task
from benchbench_datasets.brats_phantom import write_brats20

PLACES = (".", "MICCAI_BraTS2020_TrainingData", "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData")
RENAMED_SEG = {"BraTS20_Training_355": "W39_1998.09.19_Segm"}
TABLES = {"name_mapping.csv": "BraTS_2020_subject_ID", "survival_info.csv": "Brats20ID"}
"""File of metadata -> its column of patients."""
ADVICE = {3: "3 is enhancing tumour only from 2023 on, which brats21 reads with edition = 2023; here it is 4"}


@dataclass(frozen=True)
class Brats20:
    """One case per patient, (C, X, Y, Z) with axes to left, posterior and superior; labels as stored."""

    root: Path
    targets: Literal["regions", "classes"] = field(default="regions", kw_only=True)
    """Scored are whole tumour, core and enhancing tumour, which overlap, or the classes that they consist of."""
    modalities: tuple[str, ...] = field(default=MODALITIES, kw_only=True)
    """The channels, in this order."""
    require: Literal["", "enhancing"] = field(default="", kw_only=True)
    """With "enhancing", patients without enhancing tumour are left out; which, is in `dropped` and logged."""
    slices: tuple[int, int] | None = field(default=None, kw_only=True)
    """First axial slice, counted from 0, and the one after the last."""

    def __post_init__(self) -> None:
        known, found = ", ".join(MODALITIES), ", ".join(self.modalities)
        if (
            not self.modalities
            or len(set(self.modalities)) < len(self.modalities)
            or set(self.modalities) - {*MODALITIES}
        ):
            raise IncompatibleError(
                f"brats20: modalities: found '{found}', expected some of {known}, each once; choose"
            )
        if self.slices and not 0 <= self.slices[0] < self.slices[1]:
            raise IncompatibleError(
                f"brats20: slices: found {self.slices}, expected 0 <= first < end; exchange them"
            )

    @property
    def task(self) -> Task:
        return brats_task(self.modalities, targets=self.targets, enhancing=4)

    def cases(self) -> list[CaseRef]:
        names = [name for name in self._patients.names() if name not in self.dropped]
        if not names:
            raise DataNotFoundError(
                f"brats20: {self.root}: found no patient with enhancing tumour among {len(self.dropped)}, "
                "expected some; leave out 'require'"
            )
        return [CaseRef(id=name, patient=name) for name in names]

    @cached_property
    def dropped(self) -> frozenset[str]:
        """The patients that `require` leaves out; reads the labels of all patients, once.

        Raises:
            DataError: with every fault of these files.
        """
        if not self.require:
            return frozenset()
        names = self._patients.names()
        problems: list[str] = []
        dropped: list[str] = []
        for name in names:
            try:
                if not self._patients.has_enhancing(self.files(name)[-1]):
                    dropped.append(name)
            except DataError as error:
                problems += error.problems
        if problems:
            raise DataError(*problems)
        told = "brats20: %d of %d patients have no enhancing tumour and are left out: %s"
        logging.getLogger(__name__).warning(told, len(dropped), len(names), ", ".join(dropped))
        return frozenset(dropped)

    def files(self, case_id: str) -> list[Path]:
        """The modalities in their order, then the labels."""
        stems = {part: [f"{case_id}_{part}"] for part in (*MODALITIES, "seg")}
        stems["seg"] += [RENAMED_SEG[case_id]] if case_id in RENAMED_SEG else []
        return self._patients.files(case_id, stems=stems, wanted=self.modalities)

    def load(self, case_id: str) -> Case:
        return self._patients.load(self.files(case_id), slices=self.slices)

    def metadata(self) -> dict[str, dict[str, str]]:
        """The columns of both tables but their keys; a patient whom neither names is left out."""
        tables = [self._rows(name, key=key) for name, key in TABLES.items()]
        joined = {name: {**tables[0].get(name, {}), **tables[1].get(name, {})} for name in self._patients.names()}
        return {name: row for name, row in joined.items() if row}

    def _rows(self, name: str, *, key: str) -> dict[str, dict[str, str]]:
        """Patient -> row; empty where there is no such file."""
        path = self._patients.folder / name
        if not path.is_file():
            return {}
        with path.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
            rows = list(csv.DictReader(file))
        where = f"brats20: {path.relative_to(self.root).as_posix()}"
        if odd := [str(n) for n, row in enumerate(rows, start=2) if None in row or None in row.values()]:
            raise DataError(
                f"{where}: found row {', '.join(odd)} of another length than the header, expected equal lengths; "
                "copy it from the archive again"
            )
        if rows and key not in rows[0]:
            raise DataError(f"{where}: found no column {key}, expected one; copy it from the archive again")
        return {row.pop(key): row for row in rows}

    @cached_property
    def _patients(self) -> Patients:
        pattern = "BraTS20_Training_[0-9]*"
        return Patients(
            dataset="brats20", root=self.root, places=PLACES, pattern=pattern, enhancing=4, advice=ADVICE
        )


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    download = Download(
        licence="the challenge's own terms: register with CBICA or Synapse and accept them, cite its papers",
        page="https://www.med.upenn.edu/cbica/brats2020/data.html",
        kaggle="awsaf49/brats20-dataset-training-validation/versions/1",
        steps=(
            "register at https://www.med.upenn.edu/cbica/brats2020/data.html and ask for the training data",
            "unpack it so that {folder}/MICCAI_BraTS2020_TrainingData/BraTS20_Training_001 exists",
        ),
        patients=369,
    )
    source = "doi:10.1109/TMI.2014.2377694"
    return [DatasetPlugin(name="brats20", open=Brats20, source=source, download=download, phantom=write_brats20)]
