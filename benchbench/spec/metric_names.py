"""The names of metrics, their tolerances, and which direction is better.

Definitions that differ have different names: `hd95` and `hd95_pooled` cannot be confused in a table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import AfterValidator

from benchbench.spec.document import nearest

Overlap = Literal["dice", "iou", "accuracy", "precision", "sensitivity", "specificity"]
Distance = Literal["hd", "hd95", "hd95_pooled", "hd95_surfel", "assd", "masd"]
SurfaceOverlap = Literal["nsd", "nsd_voxel"]
LesionScore = Literal["lesion_dice", "lesion_hd95"]
Challenge = Literal["gli", "ssa", "ped", "men", "men-rt", "met"]
"""A challenge of BraTS 2023, by whose rules lesions are separated and counted."""
Unit = Literal["mm", "px"]

OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
DISTANCES: tuple[Distance, ...] = get_args(Distance)
SURFACE_OVERLAPS: tuple[SurfaceOverlap, ...] = get_args(SurfaceOverlap)
LESION_SCORES: tuple[LesionScore, ...] = get_args(LesionScore)
CHALLENGES: tuple[Challenge, ...] = get_args(Challenge)
UNITS: tuple[Unit, ...] = get_args(Unit)
_RESERVED_ENDINGS = ("_mm", "_px", "_slice", "_pooled", "_case", "_classes", "_percent", "_loss")
_KNOWN = (*OVERLAPS, *DISTANCES, *SURFACE_OVERLAPS, *LESION_SCORES)


class MetricFacts(NamedTuple):
    """The direction and the unit of a metric of a plugin."""

    is_lower_better: bool
    has_length: bool
    """True if its columns end with a unit of length."""


_DECLARED: dict[str, MetricFacts] = {}
"""Name -> facts of the metrics of plugins that this process has seen, installed or in a manifest."""


def declare_metric(name: str, facts: MetricFacts) -> None:
    """Let files and tables use the metric of a plugin.

    Raises:
        ValueError: the name cannot be that of a metric, or is that of another one.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name.endswith(_RESERVED_ENDINGS):
        endings = ", ".join(_RESERVED_ENDINGS)
        raise ValueError(f"found metric '{name}', expected lower-case letters, digits and _ without {endings}")
    if name in _KNOWN:
        raise ValueError(f"benchbench has a metric '{name}' itself")
    known = _DECLARED.setdefault(name, facts)
    if known != facts:
        raise ValueError(f"metric '{name}' has another direction or unit here than elsewhere")


def declared_facts(names: Iterable[str]) -> dict[str, MetricFacts]:
    """Return the facts of those of the names that are metrics of plugins."""
    return {name: _DECLARED[name] for name in names if name in _DECLARED}


def columns_with_units(metric: str) -> list[str]:
    """Return the columns that a metric other than an overlap can have in a table of cases."""
    if metric in _DECLARED and not _DECLARED[metric].has_length:
        return [metric]
    return [f"{metric}_{unit}" for unit in UNITS]


class MetricName(NamedTuple):
    """A metric's name, split into its parts."""

    kind: str
    """The name before the @, such as "nsd"."""
    tolerance: float | None = None
    """Largest distance that counts as the same surface, in the unit of the spacing; None for other metrics."""
    challenge: Challenge | None = None
    """The challenge whose rules a lesion score follows; None for other metrics."""

    def __str__(self) -> str:
        if self.challenge is not None:
            return f"{self.kind}@{self.challenge}"
        if self.tolerance is not None:
            return f"{self.kind}@{self.tolerance:g}"
        return self.kind


def parse_metric(name: str) -> MetricName:
    """Parse a metric's name: `dice`, `hd95`, `nsd@2`, `lesion_dice@gli`.

    Raises:
        ValueError: the metric is unknown, or its tolerance or challenge is missing, invalid or out of place.
    """
    kind, at, parameter = name.partition("@")
    if kind not in _KNOWN and kind not in _DECLARED:
        raise ValueError(f"no such metric '{name}'; {nearest(kind, [*_KNOWN, *_DECLARED])}")
    if kind in LESION_SCORES:
        return MetricName(kind, challenge=_parse_challenge(name, parameter))
    if kind in SURFACE_OVERLAPS:
        return MetricName(kind, tolerance=_parse_tolerance(name, parameter))
    if at:
        raise ValueError(f"'{name}': {kind} has no tolerance; write '{kind}'")
    return MetricName(kind)


def _parse_challenge(name: str, written: str) -> Challenge:
    for challenge in CHALLENGES:
        if written == challenge:
            return challenge
    if written:
        raise ValueError(f"'{name}': no such challenge '{written}'; {nearest(written, CHALLENGES)}")
    raise ValueError(f"'{name}' names no challenge; write whose rules apply after an @, like '{name}@gli'")


def _parse_tolerance(name: str, written: str) -> float:
    kind = name.partition("@")[0]
    if "@" not in name:
        raise ValueError(f"'{name}' has no tolerance; write it in mm after an @, like '{name}@2'")
    if not re.fullmatch(r"\d*\.?\d+", written) or not math.isfinite(float(written)):
        raise ValueError(f"'{name}': found tolerance '{written}', expected a number of mm, like '{kind}@2'")
    return float(written)


def parse_metrics(names: Iterable[str]) -> dict[str, MetricName]:
    """Parse several names; the keys are the names as written.

    Raises:
        ValueError: names every invalid metric.
    """
    parsed: dict[str, MetricName] = {}
    problems: list[str] = []
    for name in names:
        try:
            parsed[name] = parse_metric(name)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(problems))
    return parsed


def is_overlap(name: str) -> bool:
    """Return True if the metric needs only the counts of voxels."""
    return name in OVERLAPS


def without_unit(column: str) -> str:
    """Return the metric of a table column: `hd95` for `hd95_mm`, `dice` for `dice`."""
    for unit in UNITS:
        if column.endswith(f"_{unit}"):
            return column.removesuffix(f"_{unit}")
    return column


def is_lower_better(name: str) -> bool:
    """Return True for distances, in whatever unit: less is better."""
    kind = without_unit(name).partition("@")[0]
    if kind in _DECLARED:
        return _DECLARED[kind].is_lower_better
    return kind in DISTANCES or kind == "lesion_hd95"


def value_range(name: str) -> tuple[float, float]:
    """Return the least and the largest value that a metric can have; that of a plugin's metric is not limited."""
    kind = without_unit(name).partition("@")[0]
    if kind in OVERLAPS or kind in SURFACE_OVERLAPS or kind == "lesion_dice":
        return 0.0, 1.0
    if kind in DISTANCES or kind == "lesion_hd95":
        return 0.0, math.inf
    return -math.inf, math.inf


def is_beyond_range(name: str, difference: float) -> bool:
    """Return True if no two values of a metric can differ by more than `difference`."""
    least, largest = value_range(name)
    return difference >= largest - least


Metric = Annotated[str, AfterValidator(lambda name: str(parse_metric(name)))]
"""A metric's name in a file: validated, and rewritten in one form (`nsd@2.0` becomes `nsd@2`)."""
