"""Checks that the names of cases and patients can be used in tables, paths and on other file systems."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from benchbench.contract import CaseRef

_MOST_BYTES = 200


def name_problems(cases: Iterable[CaseRef]) -> Iterator[str]:
    """Yield a line for each name of a case or patient that cannot be used, or that clashes with an earlier one."""
    names: dict[str, None] = {}  # in order, without repetitions
    for case in cases:
        names |= {case.id: None, case.patient: None}
    first_names: dict[str, str] = {}
    for name in names:
        if fault := _name_fault(name):
            yield f"{name!r}: {fault}; rename it"
        first = first_names.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if first != name:
            yield (
                f"{name!r}: found another name {first!r}, expected names that differ in more than case or the"
                " coding of accents; rename one"
            )


def _name_fault(name: str) -> str:
    if not name.strip() or not name.isprintable() or len(name.encode()) > _MOST_BYTES:
        return "found a name that is empty, too long or unprintable"
    if name[0] == "-" or name in {".", ".."} or "/" in name or "\\" in name:
        return "found a name that reads as an option or a path, expected a plain one"
    return ""
