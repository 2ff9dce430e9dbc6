"""Turns pydantic's errors into one line each: file, line, key, what was found, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from benchbench.spec.document import KeyPath, nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from benchbench.spec.document import Document


def describe(error: ValidationError, document: Document, schema: type[BaseModel]) -> Iterator[str]:
    """One line for each error."""
    for details in error.errors(include_url=False, include_context=True):
        if _is_consequence(details):
            continue
        path = _path_in(document.data, details)
        yield f"{document.where(path)}: {_dotted(path, document.data)}: {_message(details, schema)}"


def _message(details: ErrorDetails, schema: type[BaseModel]) -> str:
    kind, found, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        key = str(details["loc"][-1])
        return f"no such key; {nearest(key, _keys_at(schema, details['loc'][:-1]))}"
    if kind == "missing":
        return "missing; this key must be given"
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        tag = str(found.get("name", "")) if isinstance(found, Mapping) else ""
        known = [str(_tag(member)) for member in _members(_kind_at(schema, details["loc"]))]
        return f"no such name '{tag}'; {nearest(tag, known)}" if tag else f"name missing; {nearest(tag, known)}"
    if kind == "literal_error":
        return f"found {found!r}, expected {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    return f"{details['msg'][0].lower()}{details['msg'][1:]}, found {found!r}"


def _is_consequence(details: ErrorDetails) -> bool:
    """Whether a list only seems too short, because pydantic counts the entries without faults."""
    return details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]


def _path_in(data: Mapping[str, Any], details: ErrorDetails) -> KeyPath:
    """The error's location without pydantic's union tags, which stand in no file."""
    path: list[str | int] = []
    value: Any = data
    for part in details["loc"]:
        if _holds(value, part):
            path.append(part)
            value = value[part]
    if details["type"] == "missing":
        path.append(details["loc"][-1])
    return tuple(path)


def _dotted(path: KeyPath, data: Mapping[str, Any]) -> str:
    """The path as a reader writes it: entries of a list by their name."""
    words: list[str] = []
    value: Any = data
    for part in path:
        value = value[part] if _holds(value, part) else None
        name = value.get("name") if isinstance(part, int) and isinstance(value, Mapping) else None
        if isinstance(part, int):
            words.append(str(name or part))
        else:
            words.append(part)
    return ".".join(words) or "the file"


def _holds(value: object, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, Mapping) and part in value


def _keys_at(schema: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys of the table at a pydantic location."""
    return [key for member in _members(_kind_at(schema, location)) for key in getattr(member, "model_fields", ())]


def _kind_at(schema: type[BaseModel], location: Sequence[str | int]) -> Any:
    kind: Any = schema
    for part in location:
        kind = _step(kind, part)
    return kind


def _step(kind: Any, part: str | int) -> Any:
    members = _members(kind)
    tagged = [member for member in members if len(members) > 1 and _tag(member) == part]
    if tagged:
        return tagged[0]
    for member in members:
        if get_origin(member) is tuple and isinstance(part, int):
            return get_args(member)[0]
        if isinstance(member, type) and issubclass(member, BaseModel) and part in member.model_fields:
            return member.model_fields[str(part)].annotation
    return None


def _members(kind: Any) -> list[Any]:
    """The alternatives of an annotation, without Annotated and None."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in {Union, UnionType}:
        return [member for part in get_args(kind) if part is not type(None) for member in _members(part)]
    return [kind]


def _tag(kind: Any) -> object:
    """What a member of a tagged union is chosen by: its one possible name."""
    field = getattr(kind, "model_fields", {}).get("name")
    if field is not None and get_origin(field.annotation) is Literal:
        return get_args(field.annotation)[0]
    return "albumentations" if "albumentations" in getattr(kind, "model_fields", {}) else None
