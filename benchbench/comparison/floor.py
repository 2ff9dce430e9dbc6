"""The smallest difference that a benchmark can show, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchbench.plan.run import Run
from benchbench.records.folder import benchmark_folders
from benchbench.registry.registry import Registry
from benchbench.spec.metric_names import is_beyond_range, without_unit
from benchbench.spec.protocol import Protocol
from benchbench.spec.statistics import delta_of
from benchbench.statistics import ASSUMED_NOISE, FEWEST_PATIENTS, Components, Design, detectable_difference
from benchbench.tables.results import PHANTOM_NOTE
from benchbench.words import count

_PATIENT_SD, _TRAINING_SD = 5.0, 1.0  # assumed, in units of the smallest difference that matters
_FILE = "differences.csv"


class Spread(NamedTuple):
    """The SD of a difference between two models."""

    patients: float
    training: float
    """SD between trainings, whether they differ in fold or in seed."""
    origin: str
    """Where both come from, in words."""


class Floor(NamedTuple):
    """The smallest difference that a design shows with 80 % power."""

    dataset: str
    metric: str
    design: Design
    spread: Spread
    difference: float
    alternatives: Mapping[str, float]
    """Another design that shows less, in words such as "10 folds" -> its smallest difference."""

    def __str__(self) -> str:
        n, folds, seeds, _ = self.design
        gap = f"a difference in {self.metric} of {self.difference:.2g}"
        if is_beyond_range(self.metric, self.difference):
            gap = f"no difference in {self.metric}"
        possible = {
            name: value for name, value in self.alternatives.items() if not is_beyond_range(self.metric, value)
        }
        others = "".join(f", {value:.2g} with {name}" for name, value in possible.items())
        return (
            f"{self.dataset}: {count(n, 'patient')}, {count(folds, 'fold')} and {count(seeds, 'seed')} show"
            f" {gap} with 80 % power{others} (SD"
            f" {self.spread.patients:.2g} between patients, {self.spread.training:.2g} between trainings:"
            f" {self.spread.origin})"
        )


def planned_floors(
    runs: Sequence[Run],
    registry: Registry,
    results: Path,
    *,
    deltas: Mapping[str, float],
    patients: Mapping[str, int] | None = None,
) -> list[Floor]:
    """Return the floor of each dataset and design of the runs, by the first metric.

    `patients` has the number of tested patients of a dataset where it was counted; otherwise it is the published
    one. A dataset whose number is not known, or that has too few patients for a test, is left out.
    """
    floors: dict[tuple[str, str, Design], Floor] = {}
    for run in runs:
        n = (patients or {}).get(run.dataset.name) or _published_patients(run, registry)
        if n is None or n < FEWEST_PATIENTS:
            continue
        protocol = run.protocol
        design = Design(n, min(protocol.folds, n), len(protocol.seeds))
        metric = protocol.metrics[0]
        key = (run.dataset.name, metric, design)
        if key not in floors:
            floors[key] = _floor(run.dataset.name, metric, design, results, deltas=deltas)
    return list(floors.values())


def _published_patients(run: Run, registry: Registry) -> int | None:
    n = run.phantom.patients if run.phantom else registry.named_dataset(run.dataset).download.patients
    return None if n is None else tested_patients(n, run.protocol)


def tested_patients(patients: int, protocol: Protocol) -> int:
    """Return how many of the patients of a dataset are tested: all in the folds, a part of them in a hold-out."""
    if protocol.test is None:
        return patients
    return max(1, round(patients * protocol.test))


def _floor(dataset: str, metric: str, design: Design, results: Path, *, deltas: Mapping[str, float]) -> Floor:
    delta = delta_of(metric, deltas)
    spread = _earlier_spread(dataset, metric, results)
    if spread is None:
        origin = "assumed, as no earlier results of this dataset are here"
        spread = Spread(_PATIENT_SD * delta, _TRAINING_SD * delta, origin)
    parts = Components(spread.patients, 0.0, spread.training, math.nan)
    assumed_sd = ASSUMED_NOISE * delta

    def shown(changed: Design) -> float:
        return detectable_difference(parts, changed, assumed_sd=assumed_sd)

    difference = shown(design)
    every = {name: shown(changed) for name, changed in _alternatives(design)}
    # with few folds more of them can show less at first: the noise is then estimated, and not assumed
    alternatives = {name: value for name, value in every.items() if value < difference}
    return Floor(dataset, metric, design, spread, difference, alternatives)


def _alternatives(design: Design) -> Iterator[tuple[str, Design]]:
    """Yield designs of about twice the cost, or twice the patients."""
    folds = 5 if design.folds == 1 else 2 * design.folds
    if folds <= design.patients // 2:
        yield f"{folds} folds", design._replace(folds=folds)
    yield f"{design.seeds + 2} seeds", design._replace(seeds=design.seeds + 2)
    yield f"{2 * design.patients} patients", design._replace(patients=2 * design.patients)


def _earlier_spread(dataset: str, metric: str, results: Path) -> Spread | None:
    """Return the median SD of all pairs of earlier benchmarks; None if there is none on real data."""
    tables: list[pd.DataFrame] = []
    for folder in benchmark_folders(results):
        path = folder.path / _FILE
        if not path.is_file():
            continue
        table = pd.read_csv(path)
        if {"dataset", "metric", "data", "sd_patients", "sd_folds"} <= set(table.columns):
            is_same = (table["dataset"] == dataset) & (table["metric"].map(without_unit) == metric)
            is_real = table["data"] != PHANTOM_NOTE
            tables.append(table[is_same & is_real & table["sd_patients"].notna()])
    known = pd.concat(tables) if tables else pd.DataFrame()
    if known.empty:
        return None
    training = known["sd_folds"].fillna(0.0).median()
    origin = f"median of {count(len(known), 'earlier pair')}"
    return Spread(float(known["sd_patients"].median()), float(training), origin)
