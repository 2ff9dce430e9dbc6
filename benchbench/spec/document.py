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

_KEY = re.compile(r"""((?:[^"'=]|"(?:\\.|[^"\\])*"|'[^']*')+)=""")


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
        # what stood below the path is gone, and so is where it stood
        origins = {known: place for known, place in self.origins.items() if known[: len(path)] != path}
        table: Any = data
        for depth, key in enumerate(path[:-1], start=1):
            if isinstance(table, dict) and key not in table:
                table[key] = {}
                origins[path[:depth]] = origin
            table = table[key]
            if not isinstance(table, dict) and not (depth == 1 and isinstance(path[1], int)):
                raise SpecError(f"{origin}: {dotted}: '{key}' is no table; set it as a whole")
        table[path[-1]] = value
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
    last: dict[KeyPath, int] = {}
    for number, statement in _statements(text):
        if statement.startswith("["):
            *outer, name = _parts(statement)
            table = (*_numbered(outer, last), name)
            if statement.startswith("[["):
                last[table] = last.get(table, -1) + 1
                table = (*table, last[table])
            yield table, number
        elif key := _KEY.match(statement):
            yield (*table, *_parts(f"[{key[1]}]")), number


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header and each key with its value, however many lines it takes, and the line it begins on."""
    began, statement = 1, ""
    for number, line in enumerate(text.split("\n"), start=1):
        statement += f"{line}\n"
        if _is_toml(statement):
            if not statement.lstrip().startswith("#"):
                yield began, statement.strip()
            began, statement = number + 1, ""


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _parts(header: str) -> list[str]:
    """The keys of one header, unquoted."""
    parts = []
    inside: Any = tomllib.loads(header)
    while inside:
        ((key, inside),) = inside.items()
        inside = inside[0] if isinstance(inside, list) else inside
        parts.append(key)
    return parts


def _numbered(parts: Sequence[str], last: Mapping[KeyPath, int]) -> KeyPath:
    """The path of a table; where a part is an array of tables, the table is in its latest entry."""
    path: KeyPath = ()
    for part in parts:
        path = (*path, part)
        if path in last:
            path = (*path, last[path])
    return path


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
