"""Everything that the tables of a benchmark are made from: its manifest, records and counts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
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

_WHOLE = (
    *("rank", "n", "n_cases", "n_ref_empty", "n_penalised", "n_nan"),
    *("parameters", "epochs", "best_epoch", "threads", "peak_memory_bytes", "runs_per_device"),
)

_TABLES = ("cases", "slices", "ceiling")
"""Tables of counts that a run records."""

Line = Mapping[Any, Any]
"""A row of a table."""


class Rules(TypedDict):
    """By which metrics a variant is scored, and what holds for empty masks."""

    metrics: list[str]
    empty: EmptyPolicy


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that the tables of a benchmark are made from."""

    manifest: Manifest
    records: Mapping[RunKey, Record]
    """Of the planned runs, those whose record has the planned digest."""
    cases: pd.DataFrame
    """Counts, and distances in mm or px, by run, case and region."""
    slices: pd.DataFrame
    ceilings: pd.DataFrame
    """As `cases`, of the truth as resizing leaves it; of runs whose cases are resized."""
    made: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    """Tables that were asked for, by name: many are made from the same few."""

    @property
    def planned(self) -> list[RunKey]:
        return sorted(run.key for run in self.manifest.runs)

    @property
    def data(self) -> str:
        """What every table says of its data."""
        return PHANTOM_NOTE if self.manifest.phantom else "real"

    def metrics(self, variant: str) -> list[str]:
        return list(self.manifest.scores[variant].metrics)

    def empty(self, variant: str) -> EmptyPolicy:
        return self.manifest.scores[variant].empty

    def selects_on_test_set(self, variant: str) -> bool:
        """Whether checkpoints are chosen on the cases that are scored."""
        return self.manifest.scores[variant].select_on == "report"

    def rules(self, variant: str) -> Rules:
        """What `summaries` asks for."""
        return Rules(metrics=self.metrics(variant), empty=self.empty(variant))

    def is_done(self, key: RunKey) -> bool:
        return key in self.records and self.records[key].status == "done"


def read_results(folder: ResultsFolder) -> Results:
    """The manifest, the records and the counts of a benchmark.

    Raises:
        IntegrityError: a file is not what was written.
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
    cases, slices, ceilings = map(_together, tables.values())
    return Results(manifest=manifest, records=records, cases=cases, slices=slices, ceilings=ceilings)


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


def made_once(make: Callable[[Results], pd.DataFrame]) -> Callable[[Results], pd.DataFrame]:
    """Computes a table once for the same results; every caller has a copy of its own."""

    @functools.wraps(make)
    def once(results: Results) -> pd.DataFrame:
        if make.__name__ not in results.made:
            results.made[make.__name__] = make(results)
        return results.made[make.__name__].copy()

    return once


def mixed_data(results: Results) -> list[tuple[str, str]]:
    """Dataset and variant wherever runs of one benchmark did not see the same files in the same folds."""
    seen: dict[tuple[str, str], set[tuple[int, str, str]]] = {}
    for key in filter(results.is_done, results.planned):
        record = results.records[key]
        seen.setdefault((key.dataset, key.variant), set()).add((key.fold, record.split_digest, record.data_digest))
    return [
        where
        for where, states in seen.items()
        if len(states) > len({fold for fold, _, _ in states}) or len({data for _, _, data in states}) > 1
    ]


def groups_of(results: Results) -> list[Group]:
    return sorted({key.group for key in results.planned})


def runs_of_group(results: Results, group: Group) -> tuple[list[RunKey], list[RunKey]]:
    """The runs planned, and those of them that are done."""
    planned = [key for key in results.planned if key.group == group]
    return planned, [key for key in planned if results.is_done(key)]


def _together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    empty = pd.DataFrame(columns=[*KEYS, "case", "patient", "region", *Counts._fields])
    return pd.concat(tables, ignore_index=True) if tables else empty


def lines_of_run(table: pd.DataFrame, key: RunKey) -> pd.DataFrame:
    return table[(table[KEYS] == list(key)).all(axis=1)]


def lines_of_group(table: pd.DataFrame, group: Group) -> pd.DataFrame:
    return table[(table[GROUP] == list(group)).all(axis=1)]


def of_runs(table: pd.DataFrame, keys: Iterable[RunKey]) -> pd.DataFrame:
    """The lines of a table that are of these runs."""
    wanted = {tuple(key) for key in keys}
    found = [line in wanted for line in table[KEYS].itertuples(index=False, name=None)]
    return table[np.array(found, dtype=bool)]


def lines_of_done(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    return of_runs(table, filter(results.is_done, results.planned))


def whole_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Counts as whole numbers, also where some are missing."""
    return table.astype({name: "Int64" for name in _WHOLE if name in table})
