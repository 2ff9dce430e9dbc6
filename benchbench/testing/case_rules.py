"""What is asked of the cases of a dataset, and of their files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchbench.contract import Case, CaseRef, Dataset
from benchbench.data.case_names import check_case
from benchbench.errors import DataError
from benchbench.testing.dataset_rules import Recipe
from benchbench.testing.report import Rule, fault, some

_LOOKED_AT = 3
"""Cases that are decoded."""
_SMALL_BYTES = 2**20  # tables, not images


@dataclass(frozen=True)
class Files:
    """A dataset plugin and the files of some cases."""

    recipe: Recipe
    root: Path

    @cached_property
    def dataset(self) -> Dataset:
        return self.recipe.open(self.root)

    @cached_property
    def cases(self) -> Sequence[CaseRef]:
        return self.dataset.cases()

    def copy_of(self, files: Sequence[Path], name: str) -> Path:
        """A folder with these files only, where they were."""
        folder = self.recipe.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        for path in files:
            target = folder / path.relative_to(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        return folder


def case_rules() -> Iterator[Rule[Files]]:
    """The rules of the cases; where there are none, the others mean nothing."""
    yield Rule("cases", "cases have an order, and each an id of its own", cases, is_ground=True)
    yield Rule("files", "files exist, in an order, and say all that a case is decoded from", files, is_ground=True)
    yield Rule("unread", "cases and files are listed without reading voxels", unread)
    yield Rule("load", "a case agrees with the task, and is the same every time", load)
    yield Rule("regions", "every region is somewhere in the cases", regions)
    yield Rule("damaged", "a missing or damaged file is a DataError", damaged)
    yield Rule("metadata", "patient to column to text", metadata)


def cases(files: Files) -> Iterator[str]:
    listed, again = list(files.cases), list(files.recipe.open(files.root).cases())
    if not listed:
        yield fault("there are no cases", "some", "raise DataNotFoundError where there are none")
    if listed != again:
        yield fault(f"cases change from {listed[:2]} to {again[:2]}", "one order", "sort them")
    if twice := sorted({case.id for case in listed if [each.id for each in listed].count(case.id) > 1}):
        yield fault(f"ids {some(twice)} stand twice", "each once", "make ids of what tells cases apart")
    if odd := [case for case in listed if not all(isinstance(part, str) and part for part in case)]:
        yield fault(f"{odd[0]} is no CaseRef of two texts", "them", "convert numbers to text")


def files(files: Files) -> Iterator[str]:
    for case in files.cases[:_LOOKED_AT]:
        found = list(files.dataset.files(case.id))
        if absent := [path for path in found if not path.is_file()]:
            yield fault(f"{case.id}: {absent[0].name} is no file", "files that exist", "list what load reads")
            continue
        if found != list(files.dataset.files(case.id)):
            yield fault(f"{case.id}: the order of files changes", "one", "sort them")
        if not found or not all(path.is_relative_to(files.root) for path in found):
            names = [path.name for path in found]
            yield fault(f"{case.id}: files are {names}", "those of the case under the root", "list them all")
            continue
        alone = files.recipe.open(files.copy_of(found, "alone"))
        mend = "list every file that load reads, or the case's hash will not cover it"
        try:
            is_same = _same(alone.load(case.id), files.dataset.load(case.id))
        except Exception as error:  # noqa: BLE001 whatever a plugin raises is a fault to be told
            yield fault(f"{case.id}: with its files alone, load raised {type(error).__name__}", "the case", mend)
        else:
            if not is_same:
                yield fault(f"{case.id}: with its files alone, load gives another case", "the same", mend)


def unread(files: Files) -> Iterator[str]:
    listed = {path for case in files.cases for path in files.dataset.files(case.id)}
    beside = [path for path in files.root.rglob("*") if path.is_file() and path not in listed]
    emptied = files.copy_of([path for path in beside if path.stat().st_size < _SMALL_BYTES], "emptied")
    for path in listed:
        target = emptied / path.relative_to(files.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    dataset = files.recipe.open(emptied)
    if list(dataset.cases()) != list(files.cases):
        yield fault("cases change when the files of all cases are emptied", "the same", "find them by name")
    for case in files.cases[:_LOOKED_AT]:
        names = [path.name for path in dataset.files(case.id)]
        if names != [path.name for path in files.dataset.files(case.id)]:
            yield fault(f"{case.id}: files change when they are emptied", "the same", "find them by name")


def load(files: Files) -> Iterator[str]:
    for case in files.cases[:_LOOKED_AT]:
        found = files.dataset.load(case.id)
        yield from check_case(found, files.dataset.task, case.id)
        if not _same(found, files.dataset.load(case.id)):
            yield fault(
                f"{case.id}: the second time load gives another case", "the same", "draw no random numbers"
            )
        if found.affine is not None and np.shape(found.affine) != (4, 4):
            yield fault(
                f"{case.id}: affine is {np.shape(found.affine)}", "(4, 4) or None", "give voxel to world in mm"
            )
        if found.spacing_mm is not None and (
            len(found.spacing_mm) != found.label.ndim or not all(size > 0 for size in found.spacing_mm)
        ):
            expected = "a size above 0 for each axis of the label"
            yield fault(f"{case.id}: spacing_mm is {found.spacing_mm}", expected, "or None where it is unknown")


def regions(files: Files) -> Iterator[str]:
    stored = {
        value
        for case in files.cases[:_LOOKED_AT]
        for value in np.unique(files.dataset.load(case.id).label).tolist()
    }
    for name, values in files.dataset.task.regions.items():
        if not stored & set(values):
            yield fault(
                f"region '{name}', labels {values}, is in none of the cases", "it", "draw it, or mend its values"
            )


def damaged(files: Files) -> Iterator[str]:
    case = files.cases[0]
    listed = list(files.dataset.files(case.id))
    for path in dict.fromkeys((*listed[:2], listed[-1])):
        for harm in ("missing", "empty", "cut short"):
            folder = files.copy_of(listed, "harmed")
            harmed = folder / path.relative_to(files.root)
            content = harmed.read_bytes()
            harmed.unlink() if harm == "missing" else harmed.write_bytes(
                content[: len(content) // 2 * (harm != "empty")]
            )
            yield from _harm_faults(files, folder, case, f"{path.name} {harm}")


def _harm_faults(files: Files, folder: Path, case: CaseRef, harm: str) -> Iterator[str]:
    dataset = files.recipe.open(folder)
    try:
        if case not in dataset.cases():
            return  # it is no case any more
        dataset.load(case.id)
    except DataError:
        return
    except Exception as error:  # noqa: BLE001 whatever a plugin raises is a fault to be told
        yield fault(
            f"{harm}: raised {type(error).__name__}", "a DataError", "catch it and say which file and what to do"
        )
    else:
        yield fault(f"{harm}: load gives a case", "a DataError", "check what was read")


def metadata(files: Files) -> Iterator[str]:
    found = files.dataset.metadata()
    for patient, columns in found.items():
        odd = [
            (key, value)
            for key, value in columns.items()
            if not isinstance(key, str) or not isinstance(value, str)
        ]
        if odd or not isinstance(patient, str):
            yield fault(f"{patient}: {odd[:1]} is no text", "values as written", "leave numbers as text")
            return
    patients = {case.patient for case in files.cases}
    if found and not patients & set(found):
        yield fault(
            f"its patients are {sorted(found)[:2]}", f"some of {sorted(patients)[:2]}", "use the cases' names"
        )


def _same(one: Case, other: Case) -> bool:
    return (
        np.array_equal(one.image, other.image, equal_nan=True)
        and np.array_equal(one.label, other.label)
        and one.spacing_mm == other.spacing_mm
        and np.array_equal(np.array(one.affine), np.array(other.affine))
    )
