"""Pairings of a benchmark that cannot be run, found before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import Registry
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.variants import Variant


def pairing_problems(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
    yield from region_problems(benchmark, variant, registry)
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


def region_problems(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
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
