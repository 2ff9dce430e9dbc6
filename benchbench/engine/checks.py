"""What only the engine knows to be impossible, told before anything runs."""

from __future__ import annotations

from benchbench.engine.augment import check_patch
from benchbench.engine.host_augment import check_albumentations
from benchbench.errors import SpecError
from benchbench.protocol import Albumentations
from benchbench.spec import Benchmark


def check_steps(benchmark: Benchmark) -> None:
    """Refuses augmentation steps that would fail once a run is under way.

    Raises:
        SpecError: with every such step, and why.
    """
    problems: dict[str, None] = {}
    for variant in benchmark.variants:
        protocol = variant.protocol
        place = benchmark.document.where(("protocol", "augment"))
        found = check_patch(protocol.augment, protocol.patch)
        for step in protocol.augment:
            if isinstance(step, Albumentations):
                found += check_albumentations(step)
        problems.update(dict.fromkeys(f"{place}: protocol.augment: {problem}" for problem in found))
    if problems:
        raise SpecError(*problems)
