"""Sentences about regions that no scored case has: their scores say nothing about a model."""

from __future__ import annotations

from collections.abc import Iterator

from benchbench.spec.protocol import EmptyPolicy
from benchbench.tables.results import Results

_EFFECTS: dict[EmptyPolicy, str] = {
    "score": "in the mean over regions an empty prediction of it counts as perfect, any other as 0",
    "brats": "in the mean over regions an empty prediction of it counts as perfect, any other as 0",
    "zero": "in the mean over regions it counts as 0",
    "nnunet": "in the mean over regions it counts as 0 where it is predicted, and is left out elsewhere",
    "monai": "the mean over regions leaves it out",
    "stratify": "the mean over regions leaves it out",
}


def absent_region_notes(results: Results, *, dataset: str | None = None) -> list[str]:
    """Return a sentence for each region of a dataset that no scored case has, and each rule for empty masks.

    Regions that are not labelled in some of the cases have a sentence too.
    With `dataset`, only regions of that dataset are named.
    """
    policies: dict[EmptyPolicy, None] = {}
    for variant in results.manifest.scores:
        policies[results.empty(variant)] = None
    notes = []
    for name, region in _absent_regions(results):
        if dataset not in {None, name}:
            continue
        place = f"{name}: "
        notes += [describe_absence(region, policy, place=place, cases="scored case") for policy in policies]
    for name, region, labelled, scored in _partly_labelled(results):
        if dataset in {None, name}:
            notes.append(
                f"{name}: region '{region}' is labelled in {labelled} of {scored} scored cases: its scores are of"
                " these alone, and means over regions leave it out elsewhere"
            )
    return notes


def describe_absence(region: str, policy: EmptyPolicy, *, place: str = "", cases: str) -> str:
    """Return a sentence that says which region no case has, and how that changes the mean over regions."""
    effect = _EFFECTS[policy]
    return f"{place}no {cases} has region '{region}': its scores say nothing, and {effect} (empty masks: {policy})"


def _absent_regions(results: Results) -> Iterator[tuple[str, str]]:
    if results.cases.empty:
        return
    positives = results.cases["tp"] + results.cases["fn"]
    totals = positives.groupby([results.cases["dataset"], results.cases["region"]], sort=False).sum()
    for (dataset, region), total in totals.items():
        if total == 0:
            yield dataset, region


def _partly_labelled(results: Results) -> Iterator[tuple[str, str, int, int]]:
    """Yield dataset, region, cases in which it is labelled and all cases, for regions that some cases lack."""
    places = results.cases[["dataset", "region", "case"]].drop_duplicates()
    for dataset, of_dataset in places.groupby("dataset", sort=False):
        scored = of_dataset["case"].nunique()
        for region, labelled in of_dataset["region"].value_counts(sort=False).items():
            if labelled < scored:
                yield str(dataset), str(region), int(labelled), scored
