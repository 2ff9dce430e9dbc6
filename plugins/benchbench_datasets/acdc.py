"""ACDC: ventricles and myocardium on short-axis cine MRI at the end of diastole and of systole.

Source: Bernard et al. 2018, doi:10.1109/TMI.2018.2837502
Layout: <root>/patient<nnn>/patient<nnn>_frame<nn>.nii.gz and patient<nnn>_frame<nn>_gt.nii.gz, two frames for each
    patient; <root>/patient<nnn>/Info.cfg, a line "key: value" for each of ED, ES, Group, Height, NbFrame and
    Weight. The patients may also be in <root>/training or <root>/database/training. The files
    patient<nnn>_4d.nii.gz are not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchbench import CaseRef, DataError, DataNotFoundError, DatasetPlugin, Download, Task, hookimpl
from benchbench_datasets.cardiac_phantom import write_acdc
from benchbench_datasets.case_files import COPY_AGAIN, file_problem, read_table
from benchbench_datasets.pairs import Pairs, find_case_ids, load_image_of_pair, load_pair

FRAME = r"(patient\d+_frame\d+)(?:_gt)?"


@dataclass(frozen=True)
class Acdc:
    """One case per frame, the image (1, *space) with the slices along the last axis.

    M&Ms numbers the same structures the other way round: 1 is its left ventricle and 3 its right.
    """

    root: Path
    task = Task(channels=("cine",), regions={"right_ventricle": (1,), "myocardium": (2,), "left_ventricle": (3,)})

    def cases(self) -> list[CaseRef]:
        frames = find_case_ids(self._folder().glob("patient*/*"), FRAME)
        return [CaseRef(id=frame, patient=frame.partition("_")[0]) for frame in frames]

    image_cases = cases

    def files(self, case_id: str) -> list[Path]:
        """Return the image and the label."""
        image = self._folder() / case_id.partition("_")[0] / case_id
        return self.pairs.files(image=image, label=image.with_name(f"{case_id}_gt"))

    def image_files(self, case_id: str) -> list[Path]:
        """Return the image."""
        return self.pairs.image_files(self._folder() / case_id.partition("_")[0] / case_id)

    load = load_pair
    load_image = load_image_of_pair

    def metadata(self) -> dict[str, dict[str, str]]:
        """Return the lines of Info.cfg by patient; a patient without such lines is left out.

        Raises:
            DataError: with every line that is not "key: value", or a file cannot be read.
        """
        infos: dict[str, dict[str, str]] = {}
        problems: list[str] = []
        for folder in sorted(self._folder().glob("patient*/")):
            path = folder / "Info.cfg"
            text = read_table(path, dataset="acdc", root=self.root)
            lines = [line for line in text.splitlines() if line]
            malformed = [line for line in lines if ":" not in line]
            problems += [self._line_problem(path, line) for line in malformed]
            if lines:
                infos[folder.name] = dict(_key_and_value(line) for line in lines)
        if problems:
            raise DataError(*problems)
        return infos

    @property
    def pairs(self) -> Pairs:
        """The frames and their labels; label values are read as stored."""
        return Pairs(dataset="acdc", root=self.root, values={value: value for value in range(4)}, advice={})

    def _folder(self) -> Path:
        for folder in (self.root, self.root / "training", self.root / "database" / "training"):
            if find_case_ids(folder.glob("patient*/*"), FRAME):
                return folder
        raise DataNotFoundError(
            f"acdc: {self.root}: found no patient*/patient*_frame*.nii.gz in it, its training or its "
            "database/training, expected two frames with labels for each patient; unpack the archive there"
        )

    def _line_problem(self, path: Path, line: str) -> str:
        fault = f"found line '{line}', expected 'key: value'; {COPY_AGAIN}"
        return file_problem(path, fault, dataset="acdc", root=self.root)


def _key_and_value(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key.strip(), value.strip()


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    download = Download(
        licence="CC BY-NC-SA 4.0",
        page="https://www.creatis.insa-lyon.fr/Challenge/acdc/",
        steps=(
            "read the terms on https://www.creatis.insa-lyon.fr/Challenge/acdc/databases.html",
            "open https://humanheart-project.creatis.insa-lyon.fr/database/#collection/637218c173e9f0047faa00fb",
            "register if you are asked to, and download the folder 'database' there",
            "unpack it so that {folder}/database/training/patient001 exists",
        ),
        patients=100,
    )
    source = "doi:10.1109/TMI.2018.2837502"
    return [DatasetPlugin(name="acdc", open=Acdc, source=source, download=download, phantom=write_acdc)]
