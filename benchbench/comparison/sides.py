"""The two sides of a comparison: the runs that each name of a command refers to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from benchbench.errors import UsageError
from benchbench.plan.run import Group, RunKey
from benchbench.records.folder import ResultsFolder, benchmark_folders
from benchbench.records.record import Record
from benchbench.spec.document import nearest
from benchbench.spec.protocol import EmptyPolicy
from benchbench.tables.results import Results, groups_of, read_results, runs_of_group


@dataclass(frozen=True, kw_only=True)
class Side:
    """A model and variant on one dataset of one results folder."""

    results: Results
    label: str
    """The name of the side in tables and sentences."""
    group: Group
    common_folds: tuple[int, ...] = ()
    """Folds that are complete on both sides."""

    @property
    def dataset(self) -> str:
        return self.group.dataset

    @property
    def variant(self) -> str:
        return self.group.variant

    @property
    def empty(self) -> EmptyPolicy:
        """The rule for empty masks."""
        return self.results.empty(self.variant)

    @property
    def selects_on_test_set(self) -> bool:
        """True where checkpoints were selected on the test set."""
        return self.results.selects_on_test_set(self.variant)

    @property
    def keys(self) -> list[RunKey]:
        """The runs that are done."""
        _, done = runs_of_group(self.results, self.group)
        return done

    @property
    def records(self) -> list[Record]:
        return [self.results.records[key] for key in self.keys]

    @property
    def folds(self) -> tuple[int, ...]:
        """Folds that every seed has finished; with a seed missing, the mean of a fold is not comparable."""
        n_seeds = len(self.seeds)
        folds = [key.fold for key in self.keys]
        complete = {fold for fold in folds if folds.count(fold) == n_seeds}
        return tuple(sorted(complete))

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({key.seed for key in self.keys}))

    @property
    def cases(self) -> pd.DataFrame:
        """Counts and distances of the runs that are done."""
        return self.results.cases_of(self.keys)

    def records_of_fold(self, fold: int) -> list[Record]:
        return [record for record in self.records if record.fold == fold]


Pair = tuple[Side, Side]


def match_sides(first: str, second: str, *, results: Path, dataset: str | None = None) -> list[Pair]:
    """Return a pair of sides for each dataset that both names have; of two folders, also for each model.

    With `dataset`, only the pairs on that one.

    Raises:
        UsageError: a name is neither a model of `results` nor a results folder.
    """
    first_folder = _folder_at(Path(first))
    second_folder = _folder_at(Path(second))
    if first_folder is not None and second_folder is not None:
        pairs = _pair_folders(read_results(first_folder), read_results(second_folder), first, second)
    else:
        for name in (first, second):
            _check_is_model(name, results)
        pairs = list(_pair_models(first, second, _read_benchmark(results)))
    matched = []
    for one, other in pairs:
        if dataset in {None, one.dataset}:
            matched.append(_with_common_folds(one, other))
    return matched


def _check_is_model(name: str, results: Path) -> None:
    """Refuse a path where a model is expected.

    Raises:
        UsageError: it is a folder, or looks like a path.
    """
    path = Path(name)
    if _folder_at(path) is not None:
        raise UsageError(
            f"{name}: a results folder, but the other name is not; give two results folders, or two models with"
            f" --results {name}"
        )
    if path.is_dir() and path != results and not _has_model(results, name):
        raise UsageError(f"{name}: no benchmark.json in this folder; {_folders_in(path)}")
    if "/" in name:
        raise UsageError(f"{name}: no such results folder; check the path")


def _has_model(results: Path, name: str) -> bool:
    """Return True if the benchmark has a model of this name, which may be that of a folder too."""
    folder = _folder_at(results)
    return folder is not None and name.partition(":")[0] in folder.read_manifest().values_of("model")


def _folders_in(path: Path) -> str:
    benchmarks = [str(benchmark.path) for benchmark in benchmark_folders(path)]
    if not benchmarks:
        return "give the results folder of one benchmark"
    return f"give one of {', '.join(benchmarks)}"


def _pair_folders(one: Results, other: Results, first: str, second: str) -> list[Pair]:
    """Pair the groups that both folders have; labels end with the names of the folders."""
    pairs = []
    for group in sorted({*groups_of(one)} & {*groups_of(other)}, key=lambda group: group.order):
        label = _label(group)
        one_side = Side(results=one, label=f"{label} of {first}", group=group)
        other_side = Side(results=other, label=f"{label} of {second}", group=group)
        pairs.append((one_side, other_side))
    return pairs


def _pair_models(first: str, second: str, results: Results) -> Iterator[Pair]:
    """Pair two models on each dataset; in the same variant, unless a name says which variant."""
    has_variant = ":" in first or ":" in second
    first_sides = _sides_of_model(first, results)
    second_sides = _sides_of_model(second, results)
    for one, other in itertools.product(first_sides, second_sides):
        is_same_variant = has_variant or one.variant == other.variant
        if one.dataset == other.dataset and is_same_variant:
            yield one, other


def _sides_of_model(name: str, results: Results) -> list[Side]:
    """Return the sides of `model` in every variant, or of `model:variant`."""
    model, colon, variant = name.partition(":")
    groups = _groups_of_model(name, model, results)
    if colon:
        variants = sorted({group.variant for group in groups})
        if variant not in variants:
            raise UsageError(f"{name}: no such variant of '{model}'; {nearest(variant, variants)}")
        groups = [group for group in groups if group.variant == variant]
    return [Side(results=results, label=_label(group), group=group) for group in groups]


def _groups_of_model(name: str, model: str, results: Results) -> list[Group]:
    groups = groups_of(results)
    models = sorted({group.model for group in groups})
    if model not in models:
        raise UsageError(f"{name}: no such model here; {nearest(model, models)}")
    return [group for group in groups if group.model == model]


def _with_common_folds(one: Side, other: Side) -> Pair:
    both = set(one.folds) & set(other.folds)
    common = tuple(sorted(both))
    return replace(one, common_folds=common), replace(other, common_folds=common)


def _folder_at(path: Path) -> ResultsFolder | None:
    if (path / "benchmark.json").is_file():
        return ResultsFolder(path)
    return None


def _read_benchmark(path: Path) -> Results:
    folder = _folder_at(path)
    if folder is None:
        state = "no benchmark.json in this folder" if path.is_dir() else "no such folder"
        raise UsageError(f"--results {path}: {state}; {_folders_in(path)}")
    return read_results(folder)


def _label(group: Group) -> str:
    if group.variant == "default":
        return group.model
    return f"{group.model} ({group.variant})"
