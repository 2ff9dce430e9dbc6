"""What a model asks of its parameters and of the patch, and the error that says which of it is not met."""

from __future__ import annotations

from benchbench import IncompatibleError


class Requirements:
    """Collects what is not met, so that one error tells all of it; the keywords are the parameters' names."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._problems: list[str] = []

    def at_least(self, bound: int, **values: int) -> None:
        for name, value in values.items():
            self.that(value >= bound, f"{name} is {value}, expected at least {bound}; choose another")

    def probability(self, **values: float) -> None:
        for name, value in values.items():
            self.that(0 <= value < 1, f"{name} is {value}, expected a probability in [0, 1); choose another")

    def halvings(self, patch: tuple[int, ...], depth: int) -> None:
        """Every axis of the patch can be halved `depth` times."""
        self.that(
            depth < 0 or not any(size % 2**depth for size in patch),
            f"patch is {list(patch)}, expected multiples of {2 ** max(depth, 0)} at depth {depth}; "
            "change the protocol's patch or the depth",
        )

    def that(self, holds: bool, otherwise: str) -> None:
        """`otherwise` says what was found, what was expected and what to do."""
        if not holds:
            self._problems.append(f"{self._model}: {otherwise}")

    def check(self) -> None:
        """Raises IncompatibleError where anything is not met."""
        if self._problems:
            raise IncompatibleError(*self._problems)
