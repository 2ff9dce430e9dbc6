"""HVSMR-2.0: chambers and great vessels on 3D MRI of 60 patients with congenital heart disease.

Source: Pace et al. 2024, doi:10.1038/s41597-024-03469-9; files doi:10.6084/m9.figshare.c.7074755, CC BY 4.0
Layout: <root>/cropped/pat<n>_cropped.nii.gz and pat<n>_cropped_seg.nii.gz, n = 0 to 59;
    <root>/cropped_norm/pat<n>_cropped_norm.nii.gz and pat<n>_cropped_seg.nii.gz, intensities normalised.
    The files pat<n>_cropped_seg_endpoints.nii.gz are not read.

The myocardium has no label here, so scores are not interchangeable with those on HVSMR 2016. Its ten training
patients are among the 60: a model trained on one must not be tested on the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchbench import Archive, CaseRef, DataNotFoundError, DatasetPlugin, Download, Task, hookimpl
from benchbench_datasets.cardiac_phantom import write_hvsmr2
from benchbench_datasets.pairs import Pairs, find_case_ids, load_image_of_pair, load_pair

REGIONS = (
    "left_ventricle",
    "right_ventricle",
    "left_atrium",
    "right_atrium",
    "aorta",
    "pulmonary_artery",
    "superior_vena_cava",
    "inferior_vena_cava",
)

SIZE_BYTES = 1_600_000_000
"""Published size of the whole collection."""


@dataclass(frozen=True)
class Hvsmr2:
    """One case per patient, the image (1, *space); a region may be absent, as in a heart with one ventricle."""

    root: Path
    normalised: bool = field(default=False, kw_only=True)
    """Read the images of cropped_norm, whose intensities are normalised."""
    task = Task(channels=("ssfp",), regions={name: (value,) for value, name in enumerate(REGIONS, start=1)})

    def cases(self) -> list[CaseRef]:
        kind = self._kind()
        folder = self.root / kind
        patients = find_case_ids(folder.glob("pat*"), rf"(pat\d+)_(?:{kind}|cropped_seg)")
        if not patients:
            other = str(not self.normalised).lower()
            raise DataNotFoundError(
                f"hvsmr2: {folder}: found no file pat*_{kind}.nii.gz, expected one for each patient; unpack it "
                f"there, or set 'normalised' to {other}"
            )
        return [CaseRef(id=patient, patient=patient) for patient in patients]

    image_cases = cases

    def files(self, case_id: str) -> list[Path]:
        """Return the image and the label."""
        folder = self.root / self._kind()
        image, label = folder / f"{case_id}_{self._kind()}", folder / f"{case_id}_cropped_seg"
        return self.pairs.files(image=image, label=label)

    def image_files(self, case_id: str) -> list[Path]:
        """Return the image."""
        return self.pairs.image_files(self.root / self._kind() / f"{case_id}_{self._kind()}")

    load = load_pair
    load_image = load_image_of_pair

    def metadata(self) -> dict[str, dict[str, str]]:
        return {}

    def _kind(self) -> str:
        return "cropped_norm" if self.normalised else "cropped"

    @property
    def pairs(self) -> Pairs:
        """The images and their labels; label values are read as stored."""
        return Pairs(dataset="hvsmr2", root=self.root, values={value: value for value in range(9)}, advice={})


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    download = Download(
        licence="CC BY 4.0",
        page="https://doi.org/10.6084/m9.figshare.c.7074755",
        archives=(
            Archive(
                url="doi:10.6084/m9.figshare.25226366/cropped.zip",
                digest=None,
                folder="cropped",
                size_bytes=SIZE_BYTES,
            ),
            Archive(
                url="doi:10.6084/m9.figshare.25226363.v2/cropped_norm.zip",
                digest="md5:6027791717a1ecf51b03e0d84f1acee7",
                folder="cropped_norm",
                size_bytes=SIZE_BYTES,
            ),
        ),
        patients=60,
    )
    source = "doi:10.1038/s41597-024-03469-9"
    return [DatasetPlugin(name="hvsmr2", open=Hvsmr2, source=source, download=download, phantom=write_hvsmr2)]
