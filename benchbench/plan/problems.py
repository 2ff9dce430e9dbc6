"""Combinations of a benchmark that cannot be run, reported before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchbench.contract import Task
from benchbench.images.arrays import MOST_REGIONS
from benchbench.registry.faults import task_of
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import Registry
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.benchmark_file import DatasetEntry
from benchbench.spec.file_names import slug
from benchbench.spec.protocol import Protocol
from benchbench.spec.variants import Variant

Regions = Mapping[str, Sequence[int]]


def pairing_problems(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
    """Yield a line for each combination of datasets, models, ensembles and protocol that cannot be run."""
    yield from _label_problems(benchmark, variant, registry)
    yield from _region_problems(benchmark, variant, registry)
    yield from _ensemble_problems(benchmark, variant)
    yield from _dimension_problems(benchmark, variant, registry)


def case_problems(benchmark: Benchmark) -> Iterator[str]:
    """Yield a line for each two names of one kind that are one folder where the case of letters does not count."""
    datasets = {entry.name for variant in benchmark.variants for entry in variant.datasets}
    models = {entry.name for variant in benchmark.variants for entry in variant.models}
    models |= {ensemble.name for ensemble in benchmark.ensembles}
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
    """Yield what the protocol demands of regions that those of a dataset do not fulfil."""
    protocol = variant.protocol
    loss_place = benchmark.document.where(("protocol", "loss"))
    rules_place = benchmark.document.where(("protocol", "postprocess"))
    for entry in variant.datasets:
        regions = _task_of(entry, registry).regions
        if protocol.activation == "softmax" and _do_overlap(regions):
            yield (
                f"{loss_place}: protocol.loss: found '{protocol.loss.name}', a softmax of one class per voxel, but"
                f" the regions of '{entry.name}' overlap ({', '.join(regions)}); choose 'bce+dice', 'dice' or the"
                " like"
            )
        yield from (
            f"{loss_place}: {problem} (dataset '{entry.name}')" for problem in _weight_problems(protocol, regions)
        )
        for problem in _rule_problems(protocol, regions):
            yield f"{rules_place}: protocol.postprocess.{problem} (dataset '{entry.name}')"
    if protocol.postprocess is not None and protocol.activation == "softmax":
        yield (
            f"{rules_place}: protocol.postprocess: its thresholds need a sigmoid, but loss '{protocol.loss.name}'"
            " uses a softmax; choose 'bce+dice' or the like, or leave postprocess out"
        )


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
        yield f"protocol.loss.class_weights: found {len(weights)}, expected {expected} for the {classes}"


def _ensemble_problems(benchmark: Benchmark, variant: Variant) -> Iterator[str]:
    for number, ensemble in enumerate(benchmark.ensembles):
        if len(ensemble.models) * len(variant.protocol.seeds) < 2:
            place = benchmark.document.where(("ensembles", number, "seeds"))
            yield (
                f"{place}: ensembles.{ensemble.name}.seeds: found one model and one seed in variant"
                f" '{variant.label}', which is no ensemble; name another model or add to protocol.seeds"
            )


def _dimension_problems(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
    place = benchmark.document.where(("protocol",))
    ndim = variant.protocol.ndim
    for entry in variant.models:
        supported = registry.model(entry.name).ndims
        if ndim not in supported:
            names = " or ".join(f"{number}D" for number in sorted(supported))
            yield f"{place}: protocol.ndim: found {ndim}, but model '{entry.name}' is {names}; change one of them"
