"""Every key of a benchmark file with its type, default and meaning, from the schema that checks the files."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchbench.registry.file_schema import file_schema

_INTRODUCTION = """# Benchmark file

A benchmark is one TOML file. These are all of its tables and keys, with the type, the default and the meaning
of each. `benchbench schema` prints the same as JSON Schema, for editors, and `benchbench show protocol` prints
it in the terminal. Parameters of datasets and models are those of their plugins: `benchbench show NAME`.
[Benchmark files](../benchmark_files.md) has examples.
"""
_ROOT = "The file"
_FORM = "Chooses this form of the value."
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}
_NAMES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "nothing",
}
Schema = Mapping[str, Any]


class Key(NamedTuple):
    """A key of a table."""

    name: str
    type: str
    default: str
    """Empty for a key that is required."""
    meaning: str


class Table(NamedTuple):
    """A table of the file, or one of the forms that a value can have."""

    name: str
    meaning: str
    keys: Sequence[Key]


def tables() -> list[Table]:
    """Return the file's own keys and every table below them, in the order in which they are first used."""
    schema = file_schema()
    by_name: dict[str, Table] = {}
    waiting = [(_ROOT, schema)]
    while waiting:
        name, of_table = waiting.pop(0)
        if name in by_name:
            continue
        by_name[name] = _table(name, of_table)
        waiting += [(used, schema["$defs"][used]) for used in _references(of_table)]
    return list(by_name.values())


def benchmark_file_page() -> str:
    """Return the page in Markdown."""
    parts = [_INTRODUCTION]
    all_tables = tables()
    names = {table.name for table in all_tables}
    for table in all_tables:
        parts.append(f"\n## {table.name}\n\n{_markdown(table.meaning)}\n")
        if table.keys:
            parts.append("\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n")
            parts += [_row(key, names) for key in table.keys]
    return "".join(parts)


def text_of(name: str) -> Iterator[str]:
    """Yield the lines of a table and of the tables that its keys have, for a terminal."""
    by_name = {table.name: table for table in tables()}
    waiting, printed = [name], set[str]()
    while waiting:
        table = by_name[waiting.pop(0)]
        if table.name in printed:
            continue
        printed.add(table.name)
        yield f"{table.name}: {' '.join(table.meaning.split())}"
        for key in table.keys:
            default = f" = {key.default}" if key.default else ", required"
            yield f"  {key.name}: {key.type}{default}"
            if key.meaning:
                yield f"      {key.meaning}"
            waiting += [used for used in by_name if used in key.type.split()]
        yield ""


def _table(name: str, schema: Schema) -> Table:
    required = schema.get("required", [])
    keys = []
    for key, of_key in schema.get("properties", {}).items():
        default = ""
        if "const" in of_key:
            default = json.dumps(of_key["const"])
        elif key not in required:
            default = _default(of_key)
        meaning = " ".join(of_key.get("description", "").split()) or _FORM
        keys.append(Key(key, type_of(of_key), default, meaning))
    return Table(name, schema.get("description", ""), keys)


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return "empty"
    return json.dumps(schema["default"], ensure_ascii=False)


def _references(schema: Any) -> Iterator[str]:
    """Yield the names of the tables that a part of the schema refers to."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rpartition("/")[2]
            elif key not in {"$defs", "discriminator"}:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def type_of(schema: Schema) -> str:
    """Return the type of a value in words, with its choices and bounds."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(type_of(part) for part in choices))
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    if values:
        return " or ".join(map(json.dumps, values))
    return _plain_type(schema)


def _plain_type(schema: Schema) -> str:
    kind = schema.get("type")
    if kind == "array":
        return _array(schema)
    if kind == "object":
        return _object(schema)
    bounds = [text.format(schema[name]) for name, text in _BOUNDS.items() if name in schema]
    return " ".join([_NAMES.get(str(kind), "any value"), *bounds])


def _array(schema: Schema) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(type_of(part) for part in schema['prefixItems'])}]"
    items = type_of(schema.get("items", {}))
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least and most:
        return f"list of {least} to {most}: {items}"
    return f"list of {items}"


def _object(schema: Schema) -> str:
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping) and values:
        return f"table of name = {type_of(values)}"
    return "table"


def _row(key: Key, names: Collection[str]) -> str:
    default = f"`{key.default}`" if key.default else "required"
    cells = [f"`{key.name}`", _linked(key.type, names), default, _markdown(key.meaning)]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _linked(text: str, names: Collection[str]) -> str:
    """Return a type with a link at each name of a table."""
    return " ".join(f"[{word}](#{word.lower()})" if word in names else word for word in text.split())


def _markdown(text: str) -> str:
    """Return a text of which no character outside `code` is Markdown or HTML."""
    parts = text.split("`")
    parts[::2] = [part.replace("<", "&lt;").replace("*", "\\*") for part in parts[::2]]
    return "`".join(parts)
