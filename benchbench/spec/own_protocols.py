"""Protocols of single models: the changes in `[models.NAME.protocol]`, applied to the protocol of all models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from benchbench.errors import SpecError
from benchbench.spec.document import Document, nearest, row_name
from benchbench.spec.messages import describe
from benchbench.spec.protocol import Protocol
from benchbench.spec.toml_text import KeyPath

SHARED = ("folds", "test", "splits", "allow_leaky_split", "validation", "seeds", "metrics", "empty", "select_on")
"""Keys of the protocol that no model can have of its own: what is tested, how it is scored, and what selects."""


@dataclass(frozen=True, kw_only=True)
class OwnProtocol:
    """The protocol of one model that differs from that of the others."""

    model: str
    """Name of the row: the label of the model, or its name."""
    place: KeyPath
    """Place of the changes in the file."""
    protocol: Protocol
    """The whole protocol of the model, with its changes."""


class _File(BaseModel):
    """A benchmark file of which only the protocol is read."""

    protocol: Protocol


def with_named_tables(document: Document) -> Document:
    """Return the document with each `[models.NAME.protocol]` in the entry of that model.

    In TOML, such a table below `[[models]]` belongs to the last entry, under the key NAME.

    Raises:
        SpecError: a table names no model.
    """
    entries = document.data.get("models")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return document  # the schema refuses it
    data = {**document.data, "models": [dict(entry) for entry in entries]}
    origins = dict(document.origins)
    names = [row_name(entry) for entry in entries]
    for number, key in _named_tables(entries):
        place: KeyPath = ("models", number, key, "protocol")
        if key not in names:
            raise SpecError(f"{document.where(place)}: models.{key}: no such model; {nearest(key, names)}")
        target = names.index(key)
        data["models"][target]["protocol"] = data["models"][number].pop(key)["protocol"]
        _move(origins, place, ("models", target, "protocol"))
    return replace(document, data=data, origins=origins)


def _named_tables(entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, str]]:
    """Yield the number of an entry and its key, for each key with a protocol and nothing else."""
    for number, entry in enumerate(entries):
        for key, value in entry.items():
            if isinstance(value, Mapping) and set(value) == {"protocol"}:
                yield number, key


def read_own_protocols(document: Document, *, common: Protocol) -> list[OwnProtocol]:
    """Return the protocol of each model whose entry has changes to the protocol of all models.

    Raises:
        SpecError: with every change that the protocol refuses.
    """
    protocols: list[OwnProtocol] = []
    problems: list[str] = []
    for number, entry in enumerate(document.data.get("models", ())):
        changes = entry.get("protocol")
        if not changes:
            continue
        place: KeyPath = ("models", number, "protocol")
        name = row_name(entry)
        problems += _shared_problems(document, name, changes, place)
        merged = _merged(document.data["protocol"], changes)
        try:
            protocol = _File.model_validate_json(json.dumps({"protocol": merged}, default=str)).protocol
        except ValidationError as error:
            problems += _problems(error, document, name, merged, place)
        else:
            # a split file is already at its place
            shared = {key: getattr(common, key) for key in SHARED}
            protocols.append(OwnProtocol(model=name, place=place, protocol=protocol.model_copy(update=shared)))
    if problems:
        raise SpecError(*problems)
    return protocols


def without_rehearsed(document: Document, rehearsed: Mapping[str, Any]) -> Document:
    """Return the document without the changes of models to the keys that a rehearsal sets for all models."""
    models = []
    for entry in document.data.get("models", ()):
        changes = entry.get("protocol")
        if isinstance(changes, Mapping):
            remaining = {key: value for key, value in changes.items() if key not in rehearsed}
            entry = {**entry, "protocol": remaining}  # noqa: PLW2901 the entry of the file stays
        models.append(entry)
    return replace(document, data={**document.data, "models": models})


def settings_text(common: Protocol, protocol: Protocol) -> str:
    """Return the settings of a model's protocol that differ, as tables show them: `batch 16; loss dice`."""
    parts: list[str] = []
    common_values = common.model_dump(mode="json")
    for key, value in protocol.model_dump(mode="json").items():
        if value != common_values[key]:
            parts += _changed(key, common_values[key], value)
    return "; ".join(parts)


def _changed(key: str, common: Any, value: Any) -> Iterator[str]:
    """Yield the changed settings of a table of the same name, or the whole value."""
    are_tables = isinstance(common, Mapping) and isinstance(value, Mapping)
    if not are_tables or common.get("name") != value.get("name"):
        yield f"{key} {setting_text(value) or 'none'}"
        return
    for inner, setting in value.items():
        if setting != common.get(inner):
            yield f"{key}.{inner} {setting_text(setting) or 'none'}"


def setting_text(value: object) -> str:
    """Return a setting in words, the name of a table first: `plateau, factor 0.2, patience 2`."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        parts = []
        for key, inner in value.items():
            parts.append(setting_text(inner) if key == "name" else f"{key} {setting_text(inner)}")
        return ", ".join(parts)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(setting_text, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _merged(common: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the protocol with the changes: a table with a `name` replaces a table, another changes its keys."""
    merged = dict(common)
    for key, value in changes.items():
        present = common.get(key)
        if isinstance(value, Mapping) and "name" not in value and isinstance(present, Mapping):
            merged[key] = {**present, **value}
        else:
            merged[key] = value
    return merged


def _shared_problems(document: Document, name: str, changes: Mapping[str, Any], place: KeyPath) -> Iterator[str]:
    for key in changes:
        if key in SHARED:
            yield (
                f"{document.where((*place, key))}: models.{name}.protocol.{key}: found a value for one model,"
                " expected one for all, which are tested and scored alike; set it in [protocol]"
            )


def _problems(
    error: ValidationError, document: Document, name: str, merged: Mapping[str, Any], place: KeyPath
) -> Iterator[str]:
    """Yield the problems of a merged protocol at the places of the model's changes."""
    origins = dict(document.origins)
    _move(origins, place, ("protocol",))
    moved = replace(document, data={"protocol": merged}, origins=origins)
    for problem in describe(error, moved, _File):
        yield problem.replace(": protocol", f": models.{name}.protocol", 1)


def _move(origins: dict[KeyPath, str], source: KeyPath, target: KeyPath) -> None:
    """Let the origins below `source` be those below `target`, in place."""
    for path in list(origins):
        if path[: len(source)] == source:
            origins[*target, *path[len(source) :]] = origins.pop(path)
