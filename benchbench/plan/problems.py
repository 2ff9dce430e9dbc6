"""Combinations of a benchmark that cannot be run, reported before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchbench.contract import Task
from benchbench.images.arrays import MOST_REGIONS
from benchbench.plan.extensions import extension_problems
from benchbench.plan.tuning import tuned_names, tuning_problems
from benchbench.registry.faults import task_of
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import Registry
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.benchmark_file import DatasetEntry
from benchbench.spec.file_names import slug
from benchbench.spec.protocol import Protocol
from benchbench.spec.toml_text import KeyPath
from benchbench.spec.variants import Variant

Regions = Mapping[str, Sequence[int]]
_PREDICTION = (
    *("ndim", "slice_axis", "patch", "crop", "intensity", "denoise", "denoise_weight", "one_hot_foreground"),
    *("inference", "postprocess"),
)
"""Keys of the protocol that decide how a case is prepared and predicted."""


def pairing_problems(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
    """Yield a line for each combination of datasets, models, ensembles and protocol that cannot be run."""
    yield from _absent_ensembles(benchmark)
    yield from _label_problems(benchmark, variant, registry)
    yield from _region_problems(benchmark, variant, registry)
    yield from _ensemble_problems(benchmark, variant)
    yield from _dimension_problems(benchmark, variant, registry)
    yield from extension_problems(benchmark, variant, registry)
    yield from tuning_problems(benchmark, variant, registry)


def case_problems(benchmark: Benchmark) -> Iterator[str]:
    """Yield a line for each two names of one kind that are one folder where the case of letters does not count."""
    datasets = {entry.name for variant in benchmark.variants for entry in variant.datasets}
    models = _row_names(benchmark)
    variants = {variant.label for variant in benchmark.variants}
    for kind, names in (("datasets", datasets), ("models", models), ("variants", variants)):
        first: dict[str, str] = {}
        for name in sorted(names):
            other = first.setdefault(slug(name).casefold(), name)
            if other != name:
                yield (
                    f"{benchmark.document.name}: {kind} '{other}' and '{name}' have the same folder on systems"
                    " that ignore the case of letters; rename one"
                )


def _row_names(benchmark: Benchmark) -> set[str]:
    """Return the names in the model column of tables."""
    names = {entry.row for variant in benchmark.variants for entry in variant.models}
    names.update(ensemble.name for ensemble in benchmark.ensembles)
    names.update(row.name for row in benchmark.external)
    names.update(tuned_names(benchmark))
    return names


def label_problems(task: Task) -> Iterator[str]:
    """Yield a line for each way in which the labels of a task cannot be stored or scored."""
    ignored = set(task.ignored)
    most = MOST_REGIONS - bool(ignored)
    if len(task.regions) > most:
        next_to = " next to ignored voxels" if ignored else ""
        yield f"found {len(task.regions)} regions, expected at most {most}{next_to}; leave some out"
    for region, values in task.regions.items():
        both = ", ".join(str(value) for value in values if value in ignored)
        if both:
            yield f"region '{region}': found label {both}, which is ignored; leave it out of one of the two"
    if "ignore" in task.regions:
        yield "found a region 'ignore', which would be scored; give its labels as Task.ignore"


def _label_problems(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
    place = benchmark.document.where(("datasets",))
    for entry in variant.datasets:
        for problem in label_problems(_task_of(entry, registry)):
            yield f"{place}: dataset '{entry.name}': {problem}"


def _region_problems(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
    """Yield what a protocol demands of regions that those of a dataset do not fulfil."""
    for place, name, protocol in variant.protocols():
        rules_place = benchmark.document.where((*place, "postprocess"))
        for entry in variant.datasets:
            regions = _task_of(entry, registry).regions
            yield from _loss_problems(benchmark, (*place, "loss"), name, protocol, regions, entry.name)
            for problem in _rule_problems(protocol, regions):
                yield f"{rules_place}: {name}.postprocess.{problem} (dataset '{entry.name}')"
        if protocol.postprocess is not None and protocol.activation == "softmax":
            yield (
                f"{rules_place}: {name}.postprocess: its thresholds need a sigmoid, but loss"
                f" '{protocol.loss.name}' uses a softmax; choose 'bce+dice' or the like, or leave postprocess out"
            )


def _loss_problems(
    benchmark: Benchmark, path: KeyPath, name: str, protocol: Protocol, regions: Regions, dataset: str
) -> Iterator[str]:
    place = benchmark.document.where(path)
    if protocol.activation == "softmax" and _do_overlap(regions):
        yield (
            f"{place}: {name}.loss: found '{protocol.loss.name}', a softmax of one class per voxel, but the"
            f" regions of '{dataset}' overlap ({', '.join(regions)}); choose 'bce+dice', 'dice' or the like"
        )
    for problem in _weight_problems(protocol, regions):
        yield f"{place}: {name}.loss.class_weights: {problem} (dataset '{dataset}')"


def _task_of(entry: DatasetEntry, registry: Registry) -> Task:
    plugin = registry.named_dataset(entry)
    # opening reads no voxels and, before `cases`, no folder
    return task_of(plugin, resolve_params(plugin.open, entry.params))


def _do_overlap(regions: Regions) -> bool:
    values: list[int] = []
    for members in regions.values():
        values += members
    return len(set(values)) < len(values)


def _rule_problems(protocol: Protocol, regions: Regions) -> list[str]:
    return protocol.postprocess.check_regions(regions) if protocol.postprocess is not None else []


def _weight_problems(protocol: Protocol, regions: Regions) -> Iterator[str]:
    weights = protocol.loss.class_weights
    expected = len(regions) + protocol.loss.is_softmax
    if weights is not None and len(weights) != expected:
        classes = "classes, background first" if protocol.loss.is_softmax else "regions"
        yield f"found {len(weights)}, expected {expected} for the {classes}"


def _ensemble_problems(benchmark: Benchmark, variant: Variant) -> Iterator[str]:
    models = {entry.row for entry in variant.models}
    for number, ensemble in enumerate(benchmark.ensembles):
        if not models.issuperset(ensemble.models):
            continue  # the ensemble has no row in this variant
        if len(ensemble.models) * len(variant.protocol.seeds) < 2:
            place = benchmark.document.where(("ensembles", number, "seeds"))
            yield (
                f"{place}: ensembles.{ensemble.name}.seeds: found one model and one seed in variant"
                f" '{variant.label}', which is no ensemble; name another model or add to protocol.seeds"
            )
        keys = _differing_inputs([variant.protocol_of(model) for model in ensemble.models])
        if keys:
            place = benchmark.document.where(("ensembles", number, "models"))
            yield (
                f"{place}: ensembles.{ensemble.name}.models: found members with different {', '.join(keys)},"
                " whose probabilities are not averaged; choose members that predict alike"
            )


def _absent_ensembles(benchmark: Benchmark) -> Iterator[str]:
    """Yield a line for each ensemble that has a row in no variant."""
    models = [{entry.row for entry in variant.models} for variant in benchmark.variants]
    for number, ensemble in enumerate(benchmark.ensembles):
        if not any(names.issuperset(ensemble.models) for names in models):
            place = benchmark.document.where(("ensembles", number, "models"))
            yield (
                f"{place}: ensembles.{ensemble.name}.models: no variant trains {', '.join(ensemble.models)}"
                " together; name models of one variant"
            )


def _differing_inputs(protocols: Sequence[Protocol]) -> list[str]:
    """Return the keys of the protocol that all members of an ensemble must share, and do not."""
    keys: list[str] = []
    for key in (*_PREDICTION, "activation"):
        values = [getattr(protocol, key) for protocol in protocols]
        if any(value != values[0] for value in values):
            keys.append(key)
    return keys


def _dimension_problems(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
    places = {changed.model: changed.place for changed in variant.own_protocols}
    for entry in variant.models:
        ndim = variant.protocol_of(entry.row).ndim
        supported = registry.model(entry.name).ndims
        if ndim not in supported:
            names = " or ".join(f"{number}D" for number in sorted(supported))
            place = benchmark.document.where(places.get(entry.row, ("protocol",)))
            yield f"{place}: protocol.ndim: found {ndim}, but model '{entry.row}' is {names}; change one of them"
