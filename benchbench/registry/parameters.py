"""The parameters of a plugin's factory: what a benchmark may set, and whether its values have the right types."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from benchbench.spec.document import nearest


def keyword_parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the keyword-only parameters of a factory, which a benchmark may set."""
    keywords: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(factory).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            keywords[name] = parameter.replace(default=_default(factory, parameter))
    return keywords


def _default(factory: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Return the default of a parameter; that of a dataclass may be made by a function that a signature hides."""
    if dataclasses.is_dataclass(factory):
        for field in dataclasses.fields(factory):
            if field.name == parameter.name and field.default_factory is not dataclasses.MISSING:
                return field.default_factory()
    return parameter.default


def check_params(factory: Callable[..., Any], params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong with parameters according to the factory's signature, as (parameter, message)."""
    known = keyword_parameters(factory)
    unknown = [key for key in params if key not in known]
    problems = [(key, f"no such parameter; {nearest(key, list(known))}") for key in unknown]
    for key, parameter in known.items():
        if key in params:
            messages = _type_errors(parameter, factory, params[key])
            problems += [(key, message) for message in messages]
        elif parameter.default is inspect.Parameter.empty:
            problems.append(("", f"parameter '{key}' must be given"))
    return problems


def resolve_params(factory: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of a factory: the given ones in the types of its signature, the others by default."""
    resolved: dict[str, Any] = {}
    for key, parameter in keyword_parameters(factory).items():
        if key in params:
            resolved[key] = _typed(parameter, factory, params[key])
        else:
            resolved[key] = parameter.default
    return resolved


def _type_errors(parameter: inspect.Parameter, factory: Callable[..., Any], value: object) -> list[str]:
    try:
        _typed(parameter, factory, value)
    except ValidationError as error:
        messages: list[str] = []
        for details in error.errors(include_url=False):
            text = details["msg"]
            messages.append(f"{text[0].lower()}{text[1:]}, found {details['input']!r}")
        return messages
    except (NameError, AttributeError, SyntaxError, TypeError, PydanticUserError):
        return [f"cannot be checked against the plugin's own type '{parameter.annotation}'; leave it out"]
    return []


def _typed(parameter: inspect.Parameter, factory: Callable[..., Any], value: object) -> object:
    """Return the value in the type of the parameter's annotation.

    Raises:
        ValidationError: the value does not fit the annotation.
    """
    annotation = parameter.annotation
    if isinstance(annotation, str):
        annotation = eval(annotation, vars(sys.modules[factory.__module__]))  # noqa: S307 the plugin's own text
    if annotation is inspect.Parameter.empty:
        return value
    # strict JSON mode reads TOML's arrays as tuples and still refuses "5" for 5
    return TypeAdapter(annotation).validate_json(json.dumps(value, default=str), strict=True)
