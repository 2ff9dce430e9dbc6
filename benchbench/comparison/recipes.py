"""The differences between two recipes, read from the records of their runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchbench.records.record import Record
from benchbench.words import natural_order

_OF_A_RUN = {"fold", "seed", "members"}
_MACHINE = (
    "device",
    "name",
    "cuda",
    "precision",
    "arithmetic",
    "compiled",
    "memory_layout",
    "threads",
    "versions",
    "code",
    "machine",
)
_ABSENT = "-"


class Difference(NamedTuple):
    """A key and its value on each side; several values, joined by |, where the runs of one side differ."""

    key: str
    first: str
    second: str


def differences(first: Sequence[Record], second: Sequence[Record]) -> list[Difference]:
    """Return every key of the recipes, then of the machines, whose values differ; fold and seed are ignored."""
    first_values, second_values = _collect_values(first), _collect_values(second)
    changed = []
    for key in dict.fromkeys([*first_values, *second_values]):
        one = first_values.get(key, _ABSENT)
        other = second_values.get(key, _ABSENT)
        if one != other:
            changed.append(Difference(key, one, other))
    return changed


def _collect_values(records: Sequence[Record]) -> dict[str, str]:
    """Return dotted key -> the values that the runs have for it, joined by |."""
    values: dict[str, set[str]] = {}
    for record in records:
        recipe = {key: value for key, value in record.resolved.items() if key not in _OF_A_RUN}
        machine = {key: record.provenance[key] for key in _MACHINE if key in record.provenance}
        for key, value in [*_leaves(recipe), *_leaves(machine, "on")]:
            values.setdefault(key, set()).add(value)
    return {key: " | ".join(sorted(alternatives, key=natural_order)) for key, alternatives in values.items()}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted path and the text of every leaf; items of a list of mappings have paths of their own."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            name = _step_name(item, number)
            yield from _leaves(item, f"{path}[{number}:{name}]")
    else:
        yield path, _leaf_text(value, path)


def _step_name(item: Any, number: int) -> Any:
    """Return the name of a step of a list, such as an augmentation; its number if it has no name."""
    if not isinstance(item, Mapping):
        return number
    return item.get("name", item.get("albumentations", number))


def _leaf_text(value: Any, path: str) -> str:
    if path.endswith("_digest") and isinstance(value, str):
        return value[:12]
    return str(value)
