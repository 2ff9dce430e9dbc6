"""A TOML file as plain data that remembers the line of each key, and every change made to it afterwards."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from benchbench.errors import SpecError
from benchbench.images.input_files import FileFault, regular_size
from benchbench.spec.toml_text import MOST_LEVELS, KeyPath, TomlFault, key_lines, parse_toml

_MOST_BYTES = 2**20
"""Largest size of a benchmark file."""


@dataclass(frozen=True)
class Document:
    """The data of one file after all changes to it."""

    name: str
    """Path of the file as the user wrote it."""
    data: Mapping[str, Any]
    """The tables and values of the file."""
    origins: Mapping[KeyPath, str] = field(default_factory=dict)
    """Path of a value -> the place that set it: `file.toml:9`, or `--set protocol.epochs=2`."""

    def where(self, path: KeyPath) -> str:
        """Return the nearest known place of `path`: its own, or that of the table that contains it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return self.name

    def assign(self, dotted: str, value: object, *, origin: str) -> Document:
        """Return the document with `value` at a dotted path; an entry of a list is addressed by its name.

        Tables that do not exist yet are created.

        Raises:
            SpecError: the path is invalid.
        """
        return self._with_all([(dotted, value)], origin=origin)

    def overlay(self, prefix: str, changes: Mapping[str, Any], *, origin: str) -> Document:
        """Return the document with every value of `changes` assigned below the table `prefix`."""
        return self._with_all(_leaves(changes, prefix), origin=origin)

    def _with_all(self, changes: Iterable[tuple[str, Any]], *, origin: str) -> Document:
        data = copy.deepcopy(dict(self.data))
        origins = dict(self.origins)
        for dotted, value in changes:
            path = _resolve(data, dotted, origin)
            # values below the path are replaced, so that their places are no longer true
            for known in [known for known in origins if known[: len(path)] == path]:
                del origins[known]
            _set_value(data, path, value, origins=origins, where=f"{origin}: {dotted}", origin=origin)
        return replace(self, data=data, origins=origins)


def _set_value(
    data: dict[str, Any], path: KeyPath, value: object, *, origins: dict[KeyPath, str], where: str, origin: str
) -> None:
    """Set a value in place; tables that do not exist yet are created."""
    table: Any = data
    for depth, key in enumerate(path[:-1], start=1):
        if isinstance(table, dict) and key not in table:
            table[key] = {}
            origins[path[:depth]] = origin
        table = table[key]
        is_list_of_tables = depth == 1 and isinstance(path[1], int)
        if not isinstance(table, dict) and not is_list_of_tables:
            raise SpecError(f"{where}: '{key}' is not a table; set it as a whole")
    table[path[-1]] = value
    origins[path] = origin


def read_document(path: Path) -> Document:
    """Read a TOML file.

    Raises:
        SpecError: the file cannot be read or is not TOML.
    """
    text = _read_text(path)
    try:
        data = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(_syntax_error(path, str(error))) from error
    except TomlFault as fault:
        raise SpecError(f"{path}: {fault}") from fault
    origins = {key: f"{path}:{line}" for key, line in key_lines(text)}
    return Document(name=str(path), data=data, origins=origins)


def _read_text(path: Path) -> str:
    try:
        size = regular_size(path, kind="a benchmark file")
        if size > _MOST_BYTES:
            expected = f"a benchmark file of at most {_MOST_BYTES:,}"
            raise SpecError(f"{path}: found {size:,} bytes, expected {expected}; give another file")
        return path.read_text(encoding="utf-8-sig")
    except FileFault as fault:
        raise SpecError(f"{path}: {fault}") from fault
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}; give the path of a benchmark file") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text; save it as UTF-8") from error


def nearest(word: str, known: Sequence[str]) -> str:
    """Return a hint for an unknown word: the most similar known word, or all known words."""
    close = get_close_matches(word, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known) or 'none'}"


def row_name(entry: Mapping[str, Any]) -> str:
    """Return the name by which an entry of a list is known: its label, or else its name."""
    return str(entry.get("label") or entry.get("name"))


def parse_value(text: str) -> object:
    """Parse the value of `--set path=value` as TOML; text that is not TOML is returned as a string."""
    try:
        return parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    except TomlFault as fault:
        raise SpecError(f"--set: {fault}") from fault


def _syntax_error(path: Path, message: str) -> str:
    position = re.search(r"\(at line (\d+), column (\d+)\)", message)
    place = f"{path}:{position[1]}" if position else str(path)
    return f"{place}: not valid TOML: {message}"


def _leaves(changes: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in changes.items():
        dotted = f"{prefix}.{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, dotted)
        else:
            yield dotted, value


def _resolve(data: Mapping[str, Any], dotted: str, origin: str) -> KeyPath:
    """Return the path of a dotted key; the name of a list's entry becomes its index."""
    keys = dotted.split(".")
    if len(keys) > MOST_LEVELS:
        raise SpecError(
            f"{origin[:80]}...: found {len(keys)} keys, expected at most {MOST_LEVELS}; shorten the path"
        )
    if not all(keys):
        raise SpecError(f"{origin}: '{dotted}' is not a path; write it like protocol.epochs")
    if len(keys) < 2 or not isinstance(data.get(keys[0]), list):
        return tuple(keys)
    return _resolve_entry(data[keys[0]], dotted, origin)


def _resolve_entry(entries: Sequence[Any], dotted: str, origin: str) -> KeyPath:
    """Return the path of a key of an entry, which is addressed by its name."""
    kind, _, rest = dotted.partition(".")
    names = [row_name(entry) for entry in entries if isinstance(entry, Mapping)]
    matching = [name for name in names if f"{rest}.".startswith(f"{name}.")]  # a label may have a point
    if not matching:
        key = rest.partition(".")[0]
        raise SpecError(f"{origin}: {dotted}: no '{key}' among {kind}; {nearest(key, names)}")
    name = max(matching, key=len)
    below = rest[len(name) + 1 :]
    if not below:
        raise SpecError(f"{origin}: '{dotted}' is an entry; name its parameter, like {dotted}.width")
    return (kind, names.index(name), *below.split("."))
