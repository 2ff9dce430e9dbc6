"""Parses TOML in bounded time and depth, and finds the line of each key, which tomllib does not report."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

KeyPath = tuple[str | int, ...]

MOST_LEVELS = 32
"""Largest number of tables and arrays inside each other."""
MOST_KEYS = 2000
"""Largest number of keys of a file; each change of a variant copies all of them."""
_LARGEST = 2**63
"""TOML's integers have 64 bits."""
_KEY = re.compile(r"""((?:[^"'=]|"(?:\\.|[^"\\])*"|'[^']*')+)=""")
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'  # a text of several lines
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"  # a comment
    r"|[\[\]{}\n]",
    re.DOTALL,
)
_LONG_KEY = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{MOST_LEVELS}}}")


class TomlFault(Exception):  # noqa: N818 a fault of a text, which becomes an error with the name of its file
    """A problem of a text, as "found ..., expected ...; what to do"."""


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        tomllib.TOMLDecodeError: the text is not TOML.
        TomlFault: it has too many keys, levels or digits.
    """
    # before tomllib, whose time grows with the square of the parts of a key
    if _LONG_KEY.search(_TOKEN.sub(_without_content, text)):
        raise _too_deep()
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:  # Python converts no integer of more than 4300 digits
        raise TomlFault("found a number of thousands of digits, expected at most 64 bits; correct it") from error
    check_values(data)
    return data


def check_values(data: Mapping[str, Any]) -> None:
    """Raise TomlFault if there are too many keys or levels, or integers of more than 64 bits."""
    keys = 0
    waiting: list[tuple[str, Any, int]] = [("", data, 0)]
    while waiting:
        dotted, value, level = waiting.pop()
        if level > MOST_LEVELS:
            raise _too_deep()
        if isinstance(value, Mapping):
            keys += len(value)
            waiting += [(f"{dotted}.{key}".lstrip("."), below, level + 1) for key, below in value.items()]
        elif isinstance(value, list):
            waiting += [(dotted, below, level + 1) for below in value]
        elif isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
            raise TomlFault(f"{dotted}: found {value}, expected an integer of at most 64 bits; correct it")
    if keys > MOST_KEYS:
        raise TomlFault(f"found {keys:,} keys, expected at most {MOST_KEYS:,}; split the file")


def key_lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield the path of every key and table of valid TOML with its line."""
    table: KeyPath = ()
    last_entries: dict[KeyPath, int] = {}  # array of tables -> index of its latest entry
    for number, statement in _statements(text):
        if statement.startswith("["):
            *outer, name = _keys_of(statement)
            table = (*_numbered(outer, last_entries), name)
            if statement.startswith("[["):
                last_entries[table] = last_entries.get(table, -1) + 1
                table = (*table, last_entries[table])
            yield table, number
        elif key := _KEY.match(statement):
            yield (*table, *_keys_of(f"[{key[1]}]")), number


def _without_content(token: re.Match[str]) -> str:
    """Return a letter for a text, nothing for a comment, and any other token as it is."""
    if token[0] in "[]{}\n":
        return token[0]
    return "" if token[0].startswith("#") else "x"


def _too_deep() -> TomlFault:
    finding = "found arrays or tables nested too deeply"
    return TomlFault(f"{finding}, expected at most {MOST_LEVELS} levels; flatten them")


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each header and each key with its value, which may span lines, with the number of its first line."""
    start, line, first_line, depth = 0, 1, 1, 0
    for token in _TOKEN.finditer(f"{text}\n"):
        content = token[0]
        if content in {"[", "{"}:
            depth += 1
        elif content in {"]", "}"}:
            depth -= 1
        line += content.count("\n")
        if content != "\n" or depth:
            continue
        statement = text[start : token.start()].strip()
        if statement and not statement.startswith("#"):
            yield first_line, statement
        start, first_line = token.end(), line


def _keys_of(header: str) -> list[str]:
    """Return the unquoted keys of one header."""
    keys: list[str] = []
    table: Any = tomllib.loads(header)
    while table:
        ((key, table),) = table.items()
        if isinstance(table, list):
            table = table[0]
        keys.append(key)
    return keys


def _numbered(keys: Sequence[str], last_entries: Mapping[KeyPath, int]) -> KeyPath:
    """Return the path of a table; below an array of tables, the table belongs to the latest entry."""
    path: KeyPath = ()
    for key in keys:
        path = (*path, key)
        if path in last_entries:
            path = (*path, last_entries[path])
    return path
