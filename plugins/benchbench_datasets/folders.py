"""Own images and masks in folders, found by patterns of their names; a benchmark file describes them.

Layout: files below <root> in NIfTI, NRRD, TIFF or PNG, named as the patterns say.
Source: the user's files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from benchbench import Case, CaseRef, DataError, DataNotFoundError, DatasetPlugin, Task, hookimpl
from benchbench_datasets.case_files import natural_order, read_named
from benchbench_datasets.folder_declared import Declared, declaration_problems, labelled_in, unused_patterns
from benchbench_datasets.folder_files import CaseFiles, FoundFiles, find_files, missing_files
from benchbench_datasets.folder_masks import IGNORE, RegionMasks, ValueMasks, Values
from benchbench_datasets.folder_patterns import channel_names, pattern_problems, reader_problems
from benchbench_datasets.folder_phantom import write_phantom
from benchbench_datasets.folder_table import Row, read_rows
from benchbench_datasets.folder_voxels import Voxels, read_image, read_label, reference_of
from benchbench_datasets.name_pattern import NamePattern

PHANTOM = "PHANTOM.json"
"""File in a folder of made-up cases."""
Patterns = dict[str, str]
"""Region -> pattern of its mask files."""


@dataclass(frozen=True)
class Folders:
    """One case per name, the image (C, *space) of all its files; slices are stacked along the first axis.

    Cases with an image and no mask can be predicted, and are refused in training.
    """

    root: Path
    _: KW_ONLY
    images: str | tuple[str, ...] = "images/{case}.png"
    """Pattern of the image files, or a pattern for each channel; its fields are {case}, {patient} and {slice}, and
    * is any text. The slices of a case are stacked."""
    masks: str | Patterns = "masks/{case}.png"
    """Pattern of the mask files, or region -> pattern where each region has a file of its own."""
    readers: Patterns | None = None
    """Reader -> pattern of the mask files of this expert, in place of `masks`. A case needs those of one."""
    reference: str = "majority"
    """The label that is trained on and scored against where there are readers: that of one of them, "majority" or
    "staple"."""
    regions: dict[str, Values] | None = None
    """Region -> its value or values in the mask: numbers, or colours like "#ff0000"; by default one region,
    "foreground", of value 255. Not used where each region has a file of its own."""
    channels: tuple[str, ...] = ()
    """Names of the channels; by default one for each pattern of `images`."""
    background: Values = ()
    """Values of the mask, in addition to 0 or black, that belong to no region."""
    ignore: Values = ()
    """Values of the mask whose voxels are neither trained on nor scored."""
    spacing_mm: tuple[float, ...] = ()
    """Size of a voxel in mm along each axis, for files that do not say it; by default it is not known."""
    table: str = ""
    """A CSV file below the folder with a row for each case or patient."""
    case_column: str = "case"
    """Column of the table with the name of the case, or of the patient if `patient_column` is not given."""
    patient_column: str = ""
    """Column of the table with the patient of each case; by default a patient is {patient}, or else the case."""
    labelled_regions: Declared | None = None
    """Case, or a pattern like "site_a_*" -> the regions that are labelled in it; the others have no part in its
    loss and scores. By default all regions are labelled."""
    labelled_column: str = ""
    """Column of the table with the labelled regions of each case, separated by spaces; all where it is empty."""
    phantom_shape: tuple[int, ...] = ()
    """Typical size of a case along each axis, for made-up cases; `--rehearse` measures it if there are files."""
    phantom_spacing_mm: tuple[float, ...] = ()
    """Typical voxel size in mm of made-up cases; measured likewise."""
    phantom_dtype: str = ""
    """Type of the voxels of made-up cases, such as "int16"; measured likewise, or else uint8."""

    def __post_init__(self) -> None:
        problems = [f"{self.root.name}: {key}: {problem}" for key, problem in self._problems()]
        if problems:
            raise DataError(*dict.fromkeys(problems))

    @cached_property
    def task(self) -> Task:
        masks = self._masks
        return Task(
            channels=self.channels or channel_names(self._image_patterns),
            regions=masks.task_regions,
            ignore=masks.task_ignored,
        )

    def cases(self) -> list[CaseRef]:
        """Return the cases that have a mask.

        Raises:
            DataNotFoundError: there are none.
            DataError: a file can belong to two cases, or a case has no patient in the table.
        """
        labelled = [case for case in self._refs if self._has(case.id, self._mask_patterns)]
        if not labelled:
            raise DataNotFoundError(self._nothing_found())
        if not (self.root / PHANTOM).exists():  # made-up cases have other names
            problems = list(unused_patterns(self.labelled_regions or {}, self._refs))
            if problems:
                raise DataError(*(f"{self.root.name}: {problem}" for problem in problems))
        return labelled

    def files(self, case_id: str) -> list[Path]:
        """Return the images and the masks, slice by slice, and the table if it declares what is labelled."""
        files = self._files(case_id, [*self._image_patterns, *self._masks_of(case_id)])
        return [*files, self.root / self.table] if self.labelled_column else files

    def load(self, case_id: str) -> Case:
        self.files(case_id)  # refuses a case that is not complete
        image = self._read_image(case_id)
        if self.readers:
            return self._load_readers(case_id, self.readers, image)
        masks, patterns = self._masks, self._masks_of(case_id)
        if isinstance(masks, RegionMasks) and not isinstance(self.masks, str):
            names = [name for name in masks.names if NamePattern(self.masks[name]) in patterns]
            masks = replace(masks, files=tuple(names))
        label = read_named(self.root, read_label, self._planes(case_id, patterns), masks, like=image)
        return image.case(label, labelled_regions=self._labelled(case_id))

    def _load_readers(self, case_id: str, readers: Patterns, image: Voxels) -> Case:
        """Return a case with the label of each reader, and the reference that is made of them."""
        labels = {}
        patterns = self._masks_of(case_id)
        for name, text in readers.items():
            if NamePattern(text) in patterns:
                planes = self._planes(case_id, [NamePattern(text)])
                labels[name] = read_named(self.root, read_label, planes, self._masks, like=image)
        reference = read_named(self.root, reference_of, labels, self.reference, case_id=case_id)
        declared = self._labelled(case_id)
        return image.case(reference, labelled_regions=declared, reader_labels=labels)

    def image_cases(self) -> list[CaseRef]:
        """Return all cases that have an image."""
        imaged = [case for case in self._refs if self._has(case.id, self._image_patterns)]
        if not imaged:
            raise DataNotFoundError(self._nothing_found())
        return imaged

    def image_files(self, case_id: str) -> list[Path]:
        return self._files(case_id, self._image_patterns)

    def load_image(self, case_id: str) -> Case:
        image = self._read_image(case_id)
        label = np.zeros(image.values.shape[1:], np.uint8)
        return image.case(label)

    def metadata(self) -> dict[str, dict[str, str]]:
        """Return the other columns of the table by patient; of several cases, those in which all are equal."""
        columns: dict[str, dict[str, str]] = {}
        for case in self._refs:
            row = self._row(case)
            if row is None:
                continue
            values = {
                name: value for name, value in row.items() if name not in {self.case_column, self.patient_column}
            }
            known = columns.setdefault(case.patient, values)
            columns[case.patient] = dict(known.items() & values.items())
        return columns

    @cached_property
    def _image_patterns(self) -> list[NamePattern]:
        texts = [self.images] if isinstance(self.images, str) else self.images
        return [NamePattern(text) for text in texts]

    @cached_property
    def _mask_patterns(self) -> list[NamePattern]:
        texts = [self.masks] if isinstance(self.masks, str) else self.masks.values()
        texts = self.readers.values() if self.readers else texts
        return [NamePattern(text) for text in texts]

    def _masks_of(self, case_id: str) -> list[NamePattern]:
        """Return the patterns of the masks of a case: where each region has a file, those of labelled ones."""
        if self.readers:
            return [pattern for pattern in self._mask_patterns if pattern in self._by_id[case_id].paths]
        labelled = self._labelled(case_id)
        if labelled is None or isinstance(self.masks, str):
            return self._mask_patterns
        return [NamePattern(text) for name, text in self.masks.items() if name in {*labelled, IGNORE}]

    def _labelled(self, case_id: str) -> tuple[str, ...] | None:
        """Return the regions that are labelled in a case; None: all."""
        if not self.labelled_regions and not self.labelled_column:
            return None
        case = next(case for case in self._refs if case.id == case_id)
        row, column, where = self._row(case), self.labelled_column, self.root.name
        return labelled_in(case_id, self.labelled_regions or {}, row, column=column, where=where)

    @cached_property
    def _masks(self) -> ValueMasks | RegionMasks:
        if isinstance(self.masks, str):
            regions = {"foreground": 255} if self.regions is None else self.regions
            return ValueMasks(regions=regions, background=self.background, ignore=self.ignore)
        return RegionMasks(names=tuple(self.masks))

    def _problems(self) -> Iterator[tuple[str, str]]:
        """Yield (parameter, problem) for parameters that contradict each other."""
        yield from pattern_problems(self._image_patterns, self._mask_patterns)
        count = len(self._image_patterns)
        if count > 1 and self.channels and len(self.channels) != count:
            yield "channels", f"found {len(self.channels)}, expected {count}, one for each pattern"
        if not isinstance(self.masks, str) and (self.regions or self.ignore):
            yield (
                "regions",
                "found values, but each region has a file of its own; leave `regions` and `ignore` out",
            )
        yield from self._column_problems()
        yield from reader_problems(self.readers or {}, self.reference, has_files=isinstance(self.masks, dict))
        yield from self._masks.problems()
        yield from declaration_problems(self.labelled_regions or {}, tuple(self._masks.task_regions))

    def _column_problems(self) -> Iterator[tuple[str, str]]:
        """Yield (parameter, problem) for columns without a table."""
        for key in ("patient_column", "labelled_column"):
            if getattr(self, key) and not self.table:
                yield key, "found a column without a table; give `table`"

    @cached_property
    def _found(self) -> FoundFiles:
        return find_files(self.root, [*self._image_patterns, *self._mask_patterns])

    @cached_property
    def _by_id(self) -> dict[str, CaseFiles]:
        """Case id -> its files; the id is {case}, with {patient} before it where cases share a name."""
        if self._found.problems:
            raise DataError(*(f"{self.root.name}: {problem}" for problem in self._found.problems))
        counts = Counter(case or patient for patient, case in self._found.cases)
        by_id: dict[str, CaseFiles] = {}
        for (patient, case), files in self._found.cases.items():
            name = case or patient
            by_id[name if counts[name] == 1 else f"{patient}_{case}"] = files
        return by_id

    @cached_property
    def _refs(self) -> list[CaseRef]:
        """All cases, 2 before 10."""
        refs = [CaseRef(name, files.values.get("patient", name)) for name, files in self._by_id.items()]
        refs.sort(key=lambda case: natural_order(case.id))
        if not self.patient_column:
            return refs
        rows = {case.id: self._rows.get(case.id) for case in refs}
        missing = [name for name, row in rows.items() if row is None]
        if missing:
            listed = ", ".join(missing[:5]) + f" and {len(missing) - 5} more" * (len(missing) > 5)
            raise DataError(
                f"{self.root.name}: {self.table}: found no row for {listed}, expected one for each case"
            )
        return [CaseRef(name, row[self.patient_column]) for name, row in rows.items() if row is not None]

    @cached_property
    def _rows(self) -> dict[str, Row]:
        columns = [self.case_column, *filter(None, [self.patient_column, self.labelled_column])]
        return read_rows(self.root, self.table, columns=columns, dataset=self.root.name)

    def _row(self, case: CaseRef) -> Row | None:
        return self._rows.get(case.id if self.patient_column else case.patient, self._rows.get(case.id))

    def _has(self, case_id: str, patterns: Sequence[NamePattern]) -> bool:
        return any(pattern in self._by_id[case_id].paths for pattern in patterns)

    def _files(self, case_id: str, patterns: Sequence[NamePattern]) -> list[Path]:
        """Return the files of a case for these patterns, slice by slice.

        Raises:
            DataError: with every file that is missing.
        """
        case = self._by_id[case_id]
        kinds = ["image" if pattern in self._image_patterns else "mask" for pattern in patterns]
        problems = list(missing_files(case, patterns, kinds, self._file_names))
        if problems:
            raise DataError(*(f"{self.root.name}: {problem}" for problem in problems))
        return [self.root / case.paths[pattern][name] for name in case.slices() for pattern in patterns]

    @cached_property
    def _file_names(self) -> list[str]:
        """The paths of all files of cases below the root."""
        return [
            path for case in self._by_id.values() for by_slice in case.paths.values() for path in by_slice.values()
        ]

    def _planes(self, case_id: str, patterns: Sequence[NamePattern]) -> list[list[Path]]:
        """Return, for each slice of a case, the files of the patterns; one entry where files are no slices."""
        files = self._files(case_id, patterns)
        step = len(patterns)
        return [files[start : start + step] for start in range(0, len(files), step)]

    def _read_image(self, case_id: str) -> Voxels:
        """Return the channels (C, *space) of a case."""
        planes = self._planes(case_id, self._image_patterns)
        return read_named(self.root, read_image, planes, self.task.channels, spacing_mm=self.spacing_mm or None)

    def _nothing_found(self) -> str:
        expected = [pattern.text for pattern in (*self._image_patterns, *self._mask_patterns)]
        return (
            f"{self.root.name}: {self.root}: found no case, expected files like {' and '.join(expected)}; correct"
            " `images`, `masks` or the data root"
        )


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    return [DatasetPlugin(name="folders", open=Folders, source="your own files", phantom=write_phantom)]
