"""Rules for the cases of a dataset and for their files."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from benchbench.contract import Case, CaseRef, Dataset, ImageReader
from benchbench.data.case_checks import check_case
from benchbench.errors import DataError
from benchbench.testing.dataset_rules import Recipe
from benchbench.testing.report import Rule, SkipRuleError, abbreviate, fault

_DECODED_CASES = 3
_SMALL_BYTES = 2**20  # smaller files are tables rather than images

_DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: _truncate(path, keep=0.0),
    "cut short": lambda path: _truncate(path, keep=0.5),
}


@dataclass(frozen=True)
class Files:
    """A dataset plugin and the folder that holds the files of some cases."""

    recipe: Recipe
    root: Path

    @cached_property
    def dataset(self) -> Dataset:
        return self.recipe.open(self.root)

    @cached_property
    def cases(self) -> Sequence[CaseRef]:
        return self.dataset.cases()

    @property
    def decoded(self) -> Sequence[CaseRef]:
        """The first few cases: the ones that the rules decode."""
        return self.cases[:_DECODED_CASES]

    def copy_of(self, files: Iterable[Path], name: str) -> Path:
        """Copy these files, and nothing else, to a folder of the same layout and return it."""
        folder = self.recipe.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        for path in files:
            target = folder / path.relative_to(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        return folder


def case_rules() -> Iterator[Rule[Files]]:
    """Yield the rules for cases; the first two are prerequisites of the others."""
    yield Rule("cases", "cases have a fixed order and unique ids", listing_faults, is_prerequisite=True)
    yield Rule(
        "files", "files exist, in a fixed order, and suffice to decode a case", file_faults, is_prerequisite=True
    )
    yield Rule("unread", "cases and files are listed without reading voxels", unread_faults)
    yield Rule("load", "a case agrees with the task and is the same every time", load_faults)
    yield Rule("regions", "every region occurs in the cases", region_faults)
    yield Rule("damaged", "a missing or damaged file raises a DataError", damage_faults)
    yield Rule("images", "an image without its label is the same image", image_faults)
    yield Rule("metadata", "metadata map patient to column to text", metadata_faults)


def listing_faults(files: Files) -> Iterator[str]:
    first = list(files.cases)
    second = list(files.recipe.open(files.root).cases())
    if not first:
        yield fault("there are no cases", "one or more", "raise DataNotFoundError if there are none")
    if first != second:
        yield fault(f"cases change from {first[:2]} to {second[:2]}", "a fixed order", "sort them")
    occurrences = Counter(case.id for case in first)
    repeated = sorted(name for name, count in occurrences.items() if count > 1)
    if repeated:
        advice = "build ids from what distinguishes the cases"
        yield fault(f"ids {abbreviate(repeated)} occur more than once", "unique ids", advice)
    malformed = [case for case in first if not _is_named(case)]
    if malformed:
        yield fault(f"{malformed[0]} is not a CaseRef of two strings", "one", "convert numbers to text")


def _is_named(case: CaseRef) -> bool:
    """Return True if id and patient are non-empty strings, which a plugin may get wrong."""
    return _is_text(*case) and all(case)


def file_faults(files: Files) -> Iterator[str]:
    for case in files.decoded:
        listed = list(files.dataset.files(case.id))
        absent = [path for path in listed if not path.is_file()]
        if absent:
            advice = "list the files that load reads"
            yield fault(f"{case.id}: {absent[0].name} is not a file", "existing files", advice)
            continue
        if listed != list(files.dataset.files(case.id)):
            yield fault(f"{case.id}: the order of files changes", "a fixed order", "sort them")
        if not listed or not all(path.is_relative_to(files.root) for path in listed):
            names = [path.name for path in listed]
            yield fault(f"{case.id}: files are {names}", "those of the case under the root", "list them all")
            continue
        yield from _isolation_faults(files, case, listed)


def _isolation_faults(files: Files, case: CaseRef, listed: Sequence[Path]) -> Iterator[str]:
    """Yield a line if a case cannot be decoded from its listed files alone."""
    isolated = files.recipe.open(files.copy_of(listed, "isolated"))
    advice = "list every file that load reads, because the content hash of the case covers the listed files only"
    place = f"{case.id}: with its listed files alone, load"
    try:
        is_same = _is_same(isolated.load(case.id), files.dataset.load(case.id))
    except Exception as error:  # noqa: BLE001 any exception of a plugin is a fault to report
        yield fault(f"{place} raised {type(error).__name__}", "the case", advice)
        return
    if not is_same:
        yield fault(f"{place} gives another case", "the same case", advice)


def unread_faults(files: Files) -> Iterator[str]:
    emptied = files.recipe.open(_emptied_copy(files))
    advice = "list them by name"
    if list(emptied.cases()) != list(files.cases):
        yield fault("the cases change if the files of all cases are empty", "the same cases", advice)
    for case in files.decoded:
        names = [path.name for path in emptied.files(case.id)]
        if names != [path.name for path in files.dataset.files(case.id)]:
            yield fault(f"{case.id}: its files change if they are empty", "the same files", advice)


def _emptied_copy(files: Files) -> Path:
    """Copy the folder with every file of a case emptied, and other files only if they are small."""
    listed: set[Path] = set()
    for case in files.cases:
        listed.update(files.dataset.files(case.id))
    others = [path for path in files.root.rglob("*") if path.is_file() and path not in listed]
    folder = files.copy_of([path for path in others if path.stat().st_size < _SMALL_BYTES], "emptied")
    for path in listed:
        target = folder / path.relative_to(files.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    return folder


def load_faults(files: Files) -> Iterator[str]:
    for ref in files.decoded:
        case = files.dataset.load(ref.id)
        yield from check_case(case, files.dataset.task, ref.id)
        yield from _space_faults(case, ref.id)
        if not _is_same(case, files.dataset.load(ref.id)):
            finding = f"{ref.id}: the second load gives another case"
            yield fault(finding, "the same case", "draw no random numbers")


def _space_faults(case: Case, name: str) -> Iterator[str]:
    if case.affine is not None and np.shape(case.affine) != (4, 4):
        finding = f"{name}: affine is {np.shape(case.affine)}"
        yield fault(finding, "(4, 4) or None", "return the map from voxels to world in mm")
    if case.spacing_mm is None:
        return
    is_complete = len(case.spacing_mm) == case.label.ndim
    if not is_complete or not all(size > 0 for size in case.spacing_mm):
        expected = "a size above 0 for each axis of the label"
        yield fault(f"{name}: spacing_mm is {case.spacing_mm}", expected, "or None if it is unknown")


def region_faults(files: Files) -> Iterator[str]:
    stored: set[int] = set()
    for case in files.decoded:
        stored.update(np.unique(files.dataset.load(case.id).label).tolist())
    for name, values in files.dataset.task.regions.items():
        if not stored & set(values):
            finding = f"region '{name}', labels {values}, occurs in none of the cases"
            yield fault(finding, "every region", "draw it in the phantom, or correct its values")


def image_faults(files: Files) -> Iterator[str]:
    if not isinstance(files.dataset, ImageReader):
        raise SkipRuleError("the dataset reads no images without labels")
    for ref in files.decoded:
        listed = list(files.dataset.image_files(ref.id))
        alone = files.recipe.open(files.copy_of(listed, "images"))
        assert isinstance(alone, ImageReader), "it is the same plugin"
        place = f"{ref.id}: with its image files alone"
        advice = "read the image without looking for the label"
        if ref not in alone.image_cases():
            yield fault(f"{place}, image_cases has {list(alone.image_cases())[:2]}", f"{ref}", advice)
            continue
        image = alone.load_image(ref.id)
        if image.label.any():
            yield fault(f"{place}, load_image gives a label", "0 everywhere", advice)
        if not _is_same(replace(image, label=files.dataset.load(ref.id).label), files.dataset.load(ref.id)):
            yield fault(f"{place}, load_image gives another image", "that of load", advice)


def damage_faults(files: Files) -> Iterator[str]:
    case = files.cases[0]
    listed = list(files.dataset.files(case.id))
    for path in dict.fromkeys((*listed[:2], listed[-1])):
        for damage, apply in _DAMAGES.items():
            folder = files.copy_of(listed, "damaged")
            apply(folder / path.relative_to(files.root))
            yield from _load_damaged(files, folder, case, f"{path.name} {damage}")


def _truncate(path: Path, *, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])


def _load_damaged(files: Files, folder: Path, case: CaseRef, damage: str) -> Iterator[str]:
    """Yield a line unless loading the case raises a DataError, or the case is no longer listed."""
    dataset = files.recipe.open(folder)
    try:
        if case not in dataset.cases():
            return
        dataset.load(case.id)
    except DataError:
        return
    except Exception as error:  # noqa: BLE001 any exception of a plugin is a fault to report
        advice = "catch it and name the file and what to do"
        yield fault(f"{damage}: raised {type(error).__name__}", "a DataError", advice)
    else:
        yield fault(f"{damage}: load gives a case", "a DataError", "check what was read")


def metadata_faults(files: Files) -> Iterator[str]:
    metadata = files.dataset.metadata()
    if not metadata:
        raise SkipRuleError("the dataset has none")
    for patient, columns in metadata.items():
        malformed = [item for item in columns.items() if not _is_text(*item)]
        if malformed or not _is_text(patient):
            finding = f"{patient}: {malformed[:1]} is not text"
            yield fault(finding, "values as written", "leave numbers as text")
            return
    patients = {case.patient for case in files.cases}
    if patients.isdisjoint(metadata):
        finding = f"its patients are {sorted(metadata)[:2]}"
        yield fault(finding, f"some of {sorted(patients)[:2]}", "use the patient names of the cases")


def _is_text(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_same(one: Case, other: Case) -> bool:
    return (
        np.array_equal(one.image, other.image, equal_nan=True)
        and np.array_equal(one.label, other.label)
        and one.spacing_mm == other.spacing_mm
        and np.array_equal(np.array(one.affine), np.array(other.affine))
    )
