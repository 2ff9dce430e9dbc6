"""BraTS 2020: glioma on four MRI sequences, skull-stripped and resampled to 1 mm.

Source: Menze et al. 2015, doi:10.1109/TMI.2014.2377694; Bakas et al. 2018, arXiv:1811.02629
Layout: <root>/BraTS20_Training_<n>/BraTS20_Training_<n>_{flair,t1,t1ce,t2,seg}.nii or .nii.gz, also under
    MICCAI_BraTS2020_TrainingData or BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData, with name_mapping.csv
    and survival_info.csv in the same folder. In the Kaggle copy the labels of patient 355 are in
    W39_1998.09.19_Segm.nii. Images without labels, for predictions, are in BraTS20_Validation_<n>, also under
    MICCAI_BraTS2020_ValidationData or BraTS2020_ValidationData/MICCAI_BraTS2020_ValidationData.
"""

from __future__ import annotations

import csv
import io
import logging
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
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
from benchbench_datasets.brats import MODALITIES, RELATIVES, Patients, brats_task
from benchbench_datasets.brats_phantom import write_brats20
from benchbench_datasets.case_files import COPY_AGAIN, file_problem, read_table

PATTERN = "BraTS20_Training_[0-9]*"
PLACES = (".", "MICCAI_BraTS2020_TrainingData", "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData")
VALIDATION_PATTERN = "BraTS20_Validation_[0-9]*"
VALIDATION_PLACES = tuple(place.replace("Training", "Validation") for place in PLACES)
RENAMED_SEG = {"BraTS20_Training_355": "W39_1998.09.19_Segm"}
TABLES = {"name_mapping.csv": "BraTS_2020_subject_ID", "survival_info.csv": "Brats20ID"}
"""Metadata file -> its column with the names of the patients."""
ADVICE = {
    3: "3 is enhancing tumour only from 2023 on, which brats21 reads with edition = 2023; up to 2015 it is"
    " non-enhancing tumour: change it to 1"
}


@dataclass(frozen=True)
class Brats20:
    """One case per patient, (C, X, Y, Z) with axes to left, posterior and superior; labels as stored."""

    root: Path
    targets: Literal["regions", "classes"] = field(default="regions", kw_only=True)
    """The scored regions: whole tumour, core and enhancing tumour, which overlap, or the classes within them."""
    modalities: tuple[str, ...] = field(default=MODALITIES, kw_only=True)
    """The modalities to read, which become the channels in this order."""
    require: Literal["", "enhancing"] = field(default="", kw_only=True)
    """With "enhancing", patients without enhancing tumour are left out; `dropped` and the log name them."""
    slices: tuple[int, int] | None = field(default=None, kw_only=True)
    """The first axial slice to keep, counted from 0, and the one after the last; all slices if not set."""

    def __post_init__(self) -> None:
        are_known = set(self.modalities) <= set(MODALITIES)
        are_unique = len(set(self.modalities)) == len(self.modalities)
        if not (self.modalities and are_known and are_unique):
            given, known = ", ".join(self.modalities), ", ".join(MODALITIES)
            raise IncompatibleError(
                f"brats20: modalities: found '{given}', expected some of {known}, each once; choose among them"
            )
        if self.slices and not 0 <= self.slices[0] < self.slices[1]:
            raise IncompatibleError(
                f"brats20: slices: found {self.slices}, expected 0 <= first < end; change one of them"
            )

    @property
    def task(self) -> Task:
        return brats_task(self.modalities, targets=self.targets, enhancing=4)

    def cases(self) -> list[CaseRef]:
        names = [name for name in self._patients.names() if name not in self.dropped]
        if not names:
            raise DataNotFoundError(
                f"brats20: {self.root}: found no patient with enhancing tumour among {len(self.dropped)}, "
                "expected at least one; leave out 'require'"
            )
        return [CaseRef(id=name, patient=name) for name in names]

    def image_cases(self) -> list[CaseRef]:
        """Return the patients of the training data, if there are any, and those of the validation data."""
        names: list[str] = []
        missing: DataNotFoundError | None = None
        for patients in (self._patients, self._validation):
            try:
                names += patients.names()
            except DataNotFoundError as error:
                missing = missing or error
        if not names and missing:
            raise missing
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
        message = "brats20: %d of %d patients have no enhancing tumour and are left out: %s"
        logging.getLogger(__name__).warning(message, len(dropped), len(names), ", ".join(dropped))
        return frozenset(dropped)

    def files(self, case_id: str) -> list[Path]:
        """Return the modalities in their order, then the label."""
        return self._patients.files(case_id, stems=_stems(case_id), modalities=self.modalities)

    def image_files(self, case_id: str) -> list[Path]:
        """Return the modalities in their order."""
        patients = self._patients_with(case_id)
        return patients.files(case_id, stems=_stems(case_id), modalities=self.modalities, has_label=False)

    def load(self, case_id: str) -> Case:
        return self._patients.load(self.files(case_id), slices=self.slices)

    def load_image(self, case_id: str) -> Case:
        return self._patients_with(case_id).load_image(self.image_files(case_id), slices=self.slices)

    def metadata(self) -> dict[str, dict[str, str]]:
        """Return the columns of both tables by patient; a patient that is in neither table is left out.

        Raises:
            DataError: a table has a row of another length than its header, or no column of patients.
        """
        tables = [self._rows(name, patient_column=column) for name, column in TABLES.items()]
        metadata: dict[str, dict[str, str]] = {}
        for name in self._patients.names():
            for table in tables:
                if row := table.get(name):
                    metadata.setdefault(name, {}).update(row)
        return metadata

    def _rows(self, table: str, *, patient_column: str) -> dict[str, dict[str, str]]:
        """Return patient -> the other columns of the row; empty if there is no such file."""
        path = self._patients.folder / table
        text = read_table(path, dataset="brats20", root=self.root)
        try:
            rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        except csv.Error as error:
            fault = f"found no table ({error}), expected one; {COPY_AGAIN}"
            raise DataError(file_problem(path, fault, dataset="brats20", root=self.root)) from error
        # csv.DictReader puts surplus values under the key None, and None for missing values
        uneven = [str(line) for line, row in enumerate(rows, start=2) if None in row or None in row.values()]
        fault = ""
        if uneven:
            fault = f"found row {', '.join(uneven)} of another length than the header, expected equal lengths"
        elif rows and patient_column not in rows[0]:
            fault = f"found no column {patient_column}, expected one"
        if fault:
            raise DataError(file_problem(path, f"{fault}; {COPY_AGAIN}", dataset="brats20", root=self.root))
        return {row.pop(patient_column): row for row in rows}

    @cached_property
    def _patients(self) -> Patients:
        return Patients(
            dataset="brats20", root=self.root, places=PLACES, pattern=PATTERN, enhancing=4, advice=ADVICE
        )

    @cached_property
    def _validation(self) -> Patients:
        return replace(self._patients, places=VALIDATION_PLACES, pattern=VALIDATION_PATTERN)

    def _patients_with(self, case_id: str) -> Patients:
        return self._validation if fnmatch(case_id, VALIDATION_PATTERN) else self._patients


def _stems(case_id: str) -> dict[str, list[str]]:
    stems = {part: [f"{case_id}_{part}"] for part in (*MODALITIES, "seg")}
    if case_id in RENAMED_SEG:
        stems["seg"].append(RENAMED_SEG[case_id])
    return stems


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
    return [
        DatasetPlugin(
            name="brats20",
            open=Brats20,
            source=source,
            relatives=RELATIVES,
            download=download,
            phantom=write_brats20,
        )
    ]
