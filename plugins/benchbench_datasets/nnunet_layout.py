"""Datasets in the layout of nnU-Net, and of the Medical Segmentation Decathlon.

Source: nnU-Net v2, documentation/dataset_format.md; http://medicaldecathlon.com
Layout: <root>/dataset.json; <root>/imagesTr/<case>_0000.<ending>, _0001 and so on, a file for each channel, or
    <case>.<ending> with all channels; <root>/labelsTr/<case>.<ending>.
Differs: images of imagesTs can be predicted and are no cases, also where they have labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchbench import Case, CaseRef, DataError, DatasetPlugin, Task, hookimpl
from benchbench.images.input_files import read_text
from benchbench.images.label_table import LabelTable, read_label_table
from benchbench_datasets.folder_declared import Declared
from benchbench_datasets.folder_masks import IGNORE, Values
from benchbench_datasets.folder_phantom import write_phantom as write_folders
from benchbench_datasets.folders import Folders
from benchbench_datasets.name_pattern import NamePattern

_LISTED = "dataset"
"""Key of a dataset.json that lists the files of each case."""
_LABELLED = "labelled_regions"
"""Key of a dataset.json, not one of nnU-Net's own, with the regions that are labelled in some cases."""


@dataclass(frozen=True)
class NnUnetLayout:
    """One case per label file, the image (C, *space) as stored.

    Channels, regions, ignored voxels and the ending of files are those of dataset.json, unless a benchmark file
    gives others. Overlapping regions are lists of label values, as `regions_class_order` needs them.
    """

    root: Path
    _: KW_ONLY
    channels: tuple[str, ...] = ()
    """Names of the channels, in the order of their numbers; by default those of dataset.json."""
    regions: dict[str, Values] | None = None
    """Region -> its label value or values; by default those of dataset.json."""
    ignore: Values = ()
    """Label values of voxels that are neither trained on nor scored; by default `ignore` of dataset.json."""
    file_ending: str = ""
    """Ending of all files, such as ".nii.gz" or ".png"; by default that of dataset.json."""
    patient: str = ""
    """Pattern of the name of a case with the field {patient}, such as "{patient}_*"; by default each case is a
    patient."""

    labelled_regions: Declared | None = None
    """Case, or a pattern like "site_a_*" -> the regions that are labelled in it; the others have no part in its
    loss and scores. By default that of dataset.json, or else all regions are labelled."""
    phantom_shape: tuple[int, ...] = ()
    """Typical size of a case along each axis, for made-up cases; `--rehearse` measures it if there are files."""
    phantom_spacing_mm: tuple[float, ...] = ()
    """Typical voxel size in mm of made-up cases; measured likewise."""
    phantom_dtype: str = ""
    """Type of the voxels of made-up cases, such as "int16"; measured likewise, or else uint8."""

    @property
    def task(self) -> Task:
        if not self.channels or not self.regions:
            raise DataError(
                f"{self.root.name}: its channels and regions are in its dataset.json; give --data-root, or"
                " `channels` and `regions` in the benchmark file"
            )
        return self._folders.task

    def cases(self) -> list[CaseRef]:
        """Return the cases of labelsTr."""
        return [self._with_patient(case) for case in self._folders.cases()]

    def files(self, case_id: str) -> list[Path]:
        """Return the images in the order of their channels, and the label."""
        return self._folders.files(case_id)

    def load(self, case_id: str) -> Case:
        return self._folders.load(case_id)

    def image_cases(self) -> list[CaseRef]:
        """Return the cases of imagesTr, with or without a label."""
        return [self._with_patient(case) for case in self._folders.image_cases()]

    def image_files(self, case_id: str) -> list[Path]:
        return self._folders.image_files(case_id)

    def load_image(self, case_id: str) -> Case:
        return self._folders.load_image(case_id)

    def metadata(self) -> dict[str, dict[str, str]]:
        """Return nothing: the layout has no metadata."""
        return {}

    @cached_property
    def _folders(self) -> Folders:
        ending = self.file_ending or ".nii.gz"
        has_numbers = any(self.root.glob(f"imagesTr/*_0000{ending}"))
        images = [f"imagesTr/{{case}}{ending}"]
        if has_numbers:
            # colour images have all channels in the file of number 0
            count = len(self.channels) if any(self.root.glob(f"imagesTr/*_0001{ending}")) else 1
            images = [f"imagesTr/{{case}}_{number:04}{ending}" for number in range(count)]
        return Folders(
            self.root,
            images=images[0] if len(images) == 1 else tuple(images),
            masks=f"labelsTr/{{case}}{ending}",
            regions=self.regions,
            channels=self.channels,
            ignore=self.ignore,
            labelled_regions=self.labelled_regions,
        )

    def _with_patient(self, case: CaseRef) -> CaseRef:
        if not self.patient:
            return case
        values = NamePattern(self.patient).match(case.id)
        if values is None or "patient" not in values:
            fault = f"found a name that does not fit the pattern '{self.patient}'; correct `patient`"
            raise DataError(f"{self.root.name}: {case.id}: {fault}")
        return CaseRef(case.id, values["patient"])


def describe(root: Path) -> dict[str, Any]:
    """Return the parameters that dataset.json gives.

    Raises:
        DataError: the file is missing, is no JSON, or lacks channels or labels.
    """
    path = root / "dataset.json"
    try:
        content = json.loads(read_text(path, kind="nnU-Net's dataset.json"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: found no JSON ({error}), expected nnU-Net's dataset.json; correct it") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: found no table, expected nnU-Net's dataset.json; correct it")
    if content.get(_LISTED):
        raise DataError(
            f"{path}: found a list of files under '{_LISTED}', expected files in imagesTr and labelsTr; move them"
            " there, or describe them with the layout 'folders'"
        )
    labels = _labels(path, content)
    described = {
        "channels": _channels(path, content),
        "ignore": list(labels.pop(IGNORE, ())),
        "regions": {name: list(values) for name, values in labels.items()},
        "file_ending": content.get("file_ending", ".nii.gz"),
    }
    if _LABELLED in content:
        described[_LABELLED] = _declared(path, content[_LABELLED])
    return described


def _declared(path: Path, declared: object) -> dict[str, list[str]]:
    """Return the labelled regions by the name of a case."""
    if isinstance(declared, Mapping) and all(isinstance(names, list) for names in declared.values()):
        return {str(case): [str(name) for name in names] for case, names in declared.items()}
    expected = "a table of cases and lists of regions"
    raise DataError(f"{path}: {_LABELLED}: found {declared!r}, expected {expected}; correct it")


def _labels(path: Path, content: Mapping[str, Any]) -> LabelTable:
    table = content.get("labels")
    if not isinstance(table, Mapping):
        raise DataError(f"{path}: labels: found {table!r}, expected a table of names and values; correct it")
    try:
        return read_label_table(table)
    except ValueError as error:
        raise DataError(f"{path}: labels.{error}; correct it") from error


def _channels(path: Path, content: Mapping[str, Any]) -> list[str]:
    """Return the names of the channels: `channel_names`, or `modality` in earlier versions."""
    names = content.get("channel_names", content.get("modality"))
    numbers = {str(number) for number in range(len(names))} if isinstance(names, Mapping) else set()
    if not numbers or set(names) != numbers:
        raise DataError(
            f'{path}: channel_names: found {names!r}, expected a name for each of the numbers "0", "1", ...;'
            " correct it"
        )
    ordered = [str(names[number]) for number in sorted(numbers, key=int)]
    if len(set(ordered)) < len(ordered):
        ordered = [f"{name}_{number}" for number, name in enumerate(ordered)]
    return ordered


def write_phantom(
    root: Path,
    *,
    patients: int,
    size: int,
    seed: int,
    channels: tuple[str, ...] = (),
    regions: dict[str, Values] | None = None,
    file_ending: str = "",
    phantom_shape: tuple[int, ...] = (),
    phantom_spacing_mm: tuple[float, ...] = (),
    phantom_dtype: str = "",
) -> None:
    """Write made-up cases with a dataset.json; the same seed gives the same bytes."""
    names = channels or ("image",)
    ending = file_ending or ".nii.gz"
    labels = regions or {"foreground": 1}
    write_folders(
        root,
        patients=patients,
        size=size,
        seed=seed,
        images=tuple(f"imagesTr/{{case}}_{number:04}{ending}" for number in range(len(names))),
        masks=f"labelsTr/{{case}}{ending}",
        regions=labels,
        phantom_shape=phantom_shape,
        phantom_spacing_mm=phantom_spacing_mm,
        phantom_dtype=phantom_dtype,
    )
    content = {
        "channel_names": {str(number): name for number, name in enumerate(names)},
        "labels": {"background": 0, **labels},
        "numTraining": patients,
        "file_ending": ending,
    }
    (root / "dataset.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    source = "doi:10.1038/s41592-020-01008-z"
    return [
        DatasetPlugin(name="nnunet", open=NnUnetLayout, source=source, phantom=write_phantom, describe=describe)
    ]
