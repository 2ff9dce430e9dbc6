"""A TOML file as plain data that remembers where each key stands, and what was laid over it."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from benchbench.errors import SpecError

KeyPath = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


@dataclass(frozen=True)
class Document:
    """The data of one file after everything laid over it."""

    name: str
    """As the user wrote it."""
    data: Mapping[str, Any]
    origins: Mapping[KeyPath, str] = field(default_factory=dict)
    """Where the value at a path was written: `file.toml:9`, or `--set`."""

    def where(self, path: KeyPath) -> str:
        """The nearest known place of `path`: its own, or that of the table around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return self.name

    def assign(self, dotted: str, value: object, *, origin: str) -> Document:
        """The document with `value` at a dotted path; entries of a list are addressed by their name.

        Raises:
            SpecError: the path leads nowhere.
        """
        data = copy.deepcopy(dict(self.data))
        path = _resolve(data, dotted, origin)
        table: Any = data
        for key in path[:-1]:
            table = table.setdefault(key, {}) if isinstance(table, dict) else table[key]
            if not isinstance(table, dict) and not isinstance(data[str(path[0])], list):
                raise SpecError(f"{origin}: {dotted}: '{key}' is no table; set it as a whole")
        table[path[-1]] = value
        # what stood below the path is gone, and so is where it stood
        origins = {known: place for known, place in self.origins.items() if known[: len(path)] != path}
        return replace(self, data=data, origins={**origins, path: origin})

    def overlay(self, prefix: str, changes: Mapping[str, Any], *, origin: str) -> Document:
        """The document with every leaf of `changes` laid over the table at `prefix`."""
        document = self
        for dotted, value in _leaves(changes, prefix):
            document = document.assign(dotted, value, origin=origin)
        return document


def read_document(path: Path) -> Document:
    """The data of a TOML file.

    Raises:
        SpecError: the file cannot be read or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = tomllib.loads(text)
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}; give the path of a benchmark file") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(_syntax_error(path, str(error))) from error
    origins = {key: f"{path}:{line}" for key, line in _key_lines(text)}
    return Document(name=str(path), data=data, origins=origins)


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint at the known word most like `word`, or the list of them."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known) or 'none'}"


def parse_value(text: str) -> object:
    """A TOML value as written after `--set path=`; what is not TOML is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _syntax_error(path: Path, message: str) -> str:
    found = re.search(r"\(at line (\d+), column (\d+)\)", message)
    place = f"{path}:{found[1]}" if found else str(path)
    return f"{place}: not valid TOML: {message}"


def _key_lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    table: KeyPath = ()
    seen: dict[KeyPath, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _parts(header[2])
            if header[1] == "[[":
                seen[table] = seen.get(table, -1) + 1
                table = (*table, seen[table])
            yield table, number
        elif key := _KEY.match(line):
            yield (*table, *_parts(key[1])), number


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _leaves(changes: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in changes.items():
        dotted = f"{prefix}.{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, dotted)
        else:
            yield dotted, value


def _resolve(data: Mapping[str, Any], dotted: str, origin: str) -> KeyPath:
    keys = dotted.split(".")
    if not all(keys):
        raise SpecError(f"{origin}: '{dotted}' is no path; write it like protocol.epochs")
    if len(keys) < 2 or not isinstance(data.get(keys[0]), list):
        return tuple(keys)
    if len(keys) == 2:
        raise SpecError(f"{origin}: '{dotted}' is an entry; name its parameter, like {dotted}.width")
    names = [str(entry.get("name")) for entry in data[keys[0]] if isinstance(entry, Mapping)]
    if keys[1] not in names:
        raise SpecError(f"{origin}: {dotted}: no '{keys[1]}' among {keys[0]}; {nearest(keys[1], names)}")
    return (keys[0], names.index(keys[1]), *keys[2:])
