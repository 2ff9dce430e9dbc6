"""The extras that the settings of a benchmark need; plugins name their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchbench.plan.run import Run
from benchbench.spec.augmentation import Albumentations
from benchbench.spec.protocol import Protocol


def needed_extras(runs: Iterable[Run]) -> Mapping[str, str]:
    """Return extra -> the setting that needs it, for the runs that have networks."""
    needed: dict[str, str] = {}
    for run in runs:
        if run.tuning is not None:
            needed["tune"] = "[tune]"
        if run.has_network:
            needed |= _needed_by(run.protocol)
    return needed


def _needed_by(protocol: Protocol) -> Mapping[str, str]:
    needed: dict[str, str] = {}
    if protocol.denoise != "none":
        needed["scikit-image"] = "protocol.denoise"
    if protocol.spacing is not None:
        needed["scikit-image"] = "protocol.spacing"
    if any(isinstance(step, Albumentations) for step in protocol.augment):
        needed["albumentations"] = "protocol.augment: albumentations"
    return needed
