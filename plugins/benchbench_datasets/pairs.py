"""Cases that are one NIfTI image and one NIfTI label each: how they are found, checked and read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchbench import Case, DataError
from benchbench.images.nifti import Volume, check_same_grid, other_values, read_image, read_label

SUFFIXES = (".nii.gz", ".nii")


def find_cases(paths: Iterable[Path], pattern: str) -> list[str]:
    """The first group of every file name that the pattern matches up to its suffix; once each, 2 before 10.

    In capitals, too: they are no name of a file of these datasets, but must be told rather than passed over.
    """
    names = re.compile(pattern + r"\.nii(?:\.gz)?", re.IGNORECASE)
    found = {match[1] for match in (names.fullmatch(path.name) for path in paths) if match}
    return sorted(found, key=lambda case_id: ([int(number) for number in re.findall(r"\d+", case_id)], case_id))


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The pairs of one dataset, in whose name every problem is told."""

    dataset: str
    root: Path
    values: Mapping[int, int]
    """Label value as stored -> as given; any other is refused."""
    advice: Mapping[int, str]
    """Label value that is refused -> what can be done about it."""

    def files(self, *, image: Path, label: Path) -> list[Path]:
        """Image and label from their paths without the suffix.

        Raises:
            DataError: one of them is not there, or there twice.
        """
        images, labels = _with_suffix(image), _with_suffix(label)
        faults = list(_orphan_faults(images, labels, stems=(image.name, label.name)))
        faults += [
            (paths[0], f"found {paths[1].name} beside it, expected one of the two; move the other away")
            for paths in (images, labels)
            if len(paths) > 1
        ]
        if faults:
            raise DataError(*(self._problem(path or image, fault) for path, fault in faults))
        return [*images, *labels]

    def load(self, files: Sequence[Path]) -> Case:
        """The case of an image and a label, on the axes as stored.

        Raises:
            DataError: with every fault of the two files.
        """
        image, label = self._read(read_image, files[0]), self._read(read_label, files[1])
        names = [path.relative_to(self.root).as_posix() for path in files]
        decoded = {
            name: each for name, each in zip(names, (image, label), strict=True) if isinstance(each, Volume)
        }
        problems = [problem for each in (image, label) if isinstance(each, DataError) for problem in each.problems]
        problems += [f"{self.dataset}: {problem}" for problem in check_same_grid(decoded)]
        if isinstance(label, Volume) and (fault := self._value_fault(label)):
            problems.append(self._problem(files[1], fault))
        if problems:
            raise DataError(*problems) from next(
                (each for each in (image, label) if isinstance(each, DataError)), None
            )
        assert isinstance(image, Volume)
        assert isinstance(label, Volume)
        given = np.zeros_like(label.voxels, dtype=np.uint8)
        for stored, value in self.values.items():
            given[label.voxels == stored] = value
        return Case(image=image.voxels[None], label=given, affine=image.affine, spacing_mm=image.spacing_mm)

    def _read(self, read: Callable[[Path], Volume], path: Path) -> Volume | DataError:
        try:
            return read(path)
        except DataError as error:
            told = DataError(*(self._problem(path, each.removeprefix(f"{path}: ")) for each in error.problems))
            told.__cause__ = error
            return told

    def _value_fault(self, label: Volume) -> str | None:
        values, counts = np.unique(other_values(label.voxels, self.values), return_counts=True)
        counted = zip(values.tolist(), counts.tolist(), strict=True)
        odd = dict(counted)
        if not odd:
            return None
        listed = ", ".join(f"{value} ({count} voxels)" for value, count in list(odd.items())[:4])
        kinds = f"{len(odd)} other values, {listed}" if len(odd) > 4 else listed
        advice = dict.fromkeys(self.advice[value] for value in odd if value in self.advice)
        expected = ", ".join(str(value) for value in sorted(self.values))
        return f"found {kinds}, expected only {expected}; {'; '.join(advice) or 'copy it from the archive again'}"

    def _problem(self, path: Path, fault: str) -> str:
        return f"{self.dataset}: {path.relative_to(self.root).as_posix()}: {fault}"


def _with_suffix(stem: Path) -> list[Path]:
    paths = [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]
    return [path for path in paths if path.is_file() or path.is_symlink()]


def _orphan_faults(
    images: list[Path], labels: list[Path], *, stems: tuple[str, str]
) -> Iterator[tuple[Path | None, str]]:
    """(file, fault); None where there is neither file."""
    image, label = stems
    if not images and not labels:
        yield (
            None,
            f"found no file, expected {image}{SUFFIXES[0]} and {label}{SUFFIXES[0]}; copy both from the archive",
        )
    elif not labels:
        yield images[0], f"found no label, expected {label}{SUFFIXES[0]} for it; copy the label from the archive"
    elif not images:
        yield labels[0], f"found no image, expected {image}{SUFFIXES[0]} for it; copy the image from the archive"
