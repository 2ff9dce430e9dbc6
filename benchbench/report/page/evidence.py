"""The evidence for the numbers of a page: facts from the records, recomputed where possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from benchbench.comparison.controls import control_outcomes
from benchbench.comparison.recipes import differences
from benchbench.records.record import Record
from benchbench.records.split import SPLIT_NAME
from benchbench.tables.cost_tables import row_of
from benchbench.tables.results import Results, mixed_data
from benchbench.tables.rows import rows_of
from benchbench.words import are, count, natural_order

_OF_A_MODEL = ("model.", "members")
_OF_A_MACHINE = "on."
_SOFTWARE = ("benchbench", "torch", "python")
_ON_VALIDATION = (
    "the checkpoint was selected on the inner validation; test cases were scored once and selected nothing"
)
_ON_TEST_SET = "the checkpoint was selected on the test set, which makes the scores optimistic"
_MOST_PATIENTS = 5  # in a fact


class Fact(NamedTuple):
    """A line of the evidence section."""

    term: str
    text: str
    is_good: bool | None = None
    """None for information that cannot pass or fail."""
    file: str = ""
    """File with more, relative to the page; '' for a fact without one."""


def facts(results: Results) -> list[Fact]:
    """Return runs, data, splits, selection, recipes, machines and deviations."""
    lines = [_runs(results)]
    for dataset in results.manifest.datasets:
        lines += _dataset_facts(results, dataset)
    lines += _controls(results)
    lines += _selection(results)
    lines.append(_equal_recipe(results))
    lines += _environment(results)
    lines += _shared(results)
    lines += _remarks(results)
    if not results.manifest.reported:  # otherwise they follow the printed tables
        lines += [Fact("Known deviation", deviation) for deviation in results.manifest.deviations]
    return lines


def failures(results: Results) -> list[Fact]:
    """Return the runs that failed or diverged, with the first line of the reason."""
    lines = []
    for key in sorted(results.records, key=lambda key: key.order):
        record = results.records[key]
        if record.status != "done":
            reason = "".join(record.reason.splitlines()[:1])
            lines.append(Fact(str(record.key), f"{record.status}: {reason}", is_good=False))
    return lines


def _done(results: Results, dataset: str | None = None) -> list[Record]:
    done = [results.records[key] for key in results.planned if results.is_done(key)]
    return [record for record in done if dataset in {None, record.dataset}]


def _runs(results: Results) -> Fact:
    done, planned = len(_done(results)), len(results.planned)
    return Fact("Runs", f"{done} of {are(planned, 'planned run')} done and scored", done == planned)


def _dataset_facts(results: Results, dataset: str) -> Iterator[Fact]:
    records = _done(results, dataset)
    if not records:
        return
    yield _data(results, dataset, records)
    splits = sorted({(record.fold, record.split_digest[:12]) for record in records})
    listed = [f"fold {fold}: {digest}" for fold, digest in splits]
    file = SPLIT_NAME if any(SPLIT_NAME in record.files for record in records) else ""
    yield Fact(f"Splits, {dataset}", ", ".join(listed), file=file)
    yield _leakage(results, dataset)


def _data(results: Results, dataset: str, records: Sequence[Record]) -> Fact:
    """Compare the files that rows used; variants may ask for different files, such as fewer sequences."""
    term = f"Data, {dataset}"
    if any(name == dataset for name, _ in mixed_data(results)):
        return Fact(term, "runs of one variant used different files or splits", is_good=False)
    variants: dict[str, dict[str, None]] = {}
    for record in records:
        variants.setdefault(record.data_digest[:12], {})[record.variant] = None
    beginning = "the SHA-256 of all files begins with"
    if len(variants) == 1:
        (digest,) = variants
        return Fact(term, f"{beginning} {digest}, for every row", is_good=True)
    parts = [f"{digest} for {', '.join(names)}" for digest, names in variants.items()]
    return Fact(term, f"{beginning} {'; '.join(parts)}. Rows of different data are not ranked together")


def _leakage(results: Results, dataset: str) -> Fact:
    """Look for patients in the test sets of two folds, recounted from the cases: a model was trained on them."""
    patients: set[str] = set()
    repeated: set[str] = set()
    for row in rows_of(results, dataset):
        cases = results.cases_of(row.runs)
        n_folds = cases.groupby("patient")["fold"].nunique()
        patients.update(n_folds.index)
        repeated.update(n_folds.index[n_folds > 1])
    if any(rules.leaky_split for rules in results.manifest.scores.values()):
        text = "cases of one patient are in several parts, as allow_leaky_split permits: the scores are too high"
        return Fact(f"Leakage, {dataset}", text, is_good=False)
    text = f"{count(len(patients), 'patient')}, each tested in one fold only, with all cases and slices"
    if repeated:
        text = f"tested in several folds: {', '.join(sorted(repeated, key=natural_order)[:_MOST_PATIENTS])}"
    return Fact(f"Leakage, {dataset}", text, not repeated)


def _controls(results: Results) -> Iterator[Fact]:
    for outcome in control_outcomes(results):
        place = outcome.dataset
        if outcome.variant != "default":
            place += f", {outcome.variant}"
        is_good = None if outcome.has_failed is None else not outcome.has_failed
        yield Fact(f"Control, {place}", outcome.text, is_good)


def _selection(results: Results) -> Iterator[Fact]:
    variants = list(results.manifest.scores)
    for variant in variants:
        term = "Selection" if len(variants) == 1 else f"Selection, {variant}"
        if results.selects_on_test_set(variant):
            yield Fact(term, _ON_TEST_SET, is_good=False)
        else:
            yield Fact(term, _ON_VALIDATION, is_good=True)


def _equal_recipe(results: Results) -> Fact:
    """Compare the recipes of the rows of each variant, apart from their models and machines."""
    n_compared = 0
    unequal: set[str] = set()
    for first, *others in _records_by_variant(results):
        n_compared += len(others)
        for other in others:
            unequal.update(difference.key for difference in differences(first, other))
    unequal = {key for key in unequal if not key.startswith((*_OF_A_MODEL, _OF_A_MACHINE))}
    if unequal:
        keys = ", ".join(sorted(unequal, key=natural_order))
        return Fact("Equal recipe", f"rows of a variant differ in more than their models: {keys}", is_good=False)
    if not n_compared:
        return Fact("Equal recipe", "no variant has two rows to compare")
    return Fact("Equal recipe", "rows of a variant differ in their models only", is_good=True)


def _records_by_variant(results: Results) -> Iterator[list[list[Record]]]:
    """Yield the records of every row, for each dataset and variant."""
    for dataset in results.manifest.datasets:
        by_variant: dict[str, list[list[Record]]] = {}
        for row in rows_of(results, dataset):
            by_variant.setdefault(row.group.variant, []).append(row.records(results))
        yield from by_variant.values()


def _shared(results: Results) -> Iterator[Fact]:
    """Yield a line for each row whose runs have the results of another row."""
    shared: dict[tuple[str, str], None] = {}
    for record in _done(results):
        if record.trained_as:
            shared["/".join(record.key.group), row_of(record.trained_as)] = None
    for row, source in shared:
        yield Fact(
            "Equal rows", f"{row} has the settings of {source}: it was trained once, and both rows share it"
        )


def _remarks(results: Results) -> Iterator[Fact]:
    """Yield a line for each different remark of the records, with the number of its runs."""
    counts: Counter[str] = Counter()
    for record in _done(results):
        counts.update(record.remarks)
    for remark, n_runs in counts.items():
        yield Fact("Remark", f"{remark} ({count(n_runs, 'run')})")


def _environment(results: Results) -> Iterator[Fact]:
    records = _done(results)
    yield Fact("Machine", _join_different(records, _machine))
    if repeatability := _join_different(records, _repeatability):
        yield Fact("Repeatability", repeatability)
    yield Fact("Software", _join_different(records, _software))
    commits = _join_different(records, _commit)
    if commits:
        yield Fact("Code", commits)


def _machine(record: Record) -> str:
    provenance = record.provenance
    device = provenance.get("name") or provenance.get("device", "")
    threads = count(provenance.get("threads", 0), "thread")
    compiled = "" if provenance.get("compiled", "off") == "off" else ", compiled"
    is_channels_last = provenance.get("memory_layout") == "channels_last_3d"
    layout = ", channels_last_3d" if is_channels_last else ""
    return f"{device}, {provenance.get('precision', '')}{layout}{compiled}, {threads}"


def _repeatability(record: Record) -> str:
    """Return what a second run with the same seed gives; '' for a run that does not record its algorithms."""
    arithmetic = record.provenance.get("arithmetic")
    if not arithmetic:
        return ""
    if str(record.provenance.get("device", "")).startswith("cpu"):
        return "equal seeds give equal bytes on such a processor with the same software and number of threads"
    if arithmetic.get("deterministic"):
        return "deterministic algorithms: equal seeds give equal bytes on such a GPU with the same software"
    return (
        "fastest algorithms: equal seeds give equal folds, initial weights and batches, but the sums of a GPU"
        " differ in their last digits from run to run"
    )


def _software(record: Record) -> str:
    versions = record.provenance.get("versions", {})
    return ", ".join(f"{name} {versions[name]}" for name in _SOFTWARE if name in versions)


def _commit(record: Record) -> str:
    code = record.provenance.get("code", {})
    commit = code.get("commit")
    if not commit:
        return ""
    changes = " with changes" if code.get("dirty") else ""
    return f"commit {commit[:12]}{changes}"


def _join_different(records: Sequence[Record], describe: Callable[[Record], str]) -> str:
    texts = dict.fromkeys(map(describe, records))
    return "; ".join(text for text in texts if text)
