"""Expands a benchmark into its runs, each with the digest of everything that may change its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from benchbench.errors import SpecError, UsageError
from benchbench.registry.registry import Registry, resolve_params, source_digest
from benchbench.spec.benchmark import SETTINGS, Benchmark, Entry, PhantomSize, Variant
from benchbench.spec.document import nearest
from benchbench.spec.ensembles import EnsembleSpec
from benchbench.spec.protocol import Protocol

RECORD_SCHEMA = 5
"""Raised whenever the engine's numbers or the record's layout change: older runs are done again."""

# these shape tables, not runs: every table is computed anew from the counts and the predicted masks
_TABLE_KEYS = {"metrics", "empty", "seeds"}


class RunKey(NamedTuple):
    """Which run of a benchmark."""

    dataset: str
    model: str
    variant: str
    fold: int
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset}/{self.model}/{self.variant}/fold{self.fold}/seed{self.seed}"


class Chosen(NamedTuple):
    """A plugin with every parameter resolved, and the digest of its source."""

    name: str
    params: Mapping[str, Any]
    source_digest: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """One point of dataset x model x variant x fold x seed, or an ensemble of such in the place of the model."""

    dataset: Chosen
    model: Chosen
    variant: str
    fold: int
    seed: int
    protocol: Protocol
    phantom: PhantomSize | None
    members: tuple[Run, ...] = ()
    """Of an ensemble: the runs that predict together; nothing is trained."""

    @property
    def key(self) -> RunKey:
        return RunKey(self.dataset.name, self.model.name, self.variant, self.fold, self.seed)

    def resolved(self) -> dict[str, Any]:
        """Everything that may change a number of this run, apart from the data."""
        return {
            "schema": RECORD_SCHEMA,
            "dataset": self.dataset._asdict(),
            "model": self.model._asdict(),
            "protocol": self.protocol.model_dump(mode="json", exclude=_TABLE_KEYS),
            "fold": self.fold,
            "seed": self.seed,
            "phantom": self.phantom.model_dump(mode="json") if self.phantom else None,
            "members": [member.digest for member in self.members],
        }

    @property
    def digest(self) -> str:
        """SHA-256 of `resolved`."""
        return hashlib.sha256(json.dumps(self.resolved(), sort_keys=True).encode()).hexdigest()


def plan_runs(benchmark: Benchmark, registry: Registry) -> list[Run]:
    """Every run, folds outermost: after one fold there is a row of every model; an ensemble follows its members.

    Raises:
        SpecError: with every pairing that cannot be run, and why.
    """
    problems = dict.fromkeys(
        problem for variant in benchmark.variants for problem in _impossible(benchmark, variant, registry)
    )
    if problems:
        raise SpecError(*problems)
    runs: list[Run] = []
    for variant in benchmark.variants:
        trained = list(_runs(benchmark, variant, registry))
        runs += [*trained, *_ensembles(benchmark.ensembles, variant, trained)]
    # what a listing names and no run has is told before anything is trained
    shown_settings(benchmark, runs)
    if problems := dict.fromkeys(_absent(benchmark, runs)):
        raise SpecError(*problems)
    return sorted(runs, key=lambda run: (max(each.seed for each in (run, *run.members)), run.fold))


def shown_settings(benchmark: Benchmark, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """What the listings show of every variant: variant -> column of a listing -> setting.

    Raises:
        SpecError: a listing names what a run does not have.
    """
    sources = [
        (("listings", number, "columns", heading), source)
        for number, listing in enumerate(benchmark.listings)
        for heading, source in listing.columns.items()
        if source.startswith(SETTINGS)
    ]
    shown: dict[str, dict[str, Any]] = {variant.label: {} for variant in benchmark.variants}
    for run in runs:
        for where, source in sources:
            try:
                shown[run.variant][source] = _setting(run, shown[run.variant].get(source), source)
            except KeyError as error:
                place = benchmark.document.where(where)
                raise SpecError(f"{place}: '{source}': run {run.key} has no {error}; name a setting") from error
    return shown


def _absent(benchmark: Benchmark, runs: Sequence[Run]) -> Iterator[str]:
    """What listings are said to be of and no run is of."""
    for number, listing in enumerate(benchmark.listings):
        for axis, names in listing.where.items():
            known = list(dict.fromkeys(str(getattr(run.key, axis)) for run in runs))
            place = benchmark.document.where(("listings", number, "where", axis))
            for name in (name for name in names if name not in known):
                yield f"{place}: listings.{number}.where.{axis}: no {axis} '{name}'; {nearest(name, known)}"


def _setting(run: Run, known: Any, source: str) -> Any:
    """A setting of a run, by its path; what is known already if it is another model's or dataset's."""
    path, equals, wanted = source.partition("=")
    kind, *keys = path.split(".")
    value: Any = run.protocol.model_dump(mode="json")
    if kind != "protocol":
        chosen = run.model if kind == "models" else run.dataset
        if chosen.name != keys.pop(0):
            return known
        value = chosen.params
    for key in keys:
        value = value[key]
    return str(value) == wanted if equals else value


def select_runs(runs: Sequence[Run], only: Sequence[str], *, known: Sequence[Run] = ()) -> list[Run]:
    """The runs that match every `key=value`, and the members of ensembles; a key given twice matches either value.

    known: all runs whose values may be asked for, where these are those of one benchmark among several.

    Raises:
        UsageError: a key or value that no run has.
    """
    wanted: dict[str, set[str]] = {}
    for pair in (pair for option in only for pair in _pairs(option)):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or key not in RunKey._fields:
            raise UsageError(f"--only {pair}: write key=value; {nearest(key, RunKey._fields)}")
        values = sorted({str(getattr(run.key, key)) for run in known or runs})
        if value not in values:
            raise UsageError(f"--only {pair}: no run has {key} '{value}'; {nearest(value, values)}")
        wanted.setdefault(key, set()).add(value)
    chosen = [run for run in runs if all(str(getattr(run.key, key)) in values for key, values in wanted.items())]
    keys = {each.key for run in chosen for each in (run, *run.members)}
    return [run for run in runs if run.key in keys]


def _pairs(option: str) -> list[str]:
    """`key=value` between commas; a comma in a variant's label is part of it."""
    pairs: list[str] = []
    for part in option.split(","):
        if pairs and pairs[-1].startswith("variant=") and part.partition("=")[0].strip() not in RunKey._fields:
            pairs[-1] += f",{part}"
        else:
            pairs.append(part.strip())
    return pairs


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


def _impossible(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
    yield from _region_problems(benchmark, variant, registry)
    for number, ensemble in enumerate(benchmark.ensembles):
        if len(ensemble.models) * len(variant.protocol.seeds) < 2:
            place = benchmark.document.where(("ensembles", number, "seeds"))
            yield (
                f"{place}: ensembles.{ensemble.name}.seeds: found one model and one seed in variant"
                f" '{variant.label}', which is no ensemble; name another model or add to protocol.seeds"
            )
    place = benchmark.document.where(("protocol",))
    ndim = variant.protocol.ndim
    for entry in variant.models:
        ndims = registry.model(entry.name).ndims
        if ndim not in ndims:
            built = " or ".join(f"{each}D" for each in sorted(ndims))
            yield f"{place}: protocol.ndim: found {ndim}, but model '{entry.name}' is {built}; change one of them"


def _region_problems(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
    """What the protocol asks of regions that a dataset's are not fit for."""
    protocol = variant.protocol
    if protocol.activation == "sigmoid" and protocol.postprocess is None:
        return
    for entry in variant.datasets:
        factory = registry.dataset(entry.name).open
        # opening reads no voxels and, before `cases`, no folder
        regions = factory(Path(), **resolve_params(factory, entry.params)).task.regions
        values = [value for region in regions.values() for value in region]
        if protocol.activation == "softmax" and len(set(values)) < len(values):
            place = benchmark.document.where(("protocol", "loss"))
            yield (
                f"{place}: protocol.loss: found '{protocol.loss}', a softmax of one class a voxel, but the"
                f" regions of '{entry.name}' overlap ({', '.join(regions)}); choose 'bce+dice', 'dice' or the like"
            )
        if protocol.postprocess is not None:
            place = benchmark.document.where(("protocol", "postprocess"))
            for problem in protocol.postprocess.check_regions(regions):
                yield f"{place}: protocol.postprocess.{problem} (dataset '{entry.name}')"
    if protocol.postprocess is not None and protocol.activation == "softmax":
        place = benchmark.document.where(("protocol", "postprocess"))
        yield (
            f"{place}: protocol.postprocess: its thresholds are of sigmoids, but loss '{protocol.loss}' is of one"
            " softmax; choose 'bce+dice' or the like, or leave postprocess out"
        )
