"""`--format json`: one JSON document on stdout, and everything else on stderr."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import click

FORMATS = ("text", "json")
format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="json: print one JSON document (docs/json.md), and messages on stderr.",
)


class Document:
    """The document of a command that is printed at its end."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self.content: Mapping[str, Any] = {}


@contextlib.contextmanager
def document_of(command: str, output_format: str) -> Iterator[Document]:
    """Yield the document of a command; where it is JSON, what is printed within the block goes to stderr.

    The content of the document is printed when the block ends, but not if it raises an exception.
    """
    document = Document(is_json=output_format == "json")
    if not document.is_json:
        yield document
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield document
    content = {"command": command, **document.content}
    click.echo(json.dumps(plain_values(content), indent=1, ensure_ascii=False, allow_nan=False))


def plain_values(value: Any) -> Any:
    """Return a value as JSON has it: tables as lists of rows, missing and infinite numbers as None."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain_values(entry) for key, entry in value.items()}
    named = _named_values(value)
    return _plain_elements(value) if named is None else plain_values(named)


def _named_values(value: Any) -> Any:
    """Return the fields of a record by name, the rows of a table, or None for any other value."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return value._asdict()
    if hasattr(value, "to_dict"):
        return value.to_dict("records")
    return None


def _plain_elements(value: Any) -> Any:
    """Return a list for anything that can be iterated, and the Python number of a scalar of NumPy or pandas."""
    if isinstance(value, (set, frozenset)):
        return [plain_values(entry) for entry in sorted(value)]
    if isinstance(value, Iterator) or hasattr(value, "__len__"):
        return [plain_values(entry) for entry in value]
    if hasattr(value, "item"):
        return plain_values(value.item())
    return None  # pandas.NA and NaT
