"""Everything that the tables of a benchmark are made from: its manifest, records and counts."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from benchbench.metrics.scores import Counts
from benchbench.plan.run import GROUP, KEYS, Group, RunKey
from benchbench.results.folder import ResultsFolder
from benchbench.results.manifest import Manifest
from benchbench.results.record import Record
from benchbench.results.run_folder import RunFolder
from benchbench.spec.protocol import EmptyPolicy
from benchbench.tables.integrity import check_counts, check_sums

PHANTOM_NOTE = "phantom data, not a result"

_TABLES = ("cases", "slices", "ceiling")
"""Tables of counts that a run records."""
_INTEGERS = (
    "rank",
    "n",
    "n_cases",
    "n_ref_empty",
    "n_penalised",
    "n_nan",
    "parameters",
    "epochs",
    "best_epoch",
    "threads",
    "peak_memory_bytes",
    "runs_per_device",
)
"""Columns that hold whole numbers wherever they are known."""

Line = Mapping[Any, Any]
"""A row of a table, column -> value."""


class Rules(TypedDict):
    """The metrics by which a variant is scored, and its rule for empty masks."""

    metrics: list[str]
    empty: EmptyPolicy


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that the tables of a benchmark are made from."""

    manifest: Manifest
    records: Mapping[RunKey, Record]
    """Records of the planned runs; a record whose digest is not the planned one is left out."""
    cases: pd.DataFrame
    """Counts, and distances in mm or px, by run, case and region."""
    slices: pd.DataFrame
    """Counts by run, case, slice and region."""
    ceilings: pd.DataFrame
    """Counts and distances of the resized reference, in the columns of `cases`; only of cases that are resized."""
    cache: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    """Tables that were computed before, by name (`cached_table`)."""

    @property
    def planned(self) -> list[RunKey]:
        """Keys of all planned runs, sorted."""
        return sorted(run.key for run in self.manifest.runs)

    @property
    def data(self) -> str:
        """The note on its data that every table carries."""
        if self.manifest.phantom:
            return PHANTOM_NOTE
        return "real"

    def metrics(self, variant: str) -> list[str]:
        return list(self.manifest.scores[variant].metrics)

    def empty(self, variant: str) -> EmptyPolicy:
        return self.manifest.scores[variant].empty

    def selects_on_test_set(self, variant: str) -> bool:
        """Return True where checkpoints are chosen on the cases that are scored."""
        return self.manifest.scores[variant].select_on == "report"

    def rules(self, variant: str) -> Rules:
        """Return the rules of a variant as keyword arguments of `summaries`."""
        return Rules(metrics=self.metrics(variant), empty=self.empty(variant))

    def is_done(self, key: RunKey) -> bool:
        return key in self.records and self.records[key].status == "done"


def read_results(folder: ResultsFolder) -> Results:
    """Read the manifest, the records and the counts of a benchmark.

    Raises:
        IntegrityError: a file was damaged or edited, or two files contradict each other.
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
    return Results(
        manifest=manifest,
        records=records,
        cases=_concatenate(tables["cases"]),
        slices=_concatenate(tables["slices"]),
        ceilings=_concatenate(tables["ceiling"]),
    )


def _read_counts(folder: RunFolder, record: Record) -> dict[str, pd.DataFrame]:
    """Return the recorded tables of a run by name."""
    tables: dict[str, pd.DataFrame] = {}
    for name in _TABLES:
        file = f"{name}.parquet"
        if file in record.files:
            tables[name] = folder.read_table(file, record).to_pandas()
            check_counts(folder.path / file, tables[name], record.key)
    if "cases" in tables and "slices" in tables:
        check_sums(folder.path / "cases.parquet", tables["cases"], tables["slices"])
    return tables


def _concatenate(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame(columns=[*KEYS, "case", "patient", "region", *Counts._fields])
    return pd.concat(tables, ignore_index=True)


def cached_table(make: Callable[[Results], pd.DataFrame]) -> Callable[[Results], pd.DataFrame]:
    """Decorate a function so that it computes its table once per results; every caller gets a copy."""

    @functools.wraps(make)
    def cached(results: Results) -> pd.DataFrame:
        if make.__name__ not in results.cache:
            results.cache[make.__name__] = make(results)
        return results.cache[make.__name__].copy()

    return cached


def mixed_data(results: Results) -> list[tuple[str, str]]:
    """Return each dataset and variant whose runs did not see the same files, or the same split of a fold."""
    files: dict[tuple[str, str], set[str]] = defaultdict(set)
    splits: dict[tuple[str, str], set[tuple[int, str]]] = defaultdict(set)
    for key in filter(results.is_done, results.planned):
        record = results.records[key]
        place = (key.dataset, key.variant)
        files[place].add(record.data_digest)
        splits[place].add((key.fold, record.split_digest))
    return [place for place in files if len(files[place]) > 1 or _has_two_splits(splits[place])]


def _has_two_splits(splits: AbstractSet[tuple[int, str]]) -> bool:
    folds = {fold for fold, _ in splits}
    return len(splits) > len(folds)


def groups_of(results: Results) -> list[Group]:
    return sorted({key.group for key in results.planned})


def runs_of_group(results: Results, group: Group) -> tuple[list[RunKey], list[RunKey]]:
    """Return the planned runs of a group, and those of them that are done."""
    planned = [key for key in results.planned if key.group == group]
    return planned, [key for key in planned if results.is_done(key)]


def lines_of_run(table: pd.DataFrame, key: RunKey) -> pd.DataFrame:
    return table[(table[KEYS] == list(key)).all(axis=1)]


def lines_of_group(table: pd.DataFrame, group: Group) -> pd.DataFrame:
    return table[(table[GROUP] == list(group)).all(axis=1)]


def lines_of_runs(table: pd.DataFrame, keys: Iterable[RunKey]) -> pd.DataFrame:
    """Return the lines of a table that belong to these runs, in the order of the table."""
    chosen = {tuple(key) for key in keys}
    is_chosen = [line in chosen for line in table[KEYS].itertuples(index=False, name=None)]
    return table[np.array(is_chosen, dtype=bool)]


def lines_of_done(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    return lines_of_runs(table, filter(results.is_done, results.planned))


def with_integers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with counts as whole numbers, also where some are missing."""
    return table.astype({name: "Int64" for name in _INTEGERS if name in table})
