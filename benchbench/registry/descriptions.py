"""What a factory's parameters mean, read from where its author wrote it down."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchbench.registry.registry import keyword_parameters

_SENTENCE = re.compile(r"(?<=[.;])\s+(?=[A-Z`\d])")
_LISTED = re.compile(r"^(\w+): (.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_SECTION = re.compile(r"\n\s*(?:Raises|Returns|Source|Differs):\s*\n")


def meanings(factory: Callable[..., Any]) -> dict[str, str]:
    """Parameter -> what it means, '' where nothing is said.

    Of a data class, the string under the field. Of a function, the line `name: meaning` of its docstring, with
    what is indented below; or else the sentences that name the parameter, in backticks or, underscores being
    spaces, in words.
    """
    about = _SECTION.split(f"{inspect.getdoc(factory) or ''}\n")[0]
    listed = {name: " ".join(text.split()) for name, text in _LISTED.findall(about)}
    about = _LISTED.sub("", about)
    if inspect.isclass(factory) and about.startswith(f"{factory.__name__}("):
        about = ""  # a data class without a docstring has its signature there
    sentences = [*_SENTENCE.split(" ".join(about.split())), *listed.values()]
    fields = _field_docstrings(factory) if inspect.isclass(factory) else {}
    said = {**listed, **fields}
    return {name: said.get(name) or _spoken_of(name, sentences) for name in keyword_parameters(factory)}


def _spoken_of(name: str, sentences: list[str]) -> str:
    words = re.compile(rf"\b{re.escape(name).replace('_', '[_ ]')}", re.IGNORECASE)
    marked = [sentence for sentence in sentences if f"`{name}`" in sentence]
    return " ".join(marked or [sentence for sentence in sentences if words.search(sentence)])


def _field_docstrings(data_class: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(data_class)))
    except (OSError, SyntaxError):
        return {}  # made without a source file
    (definition,) = tree.body
    assert isinstance(definition, ast.ClassDef), "it is the source of a class"
    said = {}
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                said[name] = " ".join(text.split())
    return said


def parameters_of(factory: Callable[..., Any]) -> dict[str, str]:
    """Each parameter's type and default, as a line of source would have them."""
    return {
        name: f"{_type_name(each)} = {each.default!r}" if each.default is not each.empty else _type_name(each)
        for name, each in keyword_parameters(factory).items()
    }


def _type_name(parameter: inspect.Parameter) -> str:
    return str(getattr(parameter.annotation, "__name__", parameter.annotation))


def about(factory: Callable[..., Any]) -> str:
    """What the author says of a factory."""
    return inspect.getdoc(factory) or ""
