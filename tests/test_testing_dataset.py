"""Tests that every rule for datasets fails for a dataset that breaks this rule alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from benchbench import Case, CaseRef, DataError, DataNotFoundError, DatasetPlugin, Download, Task
from benchbench.testing import ConformanceError, check_dataset, examine_dataset


@dataclass(frozen=True)
class Discs:
    """Follows every rule; the other classes change one thing."""

    root: Path
    task: ClassVar[Any] = Task(channels=("grey",), regions={"disc": (1,)})

    def cases(self) -> list[CaseRef]:
        names = sorted(path.stem for path in self.root.glob("p*.npy"))
        if not names:
            raise DataNotFoundError(f"discs: no p*.npy in {self.root}")
        return [CaseRef(name, name) for name in names]

    def files(self, case_id: str) -> list[Path]:
        if not (self.root / f"{case_id}.npy").is_file():
            raise DataError(f"discs: {case_id}.npy is missing, expected it; copy it again")
        return [self.root / f"{case_id}.npy"]

    def load(self, case_id: str) -> Case:
        try:
            stored = np.load(*self.files(case_id))
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"discs: {case_id}: {error}; copy it again") from error
        return Case(image=stored[:1], label=stored[1].astype(np.uint8), affine=None, spacing_mm=None)

    def metadata(self) -> dict[str, dict[str, str]]:
        return {case.patient: {"age": "7"} for case in self.cases()}


def write_discs(root: Path, *, patients: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for patient in range(patients):
        stored = rng.random((2, 2, size, size)).astype(np.float32)
        stored[1] = stored[1] > 0.5
        np.save(root / f"p{patient}.npy", stored)


def plugin(opened: Callable[..., Any] = Discs, **changes: Any) -> DatasetPlugin:
    download = Download(licence="CC0", page="https://example.org")
    fields = {"name": "discs", "open": opened, "source": "none", "download": download, "phantom": write_discs}
    return DatasetPlugin(**{**fields, **changes})


class ReadsWhileOpened(Discs):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        root.stat()


class ZeroIsARegion(Discs):
    task = Task(channels=("grey",), regions={"disc": (0, 1)})


@dataclass(frozen=True)
class Undocumented(Discs):
    level: int = field(default=1, kw_only=True)


class FindsNothing(Discs):
    def cases(self) -> list[CaseRef]:
        return [CaseRef(path.stem, path.stem) for path in sorted(self.root.glob("p*.npy"))]


class TwiceTheSame(Discs):
    def cases(self) -> list[CaseRef]:
        return [CaseRef("p0", case.patient) for case in super().cases()]


class NumbersAsIds(Discs):
    def cases(self) -> list[Any]:
        return [CaseRef(case.id, int(case.patient[1:]) + 1) for case in super().cases()]  # type: ignore[arg-type]


class ChangesItsOrder(Discs):
    calls: ClassVar[list[int]] = []

    def cases(self) -> list[CaseRef]:
        self.calls.append(1)
        return super().cases()[:: 1 if len(self.calls) % 2 else -1]


class ListsTooMuch(Discs):
    def files(self, case_id: str) -> list[Path]:
        return [*super().files(case_id), self.root / "notes.txt"]


class ListsTooLittle(Discs):
    def load(self, case_id: str) -> Case:
        case = super().load(case_id)
        neighbours = len(list(self.root.glob("p*.npy")))
        return Case(image=case.image * neighbours, label=case.label, affine=None, spacing_mm=None)


class ReadsWhileListing(Discs):
    def cases(self) -> list[CaseRef]:
        return [case for case in super().cases() if (self.root / f"{case.id}.npy").stat().st_size]


class OtherChannels(Discs):
    task = Task(channels=("red", "green"), regions={"disc": (1,)})


class NeverTheSame(Discs):
    def load(self, case_id: str) -> Case:
        case = super().load(case_id)
        return Case(
            image=case.image + np.random.default_rng().random(), label=case.label, affine=None, spacing_mm=None
        )


class SpacingOfTwo(Discs):
    def load(self, case_id: str) -> Case:
        case = super().load(case_id)
        return Case(image=case.image, label=case.label, affine=None, spacing_mm=(1.0, 1.0))


class AffineOfThree(Discs):
    def load(self, case_id: str) -> Case:
        case = super().load(case_id)
        return Case(image=case.image, label=case.label, affine=np.eye(3), spacing_mm=None)


class RegionNowhere(Discs):
    task = Task(channels=("grey",), regions={"disc": (1,), "ring": (2,)})


class FallsOver(Discs):
    def load(self, case_id: str) -> Case:
        stored = np.load(*self.files(case_id))
        return Case(image=stored[:1], label=stored[1].astype(np.uint8), affine=None, spacing_mm=None)


class TakesAnything(Discs):
    def load(self, case_id: str) -> Case:
        try:
            return super().load(case_id)
        except DataError:
            empty = np.zeros((1, 2, 2, 2))
            return Case(image=empty, label=empty[0].astype(np.uint8), affine=None, spacing_mm=None)


class NumbersAsMetadata(Discs):
    def metadata(self) -> Any:
        return {"p0": {"age": 7}}


class OtherPatients(Discs):
    def metadata(self) -> dict[str, dict[str, str]]:
        return {"patient 1": {"age": "7"}}


class WithImages(Discs):
    def image_cases(self) -> list[CaseRef]:
        return self.cases()

    def image_files(self, case_id: str) -> list[Path]:
        return self.files(case_id)

    def load_image(self, case_id: str) -> Case:
        case = self.load(case_id)
        return replace(case, label=np.zeros_like(case.label))


class ForgetsImages(WithImages):
    def image_cases(self) -> list[CaseRef]:
        return self.cases()[1:]


class KeepsTheLabel(WithImages):
    def load_image(self, case_id: str) -> Case:
        return self.load(case_id)


class ChangesTheImage(WithImages):
    def load_image(self, case_id: str) -> Case:
        case = super().load_image(case_id)
        return replace(case, image=case.image + 1)


@pytest.mark.parametrize(
    ("opened", "rule", "message"),
    [
        (ReadsWhileOpened, "opens", "raised FileNotFoundError"),
        (
            ZeroIsARegion,
            "opens",
            "region 'disc' is (0, 1), expected label values other than 0; 0 is the background",
        ),
        (Undocumented, "documented", "parameter 'level' is not described"),
        (FindsNothing, "not found", "an empty folder has cases [], expected a DataNotFoundError; raise it if"),
        (NumbersAsIds, "cases", "is not a CaseRef of two strings, expected one; convert numbers to text"),
        (ChangesItsOrder, "cases", "expected a fixed order; sort them"),
        (
            ListsTooMuch,
            "files",
            "p0: notes.txt is not a file, expected existing files; list the files that load reads",
        ),
        (
            ListsTooLittle,
            "files",
            "p0: with its listed files alone, load gives another case, expected the same case; list every",
        ),
        (
            ReadsWhileListing,
            "unread",
            "the cases change if the files of all cases are empty, expected the same cases",
        ),
        (OtherChannels, "load", "p0: found 1 channels, expected red, green"),
        (NeverTheSame, "files", "load gives another case, expected the same"),
        (SpacingOfTwo, "load", "p0: spacing_mm is (1.0, 1.0), expected a size above 0 for each axis of the label"),
        (AffineOfThree, "load", "p0: affine is (3, 3), expected (4, 4) or None"),
        (
            RegionNowhere,
            "regions",
            "region 'ring', labels (2,), occurs in none of the cases, expected every region; draw it",
        ),
        (FallsOver, "damaged", "p0.npy empty: raised EOFError, expected a DataError; catch it and name the file"),
        (
            TakesAnything,
            "damaged",
            "p0.npy cut short: load gives a case, expected a DataError; check what was read",
        ),
        (ForgetsImages, "images", "p0: with its image files alone, image_cases has ["),
        (
            KeepsTheLabel,
            "images",
            "load_image gives a label, expected 0 everywhere; read the image without looking",
        ),
        (ChangesTheImage, "images", "load_image gives another image, expected that of load"),
        (NumbersAsMetadata, "metadata", "p0: [('age', 7)] is not text, expected values as written"),
        (
            OtherPatients,
            "metadata",
            "its patients are ['patient 1'], expected some of ['p0', 'p1']; use the patient",
        ),
    ],
)
def test_a_dataset_that_fails_one_rule_is_reported_with_the_fix(
    opened: Callable[..., Any], rule: str, message: str
) -> None:
    report = examine_dataset(plugin(opened))
    assert report.failed == (rule,)
    assert any(f", {rule}: " in line and message in line for line in report.lines()), list(report.lines())


def write_the_same(root: Path, *, patients: int, size: int, seed: int) -> None:
    write_discs(root, patients=patients, size=size, seed=0)


def write_the_time(root: Path, *, patients: int, size: int, seed: int) -> None:
    write_discs(root, patients=patients, size=size, seed=seed)
    (root / "written.txt").write_text(str(time.perf_counter_ns()))


def write_two(root: Path, *, patients: int, size: int, seed: int) -> None:
    write_discs(root, patients=2, size=size, seed=seed)


def write_even(root: Path, *, patients: int, size: int, seed: int) -> None:
    assert size % 2 == 0, "an even size"
    write_discs(root, patients=patients, size=size, seed=seed)


@pytest.mark.parametrize(
    ("write", "rule", "message"),
    [
        (write_the_same, "repeats", "another seed gives the same bytes, expected other bytes"),
        (
            write_the_time,
            "repeats",
            "the same seed gives other bytes in written.txt, expected the same bytes; draw from",
        ),
        (write_two, "phantom", "1 patient of size 32: found 2, expected 1; write that many"),
        (write_even, "phantom", "raised AssertionError: an even size"),
    ],
)
def test_a_phantom_that_fails_a_rule_is_reported(write: Callable[..., None], rule: str, message: str) -> None:
    report = examine_dataset(plugin(phantom=write))
    assert report.failed == (rule,)
    assert any(message in line for line in report.lines())


def test_repeated_ids_are_reported() -> None:
    lines = list(examine_dataset(plugin(TwiceTheSame)).lines())
    assert any("ids p0 occur more than once, expected unique ids" in line for line in lines)


def test_a_dataset_that_follows_every_rule_passes_on_a_phantom_and_on_its_files(tmp_path: Path) -> None:
    check_dataset(plugin())
    check_dataset(plugin(WithImages))
    write_discs(tmp_path, patients=2, size=32, seed=0)
    before = sorted(tmp_path.iterdir())
    report = examine_dataset(plugin(), tmp_path)
    assert report.failed == ()
    assert str(tmp_path) in {outcome.where for outcome in report.outcomes}
    assert sorted(tmp_path.iterdir()) == before


def test_every_failed_rule_is_listed() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_dataset(plugin(NumbersAsMetadata, phantom=write_the_same))
    assert len(caught.value.problems) == 2
