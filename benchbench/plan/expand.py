"""Expands a benchmark into its runs, each with the digest of everything that may change its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from benchbench.errors import SpecError
from benchbench.plan.problems import pairing_problems
from benchbench.plan.run import Chosen, Run
from benchbench.plan.settings import listing_problems, shown_settings
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import Registry
from benchbench.registry.sources import source_digest
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.benchmark_file import Entry
from benchbench.spec.ensembles import EnsembleSpec
from benchbench.spec.variants import Variant


def plan_runs(benchmark: Benchmark, registry: Registry) -> list[Run]:
    """Every run, folds outermost: after one fold there is a row of every model; an ensemble follows its members.

    Raises:
        SpecError: with every pairing that cannot be run, and why.
    """
    problems = dict.fromkeys(
        problem for variant in benchmark.variants for problem in pairing_problems(benchmark, variant, registry)
    )
    if problems:
        raise SpecError(*problems)
    runs: list[Run] = []
    for variant in benchmark.variants:
        trained = list(_runs(benchmark, variant, registry))
        runs += [*trained, *_ensembles(benchmark.ensembles, variant, trained)]
    # what a listing names and no run has is told before anything is trained
    shown_settings(benchmark, runs)
    if problems := dict.fromkeys(listing_problems(benchmark, runs)):
        raise SpecError(*problems)
    return sorted(runs, key=lambda run: (max(each.seed for each in (run, *run.members)), run.fold))


def _runs(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[Run]:
    datasets = [_choose(entry, registry.dataset(entry.name).open) for entry in variant.datasets]
    models = [
        _choose(entry, registry.model(entry.name).build, needs=registry.model(entry.name).needs)
        for entry in variant.models
    ]
    for seed in variant.protocol.seeds:
        for fold in range(variant.protocol.folds):
            for dataset in datasets:
                for model in models:
                    yield Run(
                        dataset=dataset,
                        model=model,
                        variant=variant.label,
                        fold=fold,
                        seed=seed,
                        protocol=variant.protocol,
                        phantom=benchmark.rehearsal,
                    )


def _ensembles(ensembles: Sequence[EnsembleSpec], variant: Variant, trained: Sequence[Run]) -> Iterator[Run]:
    """A run for each ensemble, dataset and fold, and for each seed or for all of them."""
    seeds = sorted(variant.protocol.seeds)
    for ensemble in ensembles:
        chosen = Chosen(ensemble.name, {"models": ensemble.models, "seeds": ensemble.seeds}, "")
        for together in [seeds] if ensemble.seeds else [[seed] for seed in seeds]:
            members: dict[tuple[str, int], list[Run]] = {}
            for run in trained:
                if run.model.name in ensemble.models and run.seed in together:
                    members.setdefault((run.dataset.name, run.fold), []).append(run)
            for each in members.values():
                yield replace(each[0], model=chosen, seed=together[0], members=tuple(each))


def _choose(entry: Entry, factory: Any, *, needs: Sequence[str] = ()) -> Chosen:
    return Chosen(entry.name, resolve_params(factory, entry.params), source_digest(factory, needs=needs))
