"""What is asked of a plugin's factory: that its parameters are described."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchbench.registry.descriptions import meanings
from benchbench.registry.registry import keyword_parameters
from benchbench.testing.report import fault


def undocumented(factory: Callable[..., Any]) -> Iterator[str]:
    """A line for each parameter that lacks a type, a default or a meaning."""
    said = meanings(factory)
    for name, parameter in keyword_parameters(factory).items():
        if parameter.annotation is parameter.empty:
            mend = "annotate it, and benchmarks are checked against it"
            yield fault(f"parameter '{name}' has no annotation", "a type", mend)
        if parameter.default is parameter.empty:
            yield fault(
                f"parameter '{name}' has no default", "one that a benchmark may leave alone", "give it one"
            )
        if not said[name]:
            mend = "say there what it means"
            yield fault(f"parameter '{name}' is not spoken of", "a sentence of the docstring that names it", mend)
