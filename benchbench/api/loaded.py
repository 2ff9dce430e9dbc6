"""A benchmark file in Python: its plan as a table, and its runs carried out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.api.finished import BenchmarkResults
from benchbench.api.folders import data_root_or_default
from benchbench.api.plan_lines import plan_lines
from benchbench.data.cache_folder import default_cache
from benchbench.engine.devices.device import resolve_devices
from benchbench.launch import Observer
from benchbench.launch.benchmark_files import Echo, Plan, read_plans
from benchbench.launch.machine import Machine
from benchbench.launch.orchestrate import carry_out
from benchbench.launch.progress_lines import Lines
from benchbench.records.folder import results_folder
from benchbench.registry.registry import Registry, discover
from benchbench.words import count


def load(
    path: str | Path,
    *,
    changes: Mapping[str, Any] | None = None,
    rehearse: bool = False,
    data_root: str | Path | None = None,
) -> Benchmark:
    """Read and check a benchmark file.

    `changes` maps a path such as "protocol.epochs" to its new value, as `--set` does. With `rehearse`, phantom
    data and the small settings of the table [rehearse] are used. `data_root` is by default BENCHBENCH_DATA.

    Raises:
        SpecError: with every problem of the file.
    """
    overrides = [f"{dotted}={_toml(value)}" for dotted, value in (changes or {}).items()]
    return Benchmark(Path(path), tuple(overrides), rehearse, data_root_or_default(data_root), discover())


class Benchmark:
    """A benchmark file whose settings are valid and whose models can be built."""

    def __init__(
        self, path: Path, overrides: Sequence[str], rehearse: bool, data_root: Path | None, registry: Registry
    ) -> None:
        self._file = _File(path, overrides, rehearse, data_root)
        self._registry = registry
        self._plan = self._file.read(registry, only=(), echo=print)
        self.name = self._plan.benchmark.name
        self.title = self._plan.benchmark.title

    def __repr__(self) -> str:
        return f"<Benchmark {self.name!r}: {self.title}, {count(len(self._plan.runs), 'run')}>"

    def plan(self, *, only: str | Sequence[str] = (), results: str | Path = "results") -> pd.DataFrame:
        """Return one row per run: dataset, model, variant, fold, seed, digest, state and own settings.

        `only` selects runs, as in "model=unet,fold=0"; `state` is that of the record in the folder `results`.
        """
        plan = self._selected(only)
        folders = [results_folder(Path(results), self.name, phantom=True)]
        if not self._file.rehearse:
            folders.insert(0, results_folder(Path(results), self.name, phantom=False))
        return pd.DataFrame(plan_lines(plan, folders))

    def run(
        self,
        *,
        only: str | Sequence[str] = (),
        results: str | Path = "results",
        cache: str | Path | None = None,
        device: str = "auto",
        jobs: int | None = None,
        save_predictions: bool = False,
        observer: Observer | None = None,
    ) -> BenchmarkResults:
        """Carry out the runs that are not done, write the report, and return the results.

        A run that fails does not stop the others: its status and reason are in `folds` of the results. `jobs` is
        the number of runs at the same time, by default one for each device; 0 runs them in this process.
        `observer` gets the progress, which is printed by default.

        Raises:
            DataError: with every problem of every dataset, before anything is trained.
        """
        plan = self._selected(only)
        machine = Machine(
            results=Path(results),
            cache=default_cache() if cache is None else Path(cache),
            data_root=self._file.data_root,
            devices=resolve_devices(device),
            jobs=jobs,
            save_predictions=save_predictions,
        )
        folder, _ = carry_out(
            plan.benchmark,
            plan.runs,
            plan.selected,
            registry=self._registry,
            machine=machine,
            observer=Lines(print) if observer is None else observer,
            exits=plan.exits,
        )
        return BenchmarkResults(folder)

    def _selected(self, only: str | Sequence[str]) -> Plan:
        filters = (only,) if isinstance(only, str) else tuple(only)
        if not filters:
            return self._plan
        return self._file.read(self._registry, only=filters, echo=print)


@dataclass(frozen=True)
class _File:
    """A benchmark file and the changes under which it is read."""

    path: Path
    overrides: Sequence[str]
    rehearse: bool
    data_root: Path | None

    def read(self, registry: Registry, *, only: Sequence[str], echo: Echo) -> Plan:
        (plan,) = read_plans(
            [self.path],
            registry,
            overrides=self.overrides,
            only=only,
            rehearse=self.rehearse,
            data_root=self.data_root,
            echo=echo,
        )
        return plan


def _toml(value: object) -> str:
    """Return a value as TOML text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        pairs = [f"{_quoted(str(key))} = {_toml(entry)}" for key, entry in value.items()]
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, (int, float)):
        return repr(value)
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """Return a text as a basic string of TOML, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
