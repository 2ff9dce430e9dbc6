"""The results of a benchmark as its tables read them: manifest, records and counts."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import numpy as np
import pandas as pd

from benchbench.errors import IntegrityError
from benchbench.metrics.scores import Counts
from benchbench.plan.run import KEYS, Group, RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.manifest import Manifest
from benchbench.records.metadata import METADATA_NAME, Metadata, read_metadata
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder
from benchbench.records.split import read_split
from benchbench.records.table_columns import read_checked
from benchbench.spec.protocol import EmptyPolicy
from benchbench.tables.integrity import check_counts, check_sums

if TYPE_CHECKING:
    import pyarrow as pa

PHANTOM_NOTE = "phantom data, not a result"

_TABLES = ("cases", "slices", "ceiling", "readers")
"""Tables of counts that a run records."""
_INTEGER_COLUMNS = (
    *("rank", "n", "n_cases", "n_ref_empty", "n_penalised", "n_nan"),
    *("parameters", "epochs", "best_epoch", "threads", "peak_memory_bytes", "resident_bytes", "runs_per_device"),
    "gpu_memory_bytes",
)

Computed = TypeVar("Computed")


class Rules(TypedDict):
    """The metrics of a variant, and its rule for empty masks."""

    metrics: list[str]
    empty: EmptyPolicy


class RunLines:
    """A table and the lines of each run in it, which are looked up in one pass over the table."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table
        self._lines = table.groupby(KEYS, sort=False).indices

    def select(self, keys: Iterable[RunKey]) -> pd.DataFrame:
        """Return the lines that belong to one of these runs, in the order of the table."""
        lines = [self._lines[tuple(key)] for key in set(keys) if tuple(key) in self._lines]
        if not lines:
            return self._table.iloc[:0]
        places = np.sort(np.concatenate(lines))
        first, last = int(places[0]), int(places[-1])
        if last - first + 1 == len(places):  # lines in one piece, which need no copy
            return self._table.iloc[first : last + 1]
        return self._table.iloc[places]


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that the tables of a benchmark are computed from."""

    manifest: Manifest
    records: Mapping[RunKey, Record]
    """Records of planned runs that have the planned digest."""
    cases: pd.DataFrame
    """Counts, and distances in mm or px, by run, case and region."""
    slices: pd.DataFrame
    """Counts by run, case, slice and region."""
    upper_bounds: pd.DataFrame
    """Counts and distances of the resampling upper bound, the reference resized to the network's input and back.

    Only runs that resize their cases have it."""
    readers: pd.DataFrame = field(default_factory=lambda: _concat([]))
    """Counts of predictions against each reader, and of readers against one another, where cases have several."""
    metadata: Mapping[str, Metadata] = field(default_factory=dict)
    """Dataset -> metadata of its tested patients; empty for results of earlier versions."""
    with_controls: Results | None = None
    """The same with the runs of the controls, which are not ranked; None for a benchmark without controls."""
    patients: Mapping[str, int] = field(default_factory=dict)
    """Dataset -> number of its patients in the data folder, tested or not; where the split is known."""
    cache: dict[str, Any] = field(default_factory=dict, repr=False)
    """Tables that were computed before, by the name of their function; other tables build on them."""

    @property
    def planned(self) -> list[RunKey]:
        return sorted((run.key for run in self.manifest.runs), key=lambda key: key.order)

    @property
    def data(self) -> str:
        """The content of the column `data` of every table: the note on the data, or real."""
        return self.note or "real"

    @property
    def note(self) -> str:
        """A note for readers of any number: phantom data, or only a part of the patients; otherwise ''."""
        if self.manifest.phantom:
            return PHANTOM_NOTE
        parts: list[str] = []
        for dataset, facts in self.manifest.dataset_facts.items():
            present = self.patients.get(dataset)
            if present is not None and facts.patients is not None and present < facts.patients:
                place = f"{dataset}: " if len(self.manifest.datasets) > 1 else ""
                parts.append(f"{place}{present} of {facts.patients} patients")
        return "; ".join(parts)

    def metrics(self, variant: str) -> list[str]:
        return list(self.manifest.scores[variant].metrics)

    def empty(self, variant: str) -> EmptyPolicy:
        """Return the rule for empty masks."""
        return self.manifest.scores[variant].empty

    def selects_on_test_set(self, variant: str) -> bool:
        """Return True if checkpoints are selected on the test set, that is, on the cases that are scored."""
        return self.manifest.scores[variant].select_on == "report"

    def rules(self, variant: str) -> Rules:
        """Return the rules that `summaries` takes."""
        return Rules(metrics=self.metrics(variant), empty=self.empty(variant))

    def cases_of(self, keys: Iterable[RunKey]) -> pd.DataFrame:
        """Return the counts of the cases of these runs, in the order of the table."""
        return self._case_lines.select(keys)

    def slices_of(self, keys: Iterable[RunKey]) -> pd.DataFrame:
        """Return the counts of the slices of these runs, in the order of the table."""
        return self._slice_lines.select(keys)

    @cached_property
    def _case_lines(self) -> RunLines:
        return RunLines(self.cases)

    @cached_property
    def _slice_lines(self) -> RunLines:
        return RunLines(self.slices)

    def is_done(self, key: RunKey) -> bool:
        return key in self.records and self.records[key].status == "done"


def read_results(folder: ResultsFolder) -> Results:
    """Read the manifest, the records and the counts of a benchmark.

    Raises:
        IntegrityError: a file is missing, damaged or edited.
    """
    manifest = folder.read_manifest()
    digests = {run.key: run.digest for run in manifest.runs}
    records: dict[RunKey, Record] = {}
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in _TABLES}
    for key in sorted(digests):
        record = folder.run(key).read_record()
        if record is None or record.digest != digests[key]:
            continue
        records[key] = record
        for name, table in _read_counts(folder.run(key), record).items():
            tables[name].append(table)
    cases, slices, upper_bounds, readers = (_concat(tables[name]) for name in _TABLES)
    results = Results(
        manifest=manifest,
        records=records,
        cases=cases,
        slices=slices,
        upper_bounds=upper_bounds,
        readers=readers,
        metadata=_read_metadata(folder, records),
        patients=_count_patients(folder, records),
    )
    return _without_controls(results) if manifest.controls else results


def _without_controls(results: Results) -> Results:
    """Return the results of the runs that are ranked, from which all tables are made."""
    controls = {control.name for control in results.manifest.controls}
    runs = tuple(run for run in results.manifest.runs if run.model not in controls)

    def ranked(table: pd.DataFrame) -> pd.DataFrame:
        return table[~table["model"].isin(controls)].reset_index(drop=True)

    return replace(
        results,
        manifest=results.manifest.model_copy(update={"runs": runs}),
        records={key: record for key, record in results.records.items() if key.model not in controls},
        cases=ranked(results.cases),
        slices=ranked(results.slices),
        upper_bounds=ranked(results.upper_bounds),
        readers=ranked(results.readers),
        with_controls=results,
        cache={},
    )


def _read_metadata(
    folder: ResultsFolder, records: Mapping[RunKey, Record]
) -> dict[str, dict[str, dict[str, str]]]:
    """Return dataset -> patient -> column -> value; files that are equal are read once."""
    metadata: dict[str, dict[str, dict[str, str]]] = {}
    known: set[tuple[str, str | None]] = set()
    for key, record in records.items():
        content = (key.dataset, record.files.get(METADATA_NAME))
        if content not in known:
            known.add(content)
            of_run = read_metadata(folder.run(key), record)
            metadata.setdefault(key.dataset, {}).update(of_run)
    return metadata


def _count_patients(folder: ResultsFolder, records: Mapping[RunKey, Record]) -> dict[str, int]:
    """Return dataset -> number of patients in the split of its first run that has one."""
    patients: dict[str, int] = {}
    for key, record in records.items():
        if key.dataset in patients:
            continue
        rows = read_split(folder.run(key), record)
        if rows:
            patients[key.dataset] = len({row["patient"] for row in rows})
    return patients


def verify_runs(folder: ResultsFolder) -> None:
    """Compare every file that a record lists with its digest, also weights, which no table is made from.

    Raises:
        IntegrityError: with every run of which a file is missing or was changed.
    """
    problems: list[str] = []
    for run in folder.read_manifest().runs:
        record = folder.run(run.key).read_record()
        if record is None or record.digest != run.digest:
            continue
        try:
            folder.run(run.key).verify_all(record)
        except IntegrityError as error:
            problems += error.problems
    if problems:
        raise IntegrityError(*problems)


def _read_counts(folder: RunFolder, record: Record) -> dict[str, pd.DataFrame]:
    """Return the recorded tables of a run by name."""
    tables: dict[str, pa.Table] = {}
    for name in _TABLES:
        file = f"{name}.parquet"
        if file in record.files:
            tables[name] = read_checked(folder, file, record)
            check_counts(folder.path / file, tables[name], record.key)
    if "cases" in tables and "slices" in tables:
        check_sums(folder.path / "cases.parquet", tables["cases"], tables["slices"])
    return {name: table.to_pandas() for name, table in tables.items()}


def _concat(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame(columns=[*KEYS, "case", "patient", "region", *Counts._fields])
    return pd.concat(tables, ignore_index=True)


def cached_table(compute: Callable[[Results], Computed]) -> Callable[[Results], Computed]:
    """Make a function compute its table once for the same results; every caller gets a copy."""

    @functools.wraps(compute)
    def cached(results: Results) -> Computed:
        name = compute.__name__
        if name not in results.cache:
            results.cache[name] = compute(results)
        table: Computed = results.cache[name]
        return copy.copy(table)

    return cached


def is_mixed(records: Iterable[Record]) -> bool:
    """Return True if runs used different files, or different splits in the same fold."""
    splits: set[tuple[int, str]] = set()
    data: set[str] = set()
    for record in records:
        splits.add((record.fold, record.split_digest))
        data.add(record.data_digest)
    folds = {fold for fold, _ in splits}
    return len(data) > 1 or len(splits) > len(folds)


def mixed_data(results: Results) -> list[tuple[str, str]]:
    """Return dataset and variant wherever the finished runs used different files or splits."""
    records: dict[tuple[str, str], list[Record]] = {}
    for key in filter(results.is_done, results.planned):
        of_place = records.setdefault((key.dataset, key.variant), [])
        of_place.append(results.records[key])
    return [place for place, of_place in records.items() if is_mixed(of_place)]


def groups_of(results: Results) -> list[Group]:
    return list(dict.fromkeys(key.group for key in results.planned))


def runs_of_group(results: Results, group: Group) -> tuple[list[RunKey], list[RunKey]]:
    """Return the planned runs of a group, and those of them that are done."""
    planned = [key for key in results.planned if key.group == group]
    return planned, [key for key in planned if results.is_done(key)]


def lines_of_runs(table: pd.DataFrame, keys: Iterable[RunKey]) -> pd.DataFrame:
    """Return the lines of a table that belong to one of these runs, in the order of the table."""
    return RunLines(table).select(keys)


def table_of_rows(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows as a table; a table without rows has these columns."""
    if not rows:
        return pd.DataFrame(columns=list(columns))
    return pd.DataFrame(rows)


def with_integers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with counts as integers, even where some are missing."""
    return table.astype({name: "Int64" for name in _INTEGER_COLUMNS if name in table})
