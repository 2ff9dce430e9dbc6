"""HVSMR 2016: myocardium and blood pool on 3D MRI of patients with congenital heart disease.

Source: Pace et al. 2015, doi:10.1007/978-3-319-24574-4_10
Layout: <root>/training_axial_crop_pat<n>.nii.gz and training_axial_crop_pat<n>-label.nii.gz, n = 0 to 9, likewise
    training_axial_full_pat<n> and training_sa_crop_pat<n>. The testing_* images have no labels and are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchbench import Case, CaseRef, DataNotFoundError, DatasetPlugin, Download, Task, hookimpl
from benchbench_datasets.cardiac_phantom import write_hvsmr_2016
from benchbench_datasets.pairs import Pairs, find_cases

GREAT_VESSELS = {
    64: "64 is the aorta: set great_vessels to 'blood_pool' or 'background'",
    71: "71 is the pulmonary artery: set great_vessels to 'blood_pool' or 'background'",
}


@dataclass(frozen=True)
class Cardiac:
    """One case per patient, (1, P, I, R): the axes run to posterior, inferior and right, in the axial files too.

    Labels are 0, 1 and 2; a variant tells the aorta (64) and the pulmonary artery (71) from the blood pool.
    """

    root: Path
    view: Literal["axial_crop", "axial_full", "sa_crop"] = field(default="axial_crop", kw_only=True)
    """Which files of a patient are read."""
    great_vessels: Literal["refuse", "blood_pool", "background"] = field(default="refuse", kw_only=True)
    """What labels 64 and 71 are read as."""
    task = Task(channels=("ssfp",), regions={"myocardium": (1,), "blood_pool": (2,)})

    def cases(self) -> list[CaseRef]:
        stem = f"training_{self.view}_"
        patients = find_cases(self.root.glob(f"{stem}pat*"), rf"{stem}(pat\d+)(?:-label)?")
        if not patients:
            raise DataNotFoundError(
                f"cardiac: {self.root}: found no file {stem}pat*.nii.gz, expected an image and a label for "
                "each patient; unpack the training files there, or choose another 'view'"
            )
        return [CaseRef(id=patient, patient=patient) for patient in patients]

    def files(self, case_id: str) -> list[Path]:
        """Image and label."""
        image = self.root / f"training_{self.view}_{case_id}"
        return self._pairs().files(image=image, label=image.with_name(f"{image.name}-label"))

    def load(self, case_id: str) -> Case:
        return self._pairs().load(self.files(case_id))

    def metadata(self) -> dict[str, dict[str, str]]:
        return {}

    def _pairs(self) -> Pairs:
        values = {0: 0, 1: 1, 2: 2}
        if self.great_vessels != "refuse":
            values |= dict.fromkeys(GREAT_VESSELS, 2 if self.great_vessels == "blood_pool" else 0)
        return Pairs(dataset="cardiac", root=self.root, values=values, advice=GREAT_VESSELS)


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    download = Download(
        licence="no licence is stated, and the site is gone: hvsmr2 holds the same scans under CC BY 4.0",
        page="http://segchd.csail.mit.edu",
        steps=(
            "ask whoever has kept a copy of the training files: the site that gave them out is gone",
            "put training_axial_crop_pat0.nii.gz, its -label.nii.gz and those of the others into {folder}",
            "or take hvsmr2 instead, which can be downloaded and has other labels",
        ),
        patients=10,
    )
    source = "doi:10.1007/978-3-319-24574-4_10"
    return [
        DatasetPlugin(name="cardiac", open=Cardiac, source=source, download=download, phantom=write_hvsmr_2016)
    ]
