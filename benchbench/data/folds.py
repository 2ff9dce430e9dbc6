"""Splits patients, never slices, into training, inner validation and test."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchbench.contract import CaseRef
from benchbench.errors import DataError
from benchbench.words import count

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One fold: every case is in exactly one part, and all cases of a patient are in the same part."""

    number: int
    train: tuple[CaseRef, ...]
    """Cases that the optimiser sees."""
    validation: tuple[CaseRef, ...]
    """Cases of the inner validation, which chooses the checkpoint; the optimiser never sees them."""
    test: tuple[CaseRef, ...]
    """Cases that are scored once, after training."""

    def part(self, name: Part) -> tuple[CaseRef, ...]:
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    @property
    def digest(self) -> str:
        """SHA-256 of the cases of every part."""
        return split_digest({name: self.part(name) for name in PARTS})


def split_digest(cases: Mapping[Part, Sequence[CaseRef]]) -> str:
    """Return the SHA-256 of the cases of every part of a fold."""
    parts = [[list(case) for case in cases[name]] for name in PARTS]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def make_folds(
    cases: Sequence[CaseRef],
    *,
    folds: int,
    validation: float,
    test: float | None = None,
    strata: Mapping[str, str] | None = None,
) -> list[Fold]:
    """Return the folds of a cross-validation grouped by patient; every patient is tested in exactly one fold.

    One fold is a hold-out split: the fraction `test` of the patients, rounded and at least one, is tested.

    Patients are ordered by a hash of their name, not by a random generator, whose stream could change between
    releases. The folds are therefore the same for every model, seed, machine and order of the cases, and adding a
    patient moves few others. Of the patients of a fold that are not tested, the fraction `validation`, rounded and
    at least one, is set aside for the inner validation. With `strata`, patient -> group, patients are ordered by
    their group first, and every part takes patients at equal distances.

    Raises:
        DataError: there are too few patients, or a case is listed twice.
    """
    repeated = [name for name, count in Counter(case.id for case in cases).items() if count > 1]
    if repeated:
        raise DataError(f"case '{repeated[0]}' is listed twice; every case needs an id of its own")
    patients = sorted({case.patient for case in cases}, key=lambda patient: _rank("test", patient))
    tested = _tested(patients, folds, test)
    if strata is not None:
        tested = _tested_by_stratum(patients, strata, folds, test)
    made = []
    for number, names in enumerate(tested):
        if not names or len(patients) - len(names) < 2:
            raise DataError(_too_few(len(patients), folds, test))
        validated = choose_validation(set(patients) - set(names), number=number, share=validation, strata=strata)
        made.append(_fold(sorted(cases), set(names), validated, number=number))
    return made


def _tested(patients: Sequence[str], folds: int, test: float | None) -> list[Sequence[str]]:
    """Return the patients that are tested in each fold."""
    n_patients = len(patients)
    if folds == 1:
        assert test is not None, "the protocol has it"
        return [patients[: max(1, round(test * n_patients))]]
    return [patients[number * n_patients // folds : (number + 1) * n_patients // folds] for number in range(folds)]


def _tested_by_stratum(
    patients: Sequence[str], strata: Mapping[str, str], folds: int, test: float | None
) -> list[Sequence[str]]:
    """Return the patients that are tested in each fold, at equal distances in their order by group."""
    ordered = sorted(patients, key=lambda patient: strata.get(patient, ""))  # within a group the order stays
    if folds == 1:
        assert test is not None, "the protocol has it"
        return [_evenly(ordered, test)]
    return [ordered[number::folds] for number in range(folds)]


def _too_few(patients: int, folds: int, test: float | None) -> str:
    needed = "one patient to test and two to train and select on"
    if folds == 1:
        return (
            f"found {count(patients, 'patient')}, of which protocol.test takes {test:g}; a split needs {needed}:"
            " change protocol.test or add patients"
        )
    remedy = "add patients"
    if patients >= 3:
        remedy = f"set protocol.folds to {min(max(folds, 3), patients)} or add patients"
    return f"found {count(patients, 'patient')} for {folds} folds; each fold needs {needed}: {remedy}"


def _evenly(ordered: Sequence[str], share: float) -> list[str]:
    """Return a share of the patients, at least one and not all, at equal distances in their order."""
    n_patients = len(ordered)
    n_taken = min(max(1, round(share * n_patients)), n_patients - 1)
    return [ordered[int((number + 0.5) * n_patients / n_taken)] for number in range(n_taken)]


def _fold(cases: list[CaseRef], tested: set[str], validated: set[str], *, number: int) -> Fold:
    fold = Fold(
        number=number,
        train=tuple(case for case in cases if case.patient not in tested | validated),
        validation=tuple(case for case in cases if case.patient in validated),
        test=tuple(case for case in cases if case.patient in tested),
    )
    _assert_disjoint(fold, cases)
    return fold


def choose_validation(
    patients: set[str], *, number: int, share: float, strata: Mapping[str, str] | None = None
) -> set[str]:
    """Return the patients of the inner validation of a fold, a share of those that are not tested."""
    ordered = sorted(patients, key=lambda patient: _rank(f"validation {number}", patient))
    if strata is not None:
        ordered.sort(key=lambda patient: strata.get(patient, ""))
        return set(_evenly(ordered, share))
    n_validated = min(max(1, round(share * len(ordered))), len(ordered) - 1)
    return set(ordered[:n_validated])


def _assert_disjoint(fold: Fold, cases: list[CaseRef]) -> None:
    parts = [{case.patient for case in fold.part(name)} for name in PARTS]
    assert all(parts), "a part is empty"
    assert sum(map(len, parts)) == len(set.union(*parts)), "a patient is in two parts"
    assert sorted(fold.train + fold.validation + fold.test) == cases, "a case is missing or in two parts"


def _rank(purpose: str, patient: str) -> str:
    return hashlib.sha256(f"{purpose}\n{patient}".encode()).hexdigest()
