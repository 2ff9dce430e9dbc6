"""Lines about prepared data that a user reads before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbench.contract import CaseRef
from benchbench.data.folds import Fold
from benchbench.data.region_presence import absent_region_remarks, rare_region_remarks
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.words import count

_MOST_NAMES = 3


def dataset_remarks(cases: Sequence[PreparedCase], regions: Sequence[str], folds: Sequence[Fold]) -> Iterator[str]:
    """Yield a line for each region that is missing in all cases or in a part, and for settings without effect."""
    cases_with: dict[str, set[CaseRef]] = {region: set() for region in regions}
    cases_of: dict[str, list[str]] = {}
    for prepared in cases:
        for number, region in enumerate(regions):
            if prepared.present_bits >> number & 1:
                cases_with[region].add(prepared.case)
        for remark in prepared.remarks:
            cases_of.setdefault(remark, []).append(prepared.case.id)
    yield from _partly_labelled(cases, regions)
    yield from absent_region_remarks(cases_with)
    yield from rare_region_remarks(cases_with, folds, n_cases=len(cases))
    for remark, names in cases_of.items():
        listed = ", ".join(names[:_MOST_NAMES])
        if len(names) > _MOST_NAMES:
            listed += " and others"
        yield f"{remark}, in {len(names)} of {count(len(cases), 'case')}: {listed}"


def _partly_labelled(cases: Sequence[PreparedCase], regions: Sequence[str]) -> Iterator[str]:
    """Yield a line for each region that some cases lack by declaration."""
    for number, region in enumerate(regions):
        labelled = sum(not prepared.unlabelled_bits >> number & 1 for prepared in cases)
        if labelled < len(cases):
            yield f"region {region}: labelled in {labelled} of {count(len(cases), 'case')}; no part in the others"
