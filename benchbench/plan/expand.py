"""Expands a benchmark into its runs, each with the digest of everything that can change its numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchbench.errors import SpecError
from benchbench.plan.external_files import external_of
from benchbench.plan.problems import case_problems, pairing_problems
from benchbench.plan.run import Chosen, Run
from benchbench.plan.settings import listed_settings, listing_problems
from benchbench.plan.tuning import tuned_runs
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import Registry
from benchbench.registry.sources import source_digest
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.benchmark_file import Entry
from benchbench.spec.controls import Control
from benchbench.spec.ensembles import EnsembleSpec
from benchbench.spec.variants import Variant

_MOST_RUNS = 10_000


def plan_runs(benchmark: Benchmark, registry: Registry) -> list[Run]:
    """Return every run, one fold of all models after the other; an ensemble follows its members.

    Raises:
        SpecError: names every combination that cannot be run, and why.
    """
    _check_count(benchmark)
    problems: dict[str, None] = dict.fromkeys(case_problems(benchmark))  # in order, without repetitions
    for variant in benchmark.variants:
        problems |= dict.fromkeys(pairing_problems(benchmark, variant, registry))
    if problems:
        raise SpecError(*problems)
    runs: list[Run] = []
    for variant in benchmark.variants:
        trained = list(_trained_runs(benchmark, variant, registry))
        runs += [*trained, *_ensemble_runs(benchmark.ensembles, variant, trained)]
        runs += tuned_runs(benchmark, trained)
        runs += _external_runs(benchmark, variant, trained)
        runs += _control_runs(benchmark.controls, trained)
    # a listing of unknown settings or runs is refused before anything is trained
    listed_settings(benchmark, runs)
    if problems := dict.fromkeys(listing_problems(benchmark, runs)):
        raise SpecError(*problems)
    return sorted(runs, key=_order)


def _check_count(benchmark: Benchmark) -> None:
    """Raise SpecError before more runs are planned than anybody can carry out."""
    count = 0
    for variant in benchmark.variants:
        pairings = len(variant.datasets) * len(variant.models)
        count += pairings * variant.protocol.folds * len(variant.protocol.seeds)
    if count > _MOST_RUNS:
        raise SpecError(
            f"{benchmark.document.name}: found {count:,} runs, expected at most {_MOST_RUNS:,}; split the file, or"
            " lower folds, seeds, models or variants"
        )


def _order(run: Run) -> tuple[int, int]:
    """Return the sort key of a run: an ensemble of several seeds follows the last of them."""
    seeds = [run.seed, *(member.seed for member in run.members)]
    return max(seeds), run.fold


def _trained_runs(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[Run]:
    datasets: list[Chosen] = []
    for dataset_entry in variant.datasets:
        factory = registry.named_dataset(dataset_entry).open
        datasets.append(_choose(dataset_entry, factory)._replace(layout=dataset_entry.layout))
    models: list[Chosen] = []
    for entry in variant.models:
        plugin = registry.model(entry.name)
        models.append(_choose(entry, plugin.build, needs=plugin.needs)._replace(label=entry.label))
    protocol = variant.protocol
    for seed, fold, dataset, model in itertools.product(protocol.seeds, range(protocol.folds), datasets, models):
        yield Run(
            dataset=dataset,
            model=model,
            variant=variant.label,
            fold=fold,
            seed=seed,
            protocol=variant.protocol_of(model.row),
            phantom=benchmark.rehearsal,
        )


def _choose(entry: Entry, factory: Any, *, needs: Sequence[str] = ()) -> Chosen:
    return Chosen(entry.name, resolve_params(factory, entry.params), source_digest(factory, needs=needs))


def _control_runs(controls: Sequence[Control], trained: Sequence[Run]) -> Iterator[Run]:
    """Yield the runs of the controls; an A/A twin has seeds that no run of its model has."""
    n_seeds = 1 + max((run.seed for run in trained), default=0)
    for control in controls:
        for run in trained:
            if run.model.row != control.model:
                continue
            model = run.model._replace(label=control.name)
            seed = run.seed + n_seeds if control.kind == "a_a_twin" else run.seed
            yield replace(run, model=model, seed=seed, control=control.kind)


def _ensemble_runs(ensembles: Sequence[EnsembleSpec], variant: Variant, trained: Sequence[Run]) -> Iterator[Run]:
    """Yield a run for each ensemble, dataset and fold, and for each seed or for all seeds together."""
    seeds = sorted(variant.protocol.seeds)
    models = {run.model.row for run in trained}
    for ensemble in ensembles:
        if not models.issuperset(ensemble.models):
            continue  # the variant does not train all of them
        model = Chosen(ensemble.name, {"models": ensemble.models, "seeds": ensemble.seeds}, "")
        groups = [[seed] for seed in seeds]
        if ensemble.seeds:
            groups = [seeds]
        for group in groups:
            for members in _members(ensemble, group, trained):
                yield replace(members[0], model=model, seed=group[0], members=tuple(members))


def _external_runs(benchmark: Benchmark, variant: Variant, trained: Sequence[Run]) -> Iterator[Run]:
    """Yield a run for each external row of the variant, dataset and fold."""
    folder = Path(benchmark.document.name).parent
    first_seed = min(variant.protocol.seeds)
    for spec in benchmark.external:
        if variant.label != (spec.variant or benchmark.variants[0].label):
            continue
        model = Chosen(spec.name, {}, "")
        folds = {(run.dataset.name, run.fold): run for run in reversed(trained) if run.seed == first_seed}
        for (dataset, _), run in sorted(folds.items()):
            if spec.dataset in {"", dataset}:
                external = external_of(spec, folder, dataset=dataset)
                yield replace(run, model=model, protocol=variant.protocol, external=external)


def _members(ensemble: EnsembleSpec, seeds: Sequence[int], trained: Sequence[Run]) -> list[list[Run]]:
    """Return the members of an ensemble for each dataset and fold."""
    members: dict[tuple[str, int], list[Run]] = {}
    for run in trained:
        if run.model.row in ensemble.models and run.seed in seeds:
            members.setdefault((run.dataset.name, run.fold), []).append(run)
    return list(members.values())
