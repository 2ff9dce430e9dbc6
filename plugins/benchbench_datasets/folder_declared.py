"""The regions that the cases of own images have labels of, by the benchmark file or by a column of the table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from benchbench import CaseRef, DataError
from benchbench_datasets.folder_table import Row

Declared = dict[str, tuple[str, ...]]
"""Pattern of the names of cases -> the regions that are labelled in them."""


def labelled_in(
    case: str, declared: Mapping[str, Sequence[str]], row: Row | None, *, column: str, where: str
) -> tuple[str, ...] | None:
    """Return the labelled regions of a case; None where nothing is declared, so that all are labelled.

    Raises:
        DataError: the benchmark file and the table both declare the case.
    """
    of_patterns = [regions for pattern, regions in declared.items() if fnmatchcase(case, pattern)]
    of_row = re.split(r"[\s,;]+", row[column].strip()) if column and row else [""]
    if of_patterns and of_row != [""]:
        fault = "found its labelled regions in `labelled_regions` and in the table, expected one of the two"
        raise DataError(f"{where}: {case}: {fault}; remove one")
    if len(of_patterns) > 1:
        fault = "found several patterns of `labelled_regions` for it, expected one; make them more precise"
        raise DataError(f"{where}: {case}: {fault}")
    if of_patterns:
        return tuple(of_patterns[0])
    return None if of_row == [""] else tuple(of_row)


def declaration_problems(
    declared: Mapping[str, Sequence[str]], regions: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield (parameter, problem) for names of regions that the dataset lacks."""
    for pattern, names in declared.items():
        for name in names:
            if name not in regions:
                expected = ", ".join(regions)
                yield f"labelled_regions.{pattern}", f"found '{name}', expected some of {expected}; correct it"


def unused_patterns(declared: Mapping[str, Sequence[str]], cases: Sequence[CaseRef]) -> Iterator[str]:
    """Yield a problem for each pattern that no case fits; its case would count as labelled in full."""
    for pattern in declared:
        if not any(fnmatchcase(case.id, pattern) for case in cases):
            yield f"labelled_regions.{pattern}: found no case of that name, expected one; correct the name"
