"""The two sides of a comparison: which runs of which folder each name means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from benchbench.errors import UsageError
from benchbench.plan.run import RunKey
from benchbench.results.folder import ResultsFolder, benchmark_folders
from benchbench.results.record import Record
from benchbench.spec.document import nearest
from benchbench.tables.results import Results, of_runs, read_results


@dataclass(frozen=True, kw_only=True)
class Side:
    """A model and variant on one dataset of one results folder."""

    results: Results
    label: str
    """What it is called in a table."""
    dataset: str
    model: str
    variant: str
    common: tuple[int, ...] = ()
    """Folds that both sides have done."""

    @property
    def keys(self) -> list[RunKey]:
        """The runs that are done."""
        group = (self.dataset, self.model, self.variant)
        return [key for key in self.results.planned if key.group == group and self.results.is_done(key)]

    @property
    def records(self) -> list[Record]:
        return [self.results.records[key] for key in self.keys]

    @property
    def folds(self) -> tuple[int, ...]:
        """That every seed has done: a fold of which a seed is missing has another mean than its neighbours."""
        seeds = len(self.seeds)
        found = [key.fold for key in self.keys]
        return tuple(sorted({fold for fold in found if found.count(fold) == seeds}))

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({key.seed for key in self.keys}))

    @property
    def cases(self) -> pd.DataFrame:
        """The counts and distances of the runs that are done."""
        return of_runs(self.results.cases, self.keys)

    def of_fold(self, fold: int) -> list[Record]:
        return [self.results.records[key] for key in self.keys if key.fold == fold]


def match(first: str, second: str, *, results: Path) -> list[tuple[Side, Side]]:
    """A pair of sides for each dataset (and model, of two folders) that both names have.

    Raises:
        UsageError: a name that is neither a model of `results` nor a results folder.
    """
    folders = [_benchmark(word) for word in (first, second)]
    if folders[0] is not None and folders[1] is not None:
        return _with_common(_of_folders(folders[0], folders[1], first, second))
    if (folder := _benchmark(str(results))) is None:
        found = ", ".join(each.path.name for each in benchmark_folders(results)) or "none"
        raise UsageError(f"{results}: not the results of one benchmark; name one with --results (found: {found})")
    read = read_results(folder)
    sides = [_of_model(word, read) for word in (first, second)]
    pairs = [(one, other) for one in sides[0] for other in sides[1] if one.dataset == other.dataset]
    plain = [(one, other) for one, other in pairs if one.variant == other.variant]
    return _with_common(plain if ":" not in first + second else pairs)


def _of_folders(one: ResultsFolder, other: ResultsFolder, first: str, second: str) -> list[tuple[Side, Side]]:
    sides = [
        {key.group: _side(read, key) for key in read.planned} for read in (read_results(one), read_results(other))
    ]
    return [
        (
            replace(sides[0][group], label=f"{sides[0][group].label} of {first}"),
            replace(sides[1][group], label=f"{sides[1][group].label} of {second}"),
        )
        for group in sides[0]
        if group in sides[1]
    ]


def _side(results: Results, key: RunKey) -> Side:
    label = _called(key.model, key.variant)
    return Side(results=results, label=label, dataset=key.dataset, model=key.model, variant=key.variant)


def _of_model(word: str, results: Results) -> list[Side]:
    """`name` in every variant, or `name:variant`."""
    model, colon, variant = word.partition(":")
    groups = sorted({key.group for key in results.planned})
    models = sorted({group.model for group in groups})
    if model not in models:
        raise UsageError(f"{word}: no such model here; {nearest(model, models)}")
    variants = sorted({group.variant for group in groups if group.model == model})
    if colon and variant not in variants:
        raise UsageError(f"{word}: no such variant of '{model}'; {nearest(variant, variants)}")
    return [
        _side(results, RunKey(*group, fold=0, seed=0))
        for group in groups
        if group.model == model and (not colon or group.variant == variant)
    ]


def _with_common(pairs: Sequence[tuple[Side, Side]]) -> list[tuple[Side, Side]]:
    matched = []
    for one, other in pairs:
        common = tuple(sorted(set(one.folds) & set(other.folds)))
        matched.append((replace(one, common=common), replace(other, common=common)))
    return matched


def _benchmark(word: str) -> ResultsFolder | None:
    return ResultsFolder(Path(word)) if (Path(word) / "benchmark.json").is_file() else None


def _called(model: str, variant: str) -> str:
    return model if variant == "default" else f"{model} ({variant})"
