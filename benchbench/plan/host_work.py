"""The work of a plan that the CPU does, also where a GPU trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbench.plan.run import Run
from benchbench.spec.augmentation import Albumentations
from benchbench.spec.protocol import Protocol


def host_work_remarks(runs: Sequence[Run]) -> list[str]:
    """Return a line for each kind of such work of a variant, with the key that asks for it."""
    remarks: dict[str, None] = {}
    for run in runs:
        for work in _host_work(run.protocol):
            remarks[f"variant {run.key.variant}: {work}"] = None
    return list(remarks)


def _host_work(protocol: Protocol) -> Iterator[str]:
    names = [step.albumentations for step in protocol.augment if isinstance(step, Albumentations)]
    if names:
        steps = ", ".join(names)
        yield f"augment: {steps} of albumentations: the CPU computes it for each image, and a GPU waits for it"
    if protocol.context:
        yield f"context = {protocol.context}: the CPU puts neighbouring slices together in every step"
    elif protocol.ndim == 2 and protocol.resize == "spacing":
        yield 'resize = "spacing": the CPU crops the patches of every step'
    if protocol.denoise != "none":
        yield f'denoise = "{protocol.denoise}": the CPU denoises every case, once, while it is prepared'
