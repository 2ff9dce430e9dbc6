"""Splits patients, never slices, into train, inner validation and test."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchbench.contract import CaseRef
from benchbench.errors import DataError

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One fold: each case in exactly one part, all cases of a patient in the same."""

    number: int
    train: tuple[CaseRef, ...]
    validation: tuple[CaseRef, ...]
    """Chooses the checkpoint; never seen by the optimiser."""
    test: tuple[CaseRef, ...]
    """Scored once, after training."""

    def part(self, name: Part) -> tuple[CaseRef, ...]:
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    @property
    def digest(self) -> str:
        """SHA-256 of which case stands in which part."""
        parts = [[list(case) for case in self.part(name)] for name in PARTS]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def make_folds(cases: Sequence[CaseRef], *, folds: int, validation: float) -> list[Fold]:
    """Cross-validation grouped by patient, the same for every model, seed, machine and order of the cases.

    Patients are ordered by a hash of their name: no random generator whose stream could change between
    releases, and a patient added later moves few others. Every patient is tested in exactly one fold.

    Raises:
        DataError: too few patients, or a case is named twice.
    """
    if twice := [name for name, times in Counter(case.id for case in cases).items() if times > 1]:
        raise DataError(f"case '{twice[0]}' is listed twice; every case needs an id of its own")
    patients = sorted({case.patient for case in cases}, key=lambda patient: _rank("test", patient))
    smallest_training = len(patients) - -(-len(patients) // folds)
    if len(patients) < folds or smallest_training < 2:
        raise DataError(
            f"found {len(patients)} patients for {folds} folds; each fold needs one patient to test and two"
            f" to train and select on: lower protocol.folds or add patients"
        )
    cases = sorted(cases)
    return [_fold(cases, patients, number=number, folds=folds, validation=validation) for number in range(folds)]


def _fold(cases: list[CaseRef], patients: list[str], *, number: int, folds: int, validation: float) -> Fold:
    test = set(patients[number * len(patients) // folds : (number + 1) * len(patients) // folds])
    rest = sorted(set(patients) - test, key=lambda patient: _rank(f"validation {number}", patient))
    kept = min(max(1, round(validation * len(rest))), len(rest) - 1)
    chosen = set(rest[:kept])
    fold = Fold(
        number=number,
        train=tuple(case for case in cases if case.patient not in test | chosen),
        validation=tuple(case for case in cases if case.patient in chosen),
        test=tuple(case for case in cases if case.patient in test),
    )
    _assert_sound(fold, cases)
    return fold


def _assert_sound(fold: Fold, cases: list[CaseRef]) -> None:
    parts = [{case.patient for case in fold.part(name)} for name in PARTS]
    assert all(parts), "an empty part"
    assert sum(map(len, parts)) == len(set.union(*parts)), "a patient in two parts"
    assert sorted(fold.train + fold.validation + fold.test) == cases, "a case lost or doubled"


def _rank(purpose: str, patient: str) -> str:
    return hashlib.sha256(f"{purpose}\n{patient}".encode()).hexdigest()
