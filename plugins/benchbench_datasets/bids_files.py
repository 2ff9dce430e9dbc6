"""The image files of a BIDS tree, and which of them belong to one case.

Source: BIDS 1.10, bids-specification.readthedocs.io, "Common principles" and "Imaging derivatives".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchbench_datasets.case_files import natural_order

_NAME = re.compile(r"((?:[a-zA-Z]+-[a-zA-Z0-9+]+_)*)([a-zA-Z0-9]+)")
_ENDING = re.compile(r"\.nii(\.gz)?$")
_CASE_ENTITIES = ("sub", "ses", "run")
"""Entities that name a case."""
Entities = frozenset[tuple[str, str]]
"""Pairs such as ("acq", "highres")."""


class BidsFile(NamedTuple):
    """An image file."""

    path: str
    """Below the root of the dataset."""
    entities: Entities
    suffix: str

    def value(self, entity: str) -> str:
        """Return the value of an entity; '' where the name does not have it."""
        return dict(self.entities).get(entity, "")

    @property
    def key(self) -> tuple[str, ...]:
        """Subject, session and run; '' where the name does not have them."""
        return tuple(self.value(entity) for entity in _CASE_ENTITIES)

    @property
    def kind(self) -> str:
        """The name without subject, session, run and ending, such as "label-lesion_mask"."""
        stem = _ENDING.sub("", self.path.rpartition("/")[2])
        parts = [part for part in stem.split("_") if part.partition("-")[0] not in _CASE_ENTITIES]
        return "_".join(parts)


class Kind(NamedTuple):
    """A kind of files: the suffix of their names, and entities that the names must have."""

    text: str
    entities: Entities
    suffix: str

    def fits(self, file: BidsFile) -> bool:
        return file.suffix == self.suffix and self.entities <= file.entities


@dataclass
class BidsCase:
    """The files of a subject, session and run."""

    key: tuple[str, ...]
    files: dict[Kind, BidsFile] = field(default_factory=dict)

    @property
    def patient(self) -> str:
        return self.key[0]

    @property
    def id(self) -> str:
        """The name of the case: the label of the subject, then those of session and run."""
        _, session, run = self.key
        names = [self.patient]
        names += [f"ses-{session}"] if session else []
        names += [f"run-{run}"] if run else []
        return "_".join(names)


def parse_kind(text: str) -> Kind | None:
    """Return the kind of files of a text such as "FLAIR" or "ce-gadolinium_T1w"; None if it is none."""
    match = _NAME.fullmatch(text)
    return Kind(text, _entities(match[1]), match[2]) if match else None


def find_files(root: Path, folder: str) -> list[BidsFile]:
    """Return the NIfTI files of all subjects in a folder below the root; '' is the root itself."""
    files = []
    for path in sorted((root / folder).glob("sub-*/**/*.nii*")):
        stem = _ENDING.sub("", path.name)
        match = _NAME.fullmatch(stem)
        if match and stem != path.name and match[1].startswith("sub-"):
            files.append(BidsFile(path.relative_to(root).as_posix(), _entities(match[1]), match[2]))
    return files


def group_cases(
    images: Sequence[BidsFile], masks: Sequence[BidsFile], channels: Sequence[Kind], regions: Sequence[Kind]
) -> tuple[list[BidsCase], list[str]]:
    """Return the cases in order, one for each image of the first channel, and a problem for each ambiguous file.

    Sessions and runs that one of two names does not have may be any: a mask without a run belongs to the only run.
    """
    problems: list[str] = []
    cases = list(_first_images(images, channels[0], problems))
    if problems:
        return [], problems
    by_patient: dict[str, list[BidsCase]] = {}
    for case in cases:
        by_patient.setdefault(case.patient, []).append(case)
    for kind, files in [*((kind, images) for kind in channels[1:]), *((kind, masks) for kind in regions)]:
        fitting: dict[str, list[BidsFile]] = {}
        for file in filter(kind.fits, files):
            fitting.setdefault(file.value("sub"), []).append(file)
        for patient, of_patient in fitting.items():
            problems += _assign(by_patient.get(patient, []), kind, of_patient, channels[0])
    cases.sort(key=lambda case: natural_order(case.id))
    return cases, problems


def _first_images(images: Sequence[BidsFile], kind: Kind, problems: list[str]) -> Iterator[BidsCase]:
    """Yield a case for each subject, session and run with an image of this kind."""
    by_key: dict[tuple[str, ...], list[BidsFile]] = {}
    for file in filter(kind.fits, images):
        by_key.setdefault(file.key, []).append(file)
    for key, files in by_key.items():
        chosen = _only(kind, files)
        if chosen is None:
            problems.append(_several(files))
        else:
            yield BidsCase(key, {kind: chosen})


def _assign(cases: Sequence[BidsCase], kind: Kind, files: Sequence[BidsFile], first: Kind) -> Iterator[str]:
    """Add the files of a subject to its cases; yield a problem for each that fits none or several."""
    candidates: dict[str, list[BidsFile]] = {}
    for file in files:
        fitting = _fitting_cases(cases, file)
        if not fitting:
            yield f"{file.path}: found no {first.text} image for it, expected one; add it or move the file away"
        elif len(fitting) > 1:
            names = " and ".join(fitting[:2])
            yield f"{file.path}: found that it fits {names}, expected one case; name session and run in the file"
        else:
            candidates.setdefault(fitting[0], []).append(file)
    by_id = {case.id: case for case in cases}
    for name, of_case in candidates.items():
        chosen = _only(kind, of_case)
        if chosen is None:
            yield _several(of_case)
        else:
            by_id[name].files[kind] = chosen


def _fitting_cases(cases: Sequence[BidsCase], file: BidsFile) -> list[str]:
    """Return the case of a file's session and run, or else all cases that its name does not exclude."""
    same = [case.id for case in cases if case.key == file.key]
    return same or [case.id for case in cases if _agree(case.key, file.key)]


def _agree(key: Sequence[str], other: Sequence[str]) -> bool:
    """Return True if session and run are equal wherever both names have them."""
    return all(not value or not second or value == second for value, second in zip(key, other, strict=True))


def _only(kind: Kind, files: Sequence[BidsFile]) -> BidsFile | None:
    """Return the only file, or of several the only one without entities that the kind does not name."""
    if len(files) == 1:
        return files[0]
    plain = [file for file in files if file.kind == kind.text]
    return plain[0] if len(plain) == 1 else None


def _several(files: Sequence[BidsFile]) -> str:
    first, second = files[:2]
    remedy = f'choose one by its name, such as "{second.kind}"'
    if first.kind == second.kind:
        remedy = "move one away"
    return f"{second.path}: found {first.path} for the same case, expected one file; {remedy}"


def _entities(text: str) -> Entities:
    pairs = [part.split("-", maxsplit=1) for part in text.split("_") if part]
    return frozenset((name, value) for name, value in pairs)


def missing_files(case: BidsCase, kinds: Mapping[Kind, str]) -> Iterator[str]:
    """Yield a problem for each file that a case lacks; the values say what a kind is, such as "mask"."""
    first = next(iter(case.files.values()))
    for kind, what in kinds.items():
        if kind not in case.files:
            expected = f"one named {first.path.rpartition('/')[2].split('_')[0]}_..._{kind.text}.nii.gz"
            yield f"{first.path}: found no {what} for it, expected {expected}; add it or move the file away"
