"""Finds regions that no case has, or no case of one part of a fold."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from benchbench.contract import CaseRef
from benchbench.data.folds import PARTS, Fold
from benchbench.words import count


def absent_region_remarks(cases_with: Mapping[str, set[CaseRef]]) -> Iterator[str]:
    """Yield a line for each region that no case has; `cases_with` has the cases of each region."""
    for region, cases in cases_with.items():
        if not cases:
            yield f"region {region}: in no case, so that nothing can be learnt or scored; check the label's map"


def rare_region_remarks(
    cases_with: Mapping[str, set[CaseRef]], folds: Sequence[Fold], *, n_cases: int
) -> Iterator[str]:
    """Yield a line for each region that some case has, but no case of one part of a fold."""
    for region, cases in cases_with.items():
        parts = _parts_without(cases, folds)
        if cases and parts:
            share = f"{len(cases)} of {count(n_cases, 'case')}"
            yield f"region {region}: in {share}, in none of {', '.join(parts)}"


def _parts_without(cases: set[CaseRef], folds: Sequence[Fold]) -> list[str]:
    return [
        f"{part} of fold {fold.number}"
        for fold, part in itertools.product(folds, PARTS)
        if cases.isdisjoint(fold.part(part))
    ]
