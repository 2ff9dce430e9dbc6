"""The rule that the parameters of a plugin's factory are documented."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchbench.registry.descriptions import parameter_descriptions
from benchbench.registry.parameters import keyword_parameters
from benchbench.testing.report import fault


def documentation_faults(factory: Callable[..., Any]) -> Iterator[str]:
    """Yield one line for each parameter that lacks a type, a default or a description."""
    descriptions = parameter_descriptions(factory)
    for name, parameter in keyword_parameters(factory).items():
        if parameter.annotation is parameter.empty:
            advice = "annotate it, so that benchmark files are checked against the type"
            yield fault(f"parameter '{name}' has no annotation", "a type", advice)
        if parameter.default is parameter.empty:
            expected = "one that suits most benchmarks"
            yield fault(f"parameter '{name}' has no default", expected, "add one")
        if not descriptions[name]:
            expected = "a sentence of the docstring that names it"
            yield fault(f"parameter '{name}' is not described", expected, "describe it there")
