"""Everything in which two recipes differ, read from the records of their runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchbench.results.record import Record

_OF_A_RUN = {"fold", "seed", "members"}
_MACHINE = ("device", "name", "cuda", "precision", "threads", "versions", "code", "machine")
_ABSENT = "-"


class Difference(NamedTuple):
    """A key and what each side has there; several values where the side's own runs differ."""

    key: str
    first: str
    second: str


def differences(first: Sequence[Record], second: Sequence[Record]) -> list[Difference]:
    """Every key of the recipes, then of the machines, whose values differ; fold and seed apart."""
    one, other = _gathered(first), _gathered(second)
    keys = dict.fromkeys([*one, *other])
    pairs = [(key, one.get(key, _ABSENT), other.get(key, _ABSENT)) for key in keys]
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]


def _gathered(records: Sequence[Record]) -> dict[str, str]:
    """Dotted key -> the values that the runs have there."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        recipe = {key: value for key, value in record.resolved.items() if key not in _OF_A_RUN}
        machine = {key: record.provenance[key] for key in _MACHINE if key in record.provenance}
        for key, value in [*_leaves(recipe), *_leaves(machine, "on")]:
            found.setdefault(key, {})[value] = None
    return {key: " | ".join(sorted(values)) for key, values in found.items()}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Lists of steps are compared step by step, by the steps' names."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            name = item.get("name", item.get("albumentations", number)) if isinstance(item, Mapping) else number
            yield from _leaves(item, f"{path}[{number}:{name}]")
    else:
        yield path, value[:12] if path.endswith("_digest") and isinstance(value, str) else str(value)
