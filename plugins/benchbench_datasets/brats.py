"""Patient folders of BraTS, one NIfTI file a modality and one with the labels: how they are found and read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from benchbench import Case, DataError, DataNotFoundError, Task
from benchbench.images.nifti import Volume, check_same_grid, other_values, read_image, read_label
from benchbench.images.stack import Room, Stack

MODALITIES = ("flair", "t1", "t1ce", "t2")
SUFFIXES = (".nii.gz", ".nii")
HIDDEN = (".", "__MACOSX")
AGAIN = "copy it from the archive again"

# the whole tumour shows as oedema around the core, the core as necrosis around what enhances
_NECROSIS, _OEDEMA, _ENHANCING = "#e0312b", "#3aa655", "#f7d038"

Targets = Literal["regions", "classes"]
Stems = Mapping[str, Sequence[str]]
"""Modality or "seg" -> the names without suffix that its file may have."""


def brats_task(channels: Sequence[str], *, targets: Targets, enhancing: int) -> Task:
    """The nested regions that BraTS scores, or the classes they are made of; `enhancing` is that label's value."""
    if targets == "classes":
        classes = {"necrosis": (1,), "oedema": (2,), "enhancing": (enhancing,)}
        colours = dict(zip(classes, (_NECROSIS, _OEDEMA, _ENHANCING), strict=True))
        return Task(channels=tuple(channels), regions=classes, colours=colours)
    regions = {"whole_tumour": (1, 2, enhancing), "tumour_core": (1, enhancing), "enhancing": (enhancing,)}
    colours = dict(zip(regions, (_OEDEMA, _NECROSIS, _ENHANCING), strict=True))
    return Task(channels=tuple(channels), regions=regions, colours=colours)


@dataclass(frozen=True, kw_only=True)
class Patients:
    """The patient folders of one dataset, in whose name every problem is told."""

    dataset: str
    root: Path
    places: tuple[str, ...]
    """Where under the root the patients may be, as patterns; the first place with patients counts."""
    pattern: str
    """Of a patient's folder."""
    enhancing: int
    advice: Mapping[int, str]
    """Label value that is refused -> what it means."""

    @cached_property
    def folder(self) -> Path:
        """The one folder that holds the patients."""
        for place in self.places:
            parents = {path.parent for path in self.root.glob(f"{place}/{self.pattern}/")}
            found = sorted(each for each in parents if not each.relative_to(self.root).name.startswith(HIDDEN))
            if len(found) > 1:
                names = ", ".join(self._relative(path) for path in found)
                raise DataError(
                    f"{self.dataset}: {self.root}: found patients in {names}, expected them in one folder; "
                    "move the others away, or name the one folder"
                )
            if found:
                return found[0]
        raise DataNotFoundError(
            f"{self.dataset}: {self.root}: found no folder {self.pattern} there or below, expected one for "
            "each patient; unpack the training data there"
        )

    def names(self) -> list[str]:
        """Of all patient folders, 2 before 10."""
        names = [path.name for path in self.folder.glob(f"{self.pattern}/")]
        return sorted(names, key=lambda name: ([int(number) for number in re.findall(r"\d+", name)], name))

    def files(self, case_id: str, *, stems: Stems, wanted: Sequence[str]) -> list[Path]:
        """The files of these modalities, and last the labels'.

        Raises:
            DataError: one is missing or there twice, or a NIfTI file has a name that no stem explains.
        """
        folder = self.folder / case_id
        found = {path.name for path in folder.glob("*") if _is_nifti(path.name)}
        names = {part: sorted(found & _with_suffixes(stems[part])) for part in stems}
        faults = [*_missing(stems, names, wanted=[*wanted, "seg"]), *_unexplained(stems, found)]
        if faults:
            raise DataError(*(self._problem(folder / name, fault) for name, fault in faults))
        return [folder / names[part][0] for part in (*wanted, "seg")]

    def load(self, files: Sequence[Path], *, slices: tuple[int, int] | None = None) -> Case:
        """(C, X, Y, Z) and (X, Y, Z) from the files of the modalities and last the labels', on the axes as stored.

        Raises:
            DataError: with every fault of the files.
        """
        stack = Stack(len(files) - 1)
        outcomes = [_read(path, stack.room(number)) for number, path in enumerate(files[:-1])]
        outcomes.append(_read(files[-1]))
        readable = {
            str(path): each for path, each in zip(files, outcomes, strict=True) if isinstance(each, Volume)
        }
        problems = [problem for each in outcomes if isinstance(each, DataError) for problem in each.problems]
        problems += check_same_grid(readable)
        label = readable.get(str(files[-1]))
        fault = self._label_fault(label, slices=slices) if label else None
        if fault:
            problems.append(f"{files[-1]}: {fault}")
        if problems:
            told = (f"{self.dataset}: {problem.replace(f'{self.root}/', '')}" for problem in problems)
            raise DataError(*told) from next((each for each in outcomes if isinstance(each, DataError)), None)
        return _case(list(readable.values()), stack, slices=slices)

    def has_enhancing(self, label: Path) -> bool:
        """Whether any voxel is labelled as enhancing tumour."""
        volume = _read(label)
        if isinstance(volume, DataError):
            raise DataError(*(self._problem(label, each.removeprefix(f"{label}: ")) for each in volume.problems))
        return bool((volume.voxels == self.enhancing).any())

    def _label_fault(self, label: Volume, *, slices: tuple[int, int] | None) -> str | None:
        allowed = [0, 1, 2, self.enhancing]
        odd = other_values(label.voxels, allowed)
        if odd.size:
            values, counts = (each.tolist() for each in np.unique(odd, return_counts=True))
            listed = ", ".join(
                f"{value} ({count} voxels)" for value, count in zip(values[:4], counts, strict=False)
            )
            more = f" and {len(values) - 4} more values" if len(values) > 4 else ""
            todo = "; ".join(self.advice[value] for value in values if value in self.advice) or AGAIN
            return f"found label {listed}{more}, expected only 0, 1, 2 and {self.enhancing}; {todo}"
        depth = label.voxels.shape[-1]
        if slices and slices[1] > depth:
            return f"found {depth} slices, expected at least {slices[1]}; lower the end of 'slices'"
        return None

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _problem(self, path: Path, fault: str) -> str:
        return f"{self.dataset}: {self._relative(path)}: {fault}"


def _is_nifti(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _with_suffixes(stems: Sequence[str]) -> set[str]:
    return {f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES}


def _missing(stems: Stems, names: Mapping[str, list[str]], *, wanted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(file, fault); the file is "" where it is not there."""
    for part in wanted:
        expected = f"{' or '.join(stems[part])}{SUFFIXES[0]} or {SUFFIXES[1]}"
        if not names[part]:
            todo = f"{AGAIN}; a patient of the validation data has none" if part == "seg" else AGAIN
            yield "", f"found no file of '{part}', expected {expected}; {todo}"
        for name in names[part][1:]:
            yield name, f"found {names[part][0]} beside it, expected one of the two; move the other away"


def _unexplained(stems: Stems, found: set[str]) -> Iterator[tuple[str, str]]:
    """(file, fault)"""
    explained = {name for each in stems.values() for name in _with_suffixes(each)}
    for name in sorted(found - explained):
        yield (
            name,
            f"found a name of no modality, expected {stems['seg'][0]}.nii.gz or the like; rename or move it",
        )


def _read(path: Path, room: Room | None = None) -> Volume | DataError:
    """An image, into the room it is given, or else labels."""
    try:
        return read_image(path, room=room) if room else read_label(path)
    except DataError as error:
        return error


def _case(volumes: Sequence[Volume], stack: Stack, *, slices: tuple[int, int] | None) -> Case:
    """The last is the label, and its affine may lack the sform: the case has that of the images."""
    start, stop = slices or (0, volumes[0].voxels.shape[-1])
    image = stack.stacked([volume.voxels for volume in volumes[:-1]])[..., start:stop]
    affine = volumes[0].affine.copy()
    affine[:3, 3] += affine[:3, 2] * start
    label = volumes[-1].voxels[..., start:stop].astype(np.uint8, order="K", copy=False)
    return Case(image=image, label=label, affine=affine, spacing_mm=volumes[0].spacing_mm)
