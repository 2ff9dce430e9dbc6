"""HVSMR 2016: myocardium and blood pool on 3D MRI of patients with congenital heart disease.

Source: Pace et al. 2015, doi:10.1007/978-3-319-24574-4_10
Layout: <root>/training_axial_crop_pat<n>.nii.gz and training_axial_crop_pat<n>-label.nii.gz, n = 0 to 9, likewise
    training_axial_full_pat<n> and training_sa_crop_pat<n>. The images testing_axial_crop_pat<n>.nii.gz have no
    labels and are read for predictions only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchbench import CaseRef, DataNotFoundError, DatasetPlugin, Download, Task, hookimpl
from benchbench_datasets.cardiac_phantom import write_hvsmr_2016
from benchbench_datasets.pairs import Pairs, find_case_ids, load_image_of_pair, load_pair

GREAT_VESSELS = {
    64: "64 is the aorta: set great_vessels to 'blood_pool' or 'background'",
    71: "71 is the pulmonary artery: set great_vessels to 'blood_pool' or 'background'",
}


@dataclass(frozen=True)
class Cardiac:
    """One case per patient, (1, P, I, R): the axes run to posterior, inferior and right, in the axial files too.

    Labels are 0, 1 and 2; in a variant of the files, the aorta (64) and the pulmonary artery (71) have labels of
    their own and are not part of the blood pool.
    """

    root: Path
    view: Literal["axial_crop", "axial_full", "sa_crop"] = field(default="axial_crop", kw_only=True)
    """The files that are read of each patient."""
    great_vessels: Literal["refuse", "blood_pool", "background"] = field(default="refuse", kw_only=True)
    """The region that labels 64 and 71 are read as; "refuse" raises an error where they occur."""
    task = Task(channels=("ssfp",), regions={"myocardium": (1,), "blood_pool": (2,)})

    def cases(self) -> list[CaseRef]:
        patients = self._patients("training")
        if not patients:
            raise DataNotFoundError(
                f"cardiac: {self.root}: found no file training_{self.view}_pat*.nii.gz, expected an image and a "
                "label for each patient; unpack the training files there, or choose another 'view'"
            )
        return [CaseRef(id=patient, patient=patient) for patient in patients]

    def image_cases(self) -> list[CaseRef]:
        """Return the patients of the training files, then those of the testing files that have other numbers."""
        patients = dict.fromkeys([*self._patients("training"), *self._patients("testing")])
        if not patients:
            return self.cases()
        return [CaseRef(id=patient, patient=patient) for patient in patients]

    def files(self, case_id: str) -> list[Path]:
        """Return the image and the label."""
        image = self.root / f"training_{self.view}_{case_id}"
        return self.pairs.files(image=image, label=image.with_name(f"{image.name}-label"))

    def image_files(self, case_id: str) -> list[Path]:
        """Return the image."""
        part = "training" if case_id in self._patients("training") else "testing"
        return self.pairs.image_files(self.root / f"{part}_{self.view}_{case_id}")

    load = load_pair
    load_image = load_image_of_pair

    def _patients(self, part: str) -> list[str]:
        stem = f"{part}_{self.view}_"
        return find_case_ids(self.root.glob(f"{stem}pat*"), rf"{stem}(pat\d+)(?:-label)?")

    def metadata(self) -> dict[str, dict[str, str]]:
        return {}

    @property
    def pairs(self) -> Pairs:
        """The images and their labels, with the great vessels as asked for."""
        values = {0: 0, 1: 1, 2: 2}
        if self.great_vessels == "blood_pool":
            values |= dict.fromkeys(GREAT_VESSELS, 2)
        elif self.great_vessels == "background":
            values |= dict.fromkeys(GREAT_VESSELS, 0)
        return Pairs(dataset="cardiac", root=self.root, values=values, advice=GREAT_VESSELS)


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    download = Download(
        licence="no licence is stated, and the site is gone; hvsmr2 has the same scans under CC BY 4.0",
        page="http://segchd.csail.mit.edu",
        steps=(
            "ask someone who still has a copy of the training files: the site that offered them is gone",
            "put training_axial_crop_pat0.nii.gz, its -label.nii.gz and those of the other patients into {folder}",
            "or use hvsmr2 instead, which can be downloaded but has other labels",
        ),
        patients=10,
    )
    source = "doi:10.1007/978-3-319-24574-4_10"
    return [
        DatasetPlugin(name="cardiac", open=Cardiac, source=source, download=download, phantom=write_hvsmr_2016)
    ]
