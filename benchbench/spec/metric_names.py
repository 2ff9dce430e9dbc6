"""The names of metrics: what each is called, whether it has a tolerance and which way is better.

Definitions that differ have names that differ: `hd95` and `hd95_pooled` are never confused in a table.
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
"""Of BraTS 2023: by whose rules lesions are told apart and counted."""
Unit = Literal["mm", "px"]

OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
DISTANCES: tuple[Distance, ...] = get_args(Distance)
SURFACE_OVERLAPS: tuple[SurfaceOverlap, ...] = get_args(SurfaceOverlap)
LESION_SCORES: tuple[LesionScore, ...] = get_args(LesionScore)
CHALLENGES: tuple[Challenge, ...] = get_args(Challenge)
UNITS: tuple[Unit, ...] = get_args(Unit)
_KNOWN = (*OVERLAPS, *DISTANCES, *SURFACE_OVERLAPS, *LESION_SCORES)


class MetricName(NamedTuple):
    """A metric's name taken apart."""

    kind: str
    tolerance: float | None = None
    """What still counts as the same surface, in the unit of the spacing."""
    challenge: Challenge | None = None
    """Whose lesions are scored."""

    def __str__(self) -> str:
        if self.challenge is not None:
            return f"{self.kind}@{self.challenge}"
        return self.kind if self.tolerance is None else f"{self.kind}@{self.tolerance:g}"


def parse_metric(name: str) -> MetricName:
    """The metric of a name: `dice`, `hd95`, `nsd@2`, `lesion_dice@gli`.

    Raises:
        ValueError: no such metric, or a tolerance or challenge that is missing, wrong or out of place.
    """
    kind, at, tolerance = name.partition("@")
    if kind not in _KNOWN:
        raise ValueError(f"no such metric '{name}'; {nearest(kind, _KNOWN)}")
    if kind in LESION_SCORES:
        return MetricName(kind, challenge=_parse_challenge(name, tolerance))
    if kind not in SURFACE_OVERLAPS:
        if at:
            raise ValueError(f"'{name}': {kind} has no tolerance; write '{kind}'")
        return MetricName(kind)
    if not at:
        raise ValueError(f"'{name}' says no tolerance; write it in mm behind an @, like '{name}@2'")
    if not re.fullmatch(r"\d*\.?\d+", tolerance) or not math.isfinite(float(tolerance)):
        raise ValueError(f"'{name}': found tolerance '{tolerance}', expected a number of mm, like '{kind}@2'")
    return MetricName(kind, float(tolerance))


def _parse_challenge(name: str, written: str) -> Challenge:
    for challenge in CHALLENGES:
        if written == challenge:
            return challenge
    if written:
        raise ValueError(f"'{name}': no such challenge '{written}'; {nearest(written, CHALLENGES)}")
    raise ValueError(f"'{name}' says no challenge; write whose lesions are scored behind an @, like '{name}@gli'")


def parse_metrics(names: Iterable[str]) -> dict[str, MetricName]:
    """The metric of each name as written.

    Raises:
        ValueError: with every name that is wrong.
    """
    parsed, problems = {}, []
    for name in names:
        try:
            parsed[name] = parse_metric(name)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(problems))
    return parsed


def is_overlap(name: str) -> bool:
    """Whether counts of voxels are all that the metric needs."""
    return name in OVERLAPS


def without_unit(column: str) -> str:
    """The metric of a column: a distance's has its unit behind it."""
    return next((column.removesuffix(f"_{unit}") for unit in UNITS if column.endswith(f"_{unit}")), column)


def is_lower_better(name: str) -> bool:
    """Whether a model with less of it is the better one: distances, in whatever unit."""
    kind = without_unit(name).partition("@")[0]
    return kind in DISTANCES or kind == "lesion_hd95"


Metric = Annotated[str, AfterValidator(lambda name: str(parse_metric(name)))]
"""A metric's name in a file: checked, and written one way (`nsd@2.0` is `nsd@2`)."""
