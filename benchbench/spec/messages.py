"""Turns pydantic's validation errors into one line each: file, line, key, what was found, what to do."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from benchbench.spec.document import nearest, row_name
from benchbench.spec.plugin_choice import PLUGIN_TAG
from benchbench.spec.toml_text import KeyPath

_ALBUMENTATIONS = (
    *("ElasticTransform", "GridDistortion", "OpticalDistortion", "ThinPlateSpline", "Affine", "Perspective"),
    *("CoarseDropout", "GridDropout", "RandomResizedCrop", "CLAHE", "Sharpen", "Emboss", "Downscale", "Equalize"),
    *("MotionBlur", "MedianBlur", "Defocus", "Posterize", "Solarize", "UnsharpMask", "Superpixels"),
)
"""Transforms of albumentations that users may look for among benchbench's own."""

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from benchbench.spec.document import Document


_MOST_PROBLEMS = 20
"""Number of problems of one kind that are listed."""
_MOST_LETTERS = 200
"""Length to which a value is cut in a message."""


def first_problems(problems: Iterable[str]) -> list[str]:
    """Return the first problems, and a line that says if there are more; the others are not computed."""
    listed = list(itertools.islice(problems, _MOST_PROBLEMS + 1))
    if len(listed) > _MOST_PROBLEMS:
        listed[-1] = f"more than {_MOST_PROBLEMS} problems of this kind; correct these first"
    return listed


def describe(error: ValidationError, document: Document, schema: type[BaseModel]) -> Iterator[str]:
    """Yield one line for each error."""
    for details in error.errors(include_url=False, include_context=True):
        if _is_consequence(details):
            continue
        path = _path_in(document.data, details)
        yield f"{document.where(path)}: {_dotted(path, document.data)}: {_message(details, schema)}"


def _is_consequence(details: ErrorDetails) -> bool:
    """Return True for a list that is too short only because pydantic does not count its invalid entries."""
    return details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]


def _message(details: ErrorDetails, schema: type[BaseModel]) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        key = str(details["loc"][-1])
        return f"no such key; {nearest(key, _keys_at(schema, details['loc'][:-1]))}"
    if kind == "missing":
        return "missing; this key must be given"
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _tag_message(details, schema)
    if kind == "literal_error":
        return f"found {_cut(repr(value))}, expected {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    return f"{details['msg'][0].lower()}{details['msg'][1:]}, found {_cut(repr(value))}"


def _tag_message(details: ErrorDetails, schema: type[BaseModel]) -> str:
    """Explain a `name` that selects no member of a union."""
    entry = details["input"]
    if not isinstance(entry, Mapping):
        return f"input should be an object, found {_cut(repr(entry))}"
    name = str(entry.get("name", ""))
    tags = [str(_tag(member)) for member in _members(_type_at(schema, details["loc"]))]
    known = [tag for tag in tags if tag != PLUGIN_TAG]
    if not name:
        return f"name missing; {nearest(name, known)}"
    if "albumentations" in known:
        transform = _albumentations_like(name)
        if transform and not get_close_matches(name, known, n=1):
            return f"no such name '{name}'; albumentations has it: {{ albumentations = \"{transform}\" }}"
    return f"no such name '{name}'; {nearest(name, known)}"


def _albumentations_like(name: str) -> str:
    """Return the class in albumentations that a name means; '' if there is none."""
    word = name.replace("_", "").replace("-", "").lower()
    for transform in _ALBUMENTATIONS:
        if word and (transform.lower().startswith(word) or word.startswith(transform.lower())):
            return transform
    close = get_close_matches(word, [transform.lower() for transform in _ALBUMENTATIONS], n=1, cutoff=0.7)
    for transform in _ALBUMENTATIONS:
        if transform.lower() in close:
            return transform
    return ""


def _path_in(data: Mapping[str, Any], details: ErrorDetails) -> KeyPath:
    """Return the error's location without pydantic's union tags, which are in no file."""
    path: list[str | int] = []
    value: Any = data
    for part in details["loc"]:
        if _contains(value, part):
            path.append(part)
            value = value[part]
    if details["type"] == "missing":
        path.append(details["loc"][-1])
    return tuple(path)


def _dotted(path: KeyPath, data: Mapping[str, Any]) -> str:
    """Return the path as users write it; an entry of a list is shown by its name."""
    words: list[str] = []
    value: Any = data
    for part in path:
        value = value[part] if _contains(value, part) else None
        if isinstance(part, str):
            words.append(part)
            continue
        has_name = isinstance(value, Mapping) and value.get("name")
        words.append(row_name(value) if has_name else str(part))
    return _cut(".".join(words)) or "the file"


def _cut(text: str) -> str:
    """Return a text in one line and of a length that can be read."""
    line = text if text.isprintable() else repr(text)[1:-1]
    return line if len(line) <= _MOST_LETTERS else f"{line[:_MOST_LETTERS]}..."


def _contains(value: object, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, Mapping) and part in value


def _keys_at(schema: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the known keys of the table at a pydantic location."""
    keys: list[str] = []
    for member in _members(_type_at(schema, location)):
        keys += getattr(member, "model_fields", ())
    return keys


def _type_at(schema: type[BaseModel], location: Sequence[str | int]) -> Any:
    """Return the annotation at a pydantic location; None where it leads to no known type."""
    annotation: Any = schema
    for part in location:
        annotation = _type_below(annotation, part)
    return annotation


def _type_below(annotation: Any, part: str | int) -> Any:
    members = _members(annotation)
    if len(members) > 1:
        for member in members:
            if _tag(member) == part:
                return member
    for member in members:
        below = _part_of(member, part)
        if below is not None:
            return below
    return None


def _part_of(member: Any, part: str | int) -> Any:
    """Return the type of a tuple's entries or of a model's field; None where there is no such part."""
    if get_origin(member) is tuple and isinstance(part, int):
        return get_args(member)[0]
    if isinstance(member, type) and issubclass(member, BaseModel) and part in member.model_fields:
        return member.model_fields[str(part)].annotation
    return None


def _members(annotation: Any) -> list[Any]:
    """Return the alternatives of an annotation, without Annotated and None."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) not in {Union, UnionType}:
        return [annotation]
    members: list[Any] = []
    for alternative in get_args(annotation):
        if alternative is not type(None):
            members += _members(alternative)
    return members


def _tag(member: Any) -> object:
    """Return the value that selects this member of a tagged union: its only possible name."""
    fields = getattr(member, "model_fields", {})
    name = fields.get("name")
    if name is not None and get_origin(name.annotation) is Literal:
        return get_args(name.annotation)[0]
    return next((key for key in ("albumentations", PLUGIN_TAG) if key in fields), None)
