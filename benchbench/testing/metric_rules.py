"""Rules for the metric of a plugin."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from benchbench.contract import MetricPlugin
from benchbench.images.arrays import Mask
from benchbench.testing.extension_candidate import SHARED, ExtensionCandidate
from benchbench.testing.report import Rule, fault


def _plugin(candidate: ExtensionCandidate) -> MetricPlugin:
    assert isinstance(candidate.plugin, MetricPlugin), "the rules are those of metrics"
    return candidate.plugin


def _square(*shape: int, at: int) -> Mask:
    mask = np.zeros(shape, bool)
    inner = slice(at, at + 4)
    mask[tuple(inner for _ in shape)] = True
    return mask


def _scores(plugin: MetricPlugin, *, at: int) -> Iterator[tuple[str, float]]:
    """Yield the score of a square or cube and a moved one, in 2D and 3D, with and without voxel size."""
    for shape in ((16, 16), (16, 16, 16)):
        for spacing in (None, (1.5, *[1.0] * (len(shape) - 1))):
            reference, prediction = _square(*shape, at=2), _square(*shape, at=at)
            where = f"{len(shape)}D with voxel size {spacing}"
            yield where, float(plugin.measure(reference, prediction, spacing))


def range_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    plugin = _plugin(candidate)
    low, high = plugin.range
    if not low < high:
        yield fault(f"range = [{low:g}, {high:g}]", "the lowest and the highest score", "swap them")
    for at in (2, 3, 9):
        for where, score in _scores(plugin, at=at):
            if not low <= score <= high:
                yield fault(f"{where}: found {score:g}", f"a score in [{low:g}, {high:g}]", "correct the range")


def direction_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    plugin = _plugin(candidate)
    sign = -1 if plugin.is_lower_better else 1
    for (where, perfect), (_, far) in zip(_scores(plugin, at=2), _scores(plugin, at=9), strict=True):
        if sign * perfect < sign * far:
            finding = f"{where}: equal masks score {perfect:g}, and disjoint ones {far:g}"
            yield fault(finding, "the better score for equal masks", "correct is_lower_better")


def empty_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    plugin = _plugin(candidate)
    low, high = plugin.range
    for name in ("both_empty", "one_empty"):
        value = getattr(plugin, name)
        if not math.isnan(value) and not low <= value <= high:
            yield fault(f"{name} = {value:g}", f"nan or a score in [{low:g}, {high:g}]", "correct it")
    if math.isnan(plugin.one_empty):
        yield fault("one_empty is nan", "a score", "give the worst one: a missed lesion must count")


def input_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    reference, prediction = _square(16, 16, at=2), _square(16, 16, at=3)
    before = reference.copy(), prediction.copy()
    first = _plugin(candidate).measure(reference, prediction, None)
    again = _plugin(candidate).measure(before[0].copy(), before[1].copy(), None)
    if not np.array_equal(reference, before[0]) or not np.array_equal(prediction, before[1]):
        yield fault("the masks were changed", "the masks as they were", "work on copies")
    if first != again:
        yield fault(f"the same masks score {first:g} and {again:g}", "one score", "draw no random numbers")


RULES = (
    Rule(
        "range", "scores are in it, in 2D and 3D, with and without voxel size", range_faults, is_prerequisite=True
    ),
    Rule("direction", "equal masks do not score worse than disjoint ones", direction_faults),
    Rule("empty masks", "their scores are declared", empty_faults),
    Rule("inputs", "masks are not modified, and one pair has one score", input_faults),
    *SHARED,
)
