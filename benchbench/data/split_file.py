"""Published splits: reads them from a file, checks them by patient, and writes those that a benchmark uses.

Three forms are read. JSON, a list with an entry for each fold, or one entry alone:
{ "train": [...], "validation": [...], "test": [...] }. nnU-Net's splits_final.json is such a list with "train" and
"val"; as no other part is scored there, "val" is tested. CSV: a column `case` or `patient`, a column `part` and,
for several folds, a column `fold`. A name is the id of a case, or a patient, which means all of its cases. A fold
without inner validation gets one from its training patients, chosen as in a split without a file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbench.contract import CaseRef
from benchbench.data.folds import PARTS, Fold, Part, choose_validation, make_folds
from benchbench.errors import DataError
from benchbench.images.input_files import read_text
from benchbench.spec.document import nearest
from benchbench.spec.protocol import Protocol
from benchbench.words import count

NNUNET_NAME = "splits_final.json"
"""The name of nnU-Net's file of splits."""

_Lists = dict[Part, list[str]]
"""Part -> names of cases or patients."""
_MOST_NAMES = 5  # in a message
_PART_OF: Mapping[str, Part] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


def folds_of(
    cases: Sequence[CaseRef], protocol: Protocol, metadata: Mapping[str, Mapping[str, str]] | None = None
) -> list[Fold]:
    """Return the folds of a protocol: those of its split file, or made from the patients' names and metadata.

    Raises:
        DataError: there are too few patients, the file cannot be used, or the metadata lack a column.
    """
    if protocol.splits is None:
        return make_folds(
            cases,
            folds=protocol.folds,
            validation=protocol.validation,
            test=protocol.test,
            strata=_strata(protocol.stratify, metadata or {}),
        )
    path = Path(protocol.splits)
    lists = _read(path)
    if len(lists) != protocol.folds:
        finding = f"found {count(len(lists), 'fold')}"
        raise DataError(f"{path}: {finding}, expected protocol.folds = {protocol.folds}; change it")
    problems: list[str] = []
    folds = []
    for number, names in enumerate(lists):
        try:
            folds.append(_fold(path, number, names, cases, protocol))
        except DataError as error:
            problems += error.problems
    if protocol.allow_leaky_split and not problems and not any(map(_leaking_patients, folds)):
        problems.append(f"{path}: no patient is in several parts; remove allow_leaky_split")
    if problems:
        raise DataError(*problems)
    return folds


def _leaking_patients(fold: Fold) -> set[str]:
    """Return the patients with cases in several parts."""
    leaking: set[str] = set()
    known: set[str] = set()
    for part in PARTS:
        patients = {case.patient for case in fold.part(part)}
        leaking |= known & patients
        known |= patients
    return leaking


def _strata(column: str | None, metadata: Mapping[str, Mapping[str, str]]) -> dict[str, str] | None:
    """Return patient -> value of a column; None without a column."""
    if column is None:
        return None
    columns = {name for row in metadata.values() for name in row}
    if column not in columns:
        hint = nearest(column, sorted(columns)) if columns else "it has no metadata; leave stratify out"
        raise DataError(f"protocol.stratify: no column '{column}' in the metadata of the dataset; {hint}")
    return {patient: row.get(column, "") for patient, row in metadata.items()}


def split_text(folds: Sequence[Fold], name: str) -> str:
    """Return folds as the content of a file of this name: nnU-Net's, CSV, or JSON with all parts.

    In nnU-Net's file the inner validation is training data, and "val" is the tested part.
    """
    if name.endswith(".csv"):
        return _csv_text(folds)
    entries: list[dict[str, list[str]]] = []
    for fold in folds:
        parts: dict[str, list[str]] = {part: [case.id for case in fold.part(part)] for part in PARTS}
        if name == NNUNET_NAME:
            entries.append({"train": sorted([*parts["train"], *parts["validation"]]), "val": parts["test"]})
        else:
            entries.append(parts)
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def _csv_text(folds: Sequence[Fold]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "patient", "fold", "part"])
    for fold in folds:
        for part in PARTS:
            writer.writerows([case.id, case.patient, fold.number, part] for case in fold.part(part))
    return text.getvalue()


def _read(path: Path) -> list[_Lists]:
    """Return the lists of every fold.

    Raises:
        DataError: the file cannot be read, or is none of the three forms.
    """
    text = read_text(path, kind="a file of splits")
    read = _read_csv if path.suffix.lower() == ".csv" else _read_json
    lists = list(read(path, text))
    for names in lists:
        if not names["test"]:  # as in nnU-Net, where the validation of a fold is all that is scored
            names["test"], names["validation"] = names["validation"], []
    return lists


def _read_json(path: Path, text: str) -> Iterator[_Lists]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); write the file again") from error
    entries = content if isinstance(content, list) else [content]
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not all(_is_list_of_names(names) for names in entry.values()):
            raise DataError(
                f'{path}: fold {number}: expected lists of names such as {{"train": [...], "val": [...]}}; see'
                " docs/benchmark_files.md"
            )
        lists: _Lists = {part: [] for part in PARTS}
        for key, names in entry.items():
            lists[_part(path, number, key)] += names
        yield lists


def _is_list_of_names(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _read_csv(path: Path, text: str) -> Iterator[_Lists]:
    reader = csv.DictReader(io.StringIO(text))
    columns = list(reader.fieldnames or ())
    key = "case" if "case" in columns else "patient"
    if not {key, "part"} <= {*columns}:
        raise DataError(f"{path}: found columns {columns}, expected case or patient, and part; add them")
    folds: dict[int, _Lists] = {}
    for line, row in enumerate(reader, start=2):
        number = _fold_number(f"{path}:{line}", row.get("fold"))
        lists = folds.setdefault(number, {part: [] for part in PARTS})
        lists[_part(path, number, row["part"] or "")].append(row[key] or "")
    if sorted(folds) != list(range(len(folds))):
        raise DataError(f"{path}: found folds {sorted(folds)}, expected 0 to {len(folds) - 1}; number them so")
    yield from (lists for _, lists in sorted(folds.items()))


def _fold_number(place: str, text: str | None) -> int:
    """Return the number of a fold; 0 where a file has no such column."""
    text = text or "0"
    if not text.isdecimal():
        raise DataError(f"{place}: found fold '{text}', expected a number from 0; change it")
    return int(text)


def _part(path: Path, number: int, name: str) -> Part:
    part = _PART_OF.get(name.strip().lower())
    if part is None:
        raise DataError(
            f"{path}: fold {number}: found part '{name}', expected train, validation or test; rename it"
        )
    return part


def _fold(path: Path, number: int, names: _Lists, cases: Sequence[CaseRef], protocol: Protocol) -> Fold:
    """Return a fold of the file; every case must be in one part, and every patient too unless leaks are allowed.

    Raises:
        DataError: with every name that is unknown, missing or in two parts.
    """
    place = f"{path}: fold {number}"
    parts = _parts_of_cases(place, names, cases)
    problems = [*_missing(place, parts, cases)]
    if not protocol.allow_leaky_split:
        problems += _leaks(place, parts)
    if problems:
        raise DataError(*problems)
    patients: dict[Part, set[str]] = {part: set() for part in PARTS}
    for case, part in parts.items():
        patients[part].add(case.patient)
    if problem := _small_part(patients):
        raise DataError(f"{place}: {problem}")
    if not patients["validation"]:
        chosen = choose_validation(patients["train"], number=number, share=protocol.validation)
        parts = _with_validation(parts, chosen)
    ordered = sorted(cases)
    of_part = {part: tuple(case for case in ordered if parts[case] == part) for part in PARTS}
    return Fold(number=number, train=of_part["train"], validation=of_part["validation"], test=of_part["test"])


def _with_validation(parts: Mapping[CaseRef, Part], patients: set[str]) -> dict[CaseRef, Part]:
    """Return the parts with the training cases of some patients in the inner validation."""
    changed = dict(parts)
    for case, part in parts.items():
        if part == "train" and case.patient in patients:
            changed[case] = "validation"
    return changed


def _small_part(patients: Mapping[Part, set[str]]) -> str:
    if not patients["test"]:
        return "no case is tested; add a part 'test'"
    n_needed = 1 if patients["validation"] else 2
    if len(patients["train"]) < n_needed:
        return "found too few patients to train on; one must be trained on and one selects the checkpoint"
    return ""


def _parts_of_cases(place: str, names: _Lists, cases: Sequence[CaseRef]) -> dict[CaseRef, Part]:
    """Return the part of each case that is named.

    Raises:
        DataError: a name is unknown, or a case is in two parts.
    """
    by_name = _cases_by_name(cases)
    parts_of: dict[CaseRef, list[Part]] = {}
    unknown: list[str] = []
    for part in PARTS:
        unknown += [name for name in names[part] if name not in by_name]
        for case in dict.fromkeys(_named_cases(names[part], by_name)):
            parts_of.setdefault(case, []).append(part)
    if unknown:
        raise DataError(f"{place}: no such case or patient: {_join(unknown)}; correct the names")
    repeated = [f"{case.id} ({' and '.join(parts)})" for case, parts in parts_of.items() if len(parts) > 1]
    if repeated:
        raise DataError(f"{place}: in two parts: {_join(repeated)}; leave each in one")
    return {case: part for case, (part,) in parts_of.items()}


def _cases_by_name(cases: Sequence[CaseRef]) -> dict[str, list[CaseRef]]:
    """Return id of a case -> this case, and patient -> all of its cases; the id of a case has precedence."""
    by_name: dict[str, list[CaseRef]] = {}
    for case in cases:
        by_name.setdefault(case.patient, []).append(case)
    return by_name | {case.id: [case] for case in cases}


def _named_cases(names: Sequence[str], by_name: Mapping[str, Sequence[CaseRef]]) -> Iterator[CaseRef]:
    for name in names:
        yield from by_name.get(name, ())


def _missing(place: str, parts: Mapping[CaseRef, Part], cases: Sequence[CaseRef]) -> Iterator[str]:
    missing = [case.id for case in cases if case not in parts]
    if missing:
        yield f"{place}: in no part: {_join(missing)}; add them, or take their files out of the dataset"


def _leaks(place: str, parts: Mapping[CaseRef, Part]) -> Iterator[str]:
    """Yield a line if cases of one patient are in several parts."""
    of_patient: dict[str, dict[Part, str]] = {}
    for case, part in sorted(parts.items()):
        of_patient.setdefault(case.patient, {}).setdefault(part, case.id)
    leaking = []
    for patient, cases in of_patient.items():
        if len(cases) > 1:
            described = ", ".join(f"{case} in {part}" for part, case in cases.items())
            leaking.append(f"{patient} ({described})")
    if leaking:
        yield (
            f"{place}: patients in several parts: {_join(leaking)}; a patient must be in one part alone"
            " (allow_leaky_split = true accepts them and marks every table)"
        )


def _join(names: Sequence[str]) -> str:
    listed = ", ".join(names[:_MOST_NAMES])
    others = len(names) - _MOST_NAMES
    return f"{listed} and {others} more" if others > 0 else listed
