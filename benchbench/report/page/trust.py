"""Why the numbers of a page can be believed, and where they cannot: from the records, recounted where possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from benchbench.comparison.recipes import differences
from benchbench.results.record import Record
from benchbench.tables.results import Results, lines_of_runs, mixed_data
from benchbench.tables.rows import datasets, rows_of

_OF_A_MODEL = ("model.", "members")
_HONEST = "the checkpoint was chosen on the inner validation; test cases were scored once and chose nothing"
_OPTIMISTIC = "the checkpoint was chosen on the very cases that are scored, which flatters it"


class Fact(NamedTuple):
    """A line of the trust box; `is_good` is None where there is nothing to pass or fail."""

    term: str
    said: str
    is_good: bool | None = None


def facts(results: Results) -> list[Fact]:
    """Everything that a sceptic asks first."""
    return [
        _runs(results),
        *(fact for dataset in datasets(results) for fact in _of_dataset(results, dataset)),
        *_selection(results),
        _same_recipe(results),
        *_environment(results),
        *(Fact("Known deviation", line) for line in results.manifest.deviations),
    ]


def endings(results: Results) -> list[Fact]:
    """Runs that did not end well, with the first line of their reason."""
    bad = [record for _, record in sorted(results.records.items()) if record.status != "done"]
    reasons = ["".join(record.reason.splitlines()[:1]) for record in bad]
    return [
        Fact(str(record.key), f"{record.status}: {reason}", is_good=False)
        for record, reason in zip(bad, reasons, strict=True)
    ]


def _done(results: Results, dataset: str | None = None) -> list[Record]:
    return [
        results.records[key] for key in filter(results.is_done, results.planned) if dataset in {None, key.dataset}
    ]


def _runs(results: Results) -> Fact:
    done, planned = len(_done(results)), len(results.planned)
    return Fact("Runs", f"{done} of {planned} planned runs are done and scored", done == planned)


def _of_dataset(results: Results, dataset: str) -> Iterator[Fact]:
    records = _done(results, dataset)
    if not records:
        return
    yield _data(results, dataset, records)
    splits = sorted({(record.fold, record.split_digest[:12]) for record in records})
    yield Fact(f"Splits, {dataset}", ", ".join(f"fold {fold}: {digest}" for fold, digest in splits))
    yield _tested_once(results, dataset)


def _data(results: Results, dataset: str, records: Sequence[Record]) -> Fact:
    """Whether rows saw the same files; variants may ask for other ones, such as fewer sequences."""
    term = f"Data, {dataset}"
    if any(name == dataset for name, _ in mixed_data(results)):
        return Fact(term, "runs of one variant saw different files or folds", is_good=False)
    variants: dict[str, list[str]] = {}
    for record in records:
        of_digest = variants.setdefault(record.data_digest[:12], [])
        of_digest += [record.variant] if record.variant not in of_digest else []
    begin = "SHA-256 of all its files begins"
    if len(variants) == 1:
        return Fact(term, f"{begin} {next(iter(variants))}; the same for every row", is_good=True)
    said = "; ".join(f"{digest} for {', '.join(names)}" for digest, names in variants.items())
    return Fact(term, f"{begin} {said}: rows of other data are not ranked against each other")


def _tested_once(results: Results, dataset: str) -> Fact:
    """Recounted from the cases: a patient in two test folds would have been trained on and tested."""
    twice: list[str] = []
    patients: set[str] = set()
    for row in rows_of(results, dataset):
        cases = lines_of_runs(results.cases, row.runs)
        folds = cases.groupby("patient")["fold"].nunique()
        twice += [str(patient) for patient in folds.index[folds > 1]]
        patients |= set(folds.index)
    said = f"{len(patients)} patients, each tested in one fold only, all their cases and slices together"
    if twice:
        said = f"tested in several folds: {', '.join(sorted(set(twice))[:5])}"
    return Fact(f"Leakage, {dataset}", said, not twice)


def _selection(results: Results) -> Iterator[Fact]:
    variants = list(results.manifest.scores)
    for variant in variants:
        name = "Selection" if len(variants) == 1 else f"Selection, {variant}"
        is_honest = not results.selects_on_test_set(variant)
        yield Fact(name, _HONEST if is_honest else _OPTIMISTIC, is_honest)


def _same_recipe(results: Results) -> Fact:
    """What differs between the recipes of a variant's rows, their models apart."""
    compared, found = 0, set()
    for dataset in datasets(results):
        by_variant: dict[str, list[list[Record]]] = {}
        for row in rows_of(results, dataset):
            by_variant.setdefault(row.group.variant, []).append(row.records(results))
        for first, *others in by_variant.values():
            compared += len(others)
            found |= {each.key for other in others for each in differences(first, other)}
    unequal = sorted(key for key in found if not key.startswith((*_OF_A_MODEL, "on.")))
    if unequal:
        return Fact("Equal recipe", f"rows differ beside their models in {', '.join(unequal)}", is_good=False)
    if not compared:
        return Fact("Equal recipe", "no variant has two rows that could be compared")
    return Fact(
        "Equal recipe", "recipes of a variant's rows differ in their models and in nothing else", is_good=True
    )


def _environment(results: Results) -> Iterator[Fact]:
    records = _done(results)
    yield Fact("Machine", _listed(records, _machine))
    yield Fact("Software", _listed(records, _software))
    if commits := _listed(records, _commit):
        yield Fact("Code", commits)


def _machine(record: Record) -> str:
    given = record.provenance
    device = given.get("name") or given.get("device", "")
    precision, threads = given.get("precision", ""), given.get("threads", "")
    return f"{device}, {precision}, {threads} threads"


def _software(record: Record) -> str:
    versions = record.provenance.get("versions", {})
    return ", ".join(f"{name} {versions[name]}" for name in ("benchbench", "torch", "python") if name in versions)


def _commit(record: Record) -> str:
    code = record.provenance.get("code", {})
    commit = code.get("commit")
    return f"commit {commit[:12]}{' with changes' if code.get('dirty') else ''}" if commit else ""


def _listed(records: Sequence[Record], said: Callable[[Record], str]) -> str:
    return "; ".join(dict.fromkeys(filter(None, map(said, records))))
