"""Datasets in the layout of BIDS, with masks under `derivatives` or next to the images.

Source: BIDS 1.10, bids-specification.readthedocs.io
Layout: <root>/sub-<subject>[/ses-<session>]/<type>/sub-..._<suffix>.nii.gz; <root>/derivatives/<name>/sub-.../
    sub-..._dseg.nii.gz with the names of its labels in a dseg.tsv, or ..._mask.nii.gz, a file for each region.
Differs: probabilistic masks (`probseg`) are not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchbench import Case, CaseRef, DataError, DataNotFoundError, DatasetPlugin, Task, hookimpl
from benchbench_datasets.bids_files import (
    BidsCase,
    BidsFile,
    Kind,
    find_files,
    group_cases,
    missing_files,
    parse_kind,
)
from benchbench_datasets.bids_labels import MASK_SUFFIXES, default_regions, read_participants
from benchbench_datasets.bids_parameters import folder_problems, kind_problems, region_kinds, region_problems
from benchbench_datasets.bids_phantom import write_phantom
from benchbench_datasets.case_files import read_named
from benchbench_datasets.folder_declared import Declared, declaration_problems, labelled_in, unused_patterns
from benchbench_datasets.folder_masks import IGNORE, RegionMasks, ValueMasks, Values
from benchbench_datasets.folder_voxels import Voxels, read_image, read_label

_DERIVATIVES = "derivatives"
_NOT_IMAGES = {*MASK_SUFFIXES, "probseg"}
_PHANTOM = "PHANTOM.json"
"""File in a folder of made-up cases."""


@dataclass(frozen=True)
class Bids:
    """One case per subject, session and run, the image (C, *space) of its channels; the subject is the patient.

    Cases with an image and no mask can be predicted, and are refused in training.
    """

    root: Path
    _: KW_ONLY
    channels: tuple[str, ...] = ()
    """Suffixes of the images, perhaps with entities, such as "T1w" or "ce-gadolinium_T1w"; by default the only
    kind of images."""
    images: str = ""
    """Folder of the images below the dataset, such as "derivatives/fmriprep"; by default the raw images."""
    derivative: str = ""
    """Folder below `derivatives` with the masks; by default the only one with masks, or that of the images."""
    masks: str = ""
    """Suffix of the masks, perhaps with entities, such as "desc-manual_dseg"; by default the only kind."""
    regions: dict[str, Values] | None = None
    """Region -> its value or values in the masks, or the kind of its mask files, such as "label-lesion_mask"; by
    default those of dseg.tsv, or the labels of mask files."""
    ignore: Values = ()
    """Values of the masks whose voxels are neither trained on nor scored."""
    labelled_regions: Declared | None = None
    """Case, or a pattern like "site01*" -> the regions that are labelled in it; the others have no part in its
    loss and scores. By default all regions are labelled."""
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
        if not self.root.is_dir() and not (self.channels and self.regions):
            raise DataError(
                f"{self.root.name}: its channels and regions are in its files; give --data-root, or `channels` and"
                " `regions` in the benchmark file"
            )
        masks = self._masks
        return Task(channels=self.channel_names, regions=masks.task_regions, ignore=masks.task_ignored)

    def cases(self) -> list[CaseRef]:
        """Return the cases that have a mask.

        Raises:
            DataNotFoundError: there are none.
            DataError: a file can belong to two cases or to none, or channels and masks are not clear.
        """
        labelled = [case for case in self._by_id.values() if not case.files.keys().isdisjoint(self._mask_kinds)]
        if not labelled:
            raise DataNotFoundError(self._no_masks())
        refs = [CaseRef(case.id, case.patient) for case in labelled]
        if self.labelled_regions:
            self._check_declared(self.labelled_regions, refs)
        return refs

    def files(self, case_id: str) -> list[Path]:
        """Return the images in the order of the channels, and the masks."""
        return self._files(case_id, [*self._channel_kinds, *self._masks_of(case_id)])

    def load(self, case_id: str) -> Case:
        self.files(case_id)  # refuses a case that is not complete
        image = self._read_image(case_id)
        kinds = self._masks_of(case_id)
        masks = self._masks
        if isinstance(masks, RegionMasks):
            names = [name for name, kind in zip(masks.names, self._mask_kinds, strict=True) if kind in kinds]
            masks = replace(masks, files=tuple(names))
        label = read_named(self.root, read_label, [self._files(case_id, kinds)], masks, like=image)
        return image.case(label, labelled_regions=self._labelled(case_id))

    def image_cases(self) -> list[CaseRef]:
        """Return all cases that have an image, with or without a mask."""
        if not self._by_id:
            kind = self._channel_kinds[0].text
            raise DataNotFoundError(
                f"{self.root.name}: {self.root}: found no image sub-*_{kind}.nii.gz, expected one for each case;"
                " correct `channels`, `images` or the data root"
            )
        return [CaseRef(case.id, case.patient) for case in self._by_id.values()]

    def image_files(self, case_id: str) -> list[Path]:
        return self._files(case_id, self._channel_kinds)

    def load_image(self, case_id: str) -> Case:
        image = self._read_image(case_id)
        return image.case(np.zeros(image.values.shape[1:], np.uint8))

    def metadata(self) -> dict[str, dict[str, str]]:
        """Return the columns of participants.tsv by subject."""
        return read_participants(self.root)

    def _problems(self) -> Iterator[tuple[str, str]]:
        """Yield (parameter, problem) for parameters that contradict each other."""
        kinds = {"channels": self.channels, "masks": (self.masks,), "regions": region_kinds(self.regions)}
        yield from kind_problems(kinds)
        yield from folder_problems({"images": self.images, "derivative": self.derivative})
        yield from region_problems(self.regions or {}, has_ignored=bool(self.ignore))

    def _check_declared(self, declared: Declared, refs: Sequence[CaseRef]) -> None:
        """Raise DataError with every declaration of `labelled_regions` that fits no region or no case."""
        problems = declaration_problems(declared, tuple(self._masks.task_regions))
        texts = [f"{key}: {problem}" for key, problem in problems]
        if not (self.root / _PHANTOM).exists():  # made-up cases have other names
            texts += unused_patterns(declared, refs)
        if texts:
            raise DataError(*(f"{self.root.name}: {text}" for text in texts))

    @cached_property
    def _channel_kinds(self) -> tuple[Kind, ...]:
        texts: tuple[str, ...] = self.channels
        if not texts:
            kinds = tuple(dict.fromkeys(file.kind for file in self._images))
            if len(kinds) != 1:
                listed = ", ".join(f'"{kind}"' for kind in kinds) or "no image"
                raise DataError(
                    f"{self.root.name}: channels: found {listed}, expected one kind of images; give those that are"
                    f" channels, such as channels = [{listed}]"
                )
            texts = kinds
        return _kinds(texts)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels of the files, or those that were given."""
        return tuple(kind.text for kind in self._channel_kinds)

    @cached_property
    def _images(self) -> list[BidsFile]:
        return [file for file in find_files(self.root, self.images) if file.suffix not in _NOT_IMAGES]

    @cached_property
    def _mask_files(self) -> list[BidsFile]:
        """The masks of the derivative, or those next to the images."""
        folders = [self.derivative] if self.derivative else self._derivatives
        by_folder = {}
        for folder in folders:
            masks = self._masks_in(f"{_DERIVATIVES}/{folder}")
            if masks or self.derivative:
                by_folder[folder] = masks
        if len(by_folder) > 1:
            listed = ", ".join(by_folder)
            raise DataError(
                f"{self.root.name}: derivative: found masks in {listed}, expected one folder of"
                f' `derivatives`; give its name, such as derivative = "{next(iter(by_folder))}"'
            )
        return next(iter(by_folder.values())) if by_folder else self._masks_in(self.images)

    @property
    def _derivatives(self) -> list[str]:
        return sorted(path.name for path in self.root.glob(f"{_DERIVATIVES}/*") if path.is_dir())

    def _masks_in(self, folder: str) -> list[BidsFile]:
        """Return the masks in a folder; where `masks` or `regions` name kinds, those of these kinds."""
        texts = region_kinds(self.regions) or tuple(filter(None, [self.masks]))
        kinds = _kinds(texts)
        files = [file for file in find_files(self.root, folder) if file.suffix in MASK_SUFFIXES]
        if not kinds:
            return files
        return [file for file in files if any(kind.fits(file) for kind in kinds)]

    @cached_property
    def region_values(self) -> dict[str, Values]:
        """Region -> its values, or the kind of its files, of the files or as they were given."""
        if self.regions is not None:
            return self.regions
        if not self._mask_files:
            raise DataNotFoundError(self._no_masks())
        return default_regions(self.root, self._mask_files, self.masks)

    @cached_property
    def _masks(self) -> ValueMasks | RegionMasks:
        masks: ValueMasks | RegionMasks = ValueMasks(regions=self.region_values, background=(), ignore=self.ignore)
        if self.region_values and all(isinstance(value, str) for value in self.region_values.values()):
            masks = RegionMasks(names=tuple(self.region_values))
        problems = [f"{self.root.name}: {key}: {problem}" for key, problem in masks.problems()]
        if problems:
            raise DataError(*problems)
        return masks

    @cached_property
    def _mask_kinds(self) -> tuple[Kind, ...]:
        """The kinds of the masks: one, or one for each region."""
        if isinstance(self._masks, RegionMasks):
            return _kinds(str(value) for value in self.region_values.values())
        kinds = dict.fromkeys(file.kind for file in self._mask_files)
        if not self.masks and len(kinds) > 1:
            listed = ", ".join(kinds)
            raise DataError(
                f"{self.root.name}: masks: found several kinds ({listed}), expected one; give its name, such as"
                f' masks = "{next(iter(kinds))}"'
            )
        return _kinds([self.masks or next(iter(kinds), MASK_SUFFIXES[0])])

    @cached_property
    def _by_id(self) -> dict[str, BidsCase]:
        cases, problems = group_cases(self._images, self._mask_files, self._channel_kinds, self._mask_kinds)
        if problems:
            raise DataError(*(f"{self.root.name}: {problem}" for problem in problems))
        return {case.id: case for case in cases}

    def _no_masks(self) -> str:
        return (
            f"{self.root.name}: {self.root}: found no image with a mask, expected sub-*_dseg.nii.gz or"
            " sub-*_mask.nii.gz below `derivatives`; correct `derivative`, `masks` or the data root"
        )

    def _masks_of(self, case_id: str) -> list[Kind]:
        """Return the kinds of the masks of a case: where each region has a file, those of labelled ones."""
        labelled = self._labelled(case_id)
        if labelled is None or not isinstance(self._masks, RegionMasks):
            return list(self._mask_kinds)
        names = {*labelled, IGNORE}
        return [kind for name, kind in zip(self._masks.names, self._mask_kinds, strict=True) if name in names]

    def _labelled(self, case_id: str) -> tuple[str, ...] | None:
        return labelled_in(case_id, self.labelled_regions or {}, None, column="", where=self.root.name)

    def _files(self, case_id: str, kinds: list[Kind] | tuple[Kind, ...]) -> list[Path]:
        """Return the files of a case for these kinds.

        Raises:
            DataError: with every file that is missing.
        """
        case = self._by_id[case_id]
        expected = {kind: "mask" if kind in self._mask_kinds else "image" for kind in kinds}
        problems = list(missing_files(case, expected))
        if problems:
            raise DataError(*(f"{self.root.name}: {problem}" for problem in problems))
        return [self.root / case.files[kind].path for kind in kinds]

    def _read_image(self, case_id: str) -> Voxels:
        files = self._files(case_id, self._channel_kinds)
        return read_named(self.root, read_image, [files], self.task.channels, spacing_mm=None)


def _kinds(texts: Iterable[str]) -> tuple[Kind, ...]:
    kinds = (parse_kind(text) for text in texts)
    return tuple(kind for kind in kinds if kind is not None)


def describe(
    root: Path,
    *,
    channels: tuple[str, ...] = (),
    images: str = "",
    derivative: str = "",
    masks: str = "",
    regions: dict[str, Values] | None = None,
) -> dict[str, Any]:
    """Return the channels and regions that the files give, with the parameters of a benchmark.

    Raises:
        DataError: the files do not say which they are.
    """
    layout = Bids(root, channels=channels, images=images, derivative=derivative, masks=masks, regions=regions)
    return {"channels": list(layout.channel_names), "regions": dict(layout.region_values)}


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    source = "doi:10.1038/sdata.2016.44"
    return [DatasetPlugin(name="bids", open=Bids, source=source, phantom=write_phantom, describe=describe)]
