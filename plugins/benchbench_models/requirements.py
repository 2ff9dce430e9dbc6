"""Requirements of a model on its parameters and on the patch, and the error that reports the unmet ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchbench import IncompatibleError

CHANGE_PATCH = "change the protocol's patch"


class Requirements:
    """Collects requirements that are not met, so that one error reports all of them.

    Keywords are the names of the model's parameters.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._problems: list[str] = []

    def at_least(self, bound: int, **values: int) -> None:
        """Require that no value is below the bound."""
        for name, value in values.items():
            self.that(value >= bound, f"{name} is {value}, expected at least {bound}; choose another")

    def multiple_of(self, divisor: int, **values: int) -> None:
        """Require that every value is a positive multiple of the divisor."""
        for name, value in values.items():
            is_multiple = value > 0 and value % divisor == 0
            self.that(is_multiple, f"{name} is {value}, expected a multiple of {divisor}; choose another")

    def probability(self, **values: float) -> None:
        """Require that every value is a probability below 1."""
        for name, value in values.items():
            self.that(0 <= value < 1, f"{name} is {value}, expected a probability in [0, 1); choose another")

    def levels(self, count: int, widths: Sequence[int]) -> None:
        """Require that `widths` has a positive number of channels for `count` levels or more."""
        self.that(
            len(widths) >= count and min(widths) >= 1,
            f"widths is {list(widths)}, expected {count} or more, each at least 1; choose others",
        )

    def halvings(self, patch: Sequence[int], depth: int) -> None:
        """Require that every axis of the patch can be halved `depth` times; a negative depth requires nothing."""
        if depth >= 0:
            stride = 2**depth
            self.that(
                not any(size % stride for size in patch),
                f"patch is {list(patch)}, expected multiples of {stride} at depth {depth}; {CHANGE_PATCH} or the"
                " depth",
            )

    def patch_multiple_of(
        self, stride: int, patch: Sequence[int], *, least: int = 1, remedy: str = CHANGE_PATCH
    ) -> None:
        """Require that the stride divides every axis of the patch, into `least` voxels or more in all.

        At least 2 are required by networks that normalise each instance: of one voxel, that is undefined.
        """
        if any(size % stride for size in patch):
            self.that(False, f"patch is {list(patch)}, expected multiples of {stride}; {remedy}")
        elif math.prod(size // stride for size in patch) < least:
            self.that(False, f"patch is {list(patch)}, expected more than {stride} along an axis; enlarge it")

    def that(self, is_met: bool, problem: str) -> None:
        """Require a condition; `problem` says what was found, what was expected and what to do."""
        if not is_met:
            self._problems.append(f"{self._model}: {problem}")

    def check(self) -> None:
        """Raise IncompatibleError if any requirement is not met."""
        if self._problems:
            raise IncompatibleError(*self._problems)
