"""The descriptions of a factory and of its parameters, read from the docstrings of its author."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from benchbench.registry.parameters import keyword_parameters

_SENTENCE_END = re.compile(r"(?<=[.;])\s+(?=[A-Z`\d])")
_LISTED = re.compile(r"^(\w+): (.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_SECTION = re.compile(r"\n\s*(?:Raises|Returns|Source|Differs):\s*\n")


def about(factory: Callable[..., Any]) -> str:
    """Return the docstring of a factory, or ''."""
    return inspect.getdoc(factory) or ""


def parameter_signatures(factory: Callable[..., Any]) -> dict[str, str]:
    """Return parameter -> type and default as a line of source has them, such as "int = 4"."""
    signatures: dict[str, str] = {}
    for name, parameter in keyword_parameters(factory).items():
        signature = str(getattr(parameter.annotation, "__name__", parameter.annotation))
        if parameter.default is not parameter.empty:
            signature += f" = {parameter.default!r}"
        signatures[name] = signature
    return signatures


def parameter_descriptions(factory: Callable[..., Any]) -> dict[str, str]:
    """Return parameter -> description; '' for a parameter that the docstring does not mention.

    The description of a field of a data class is the string below it. The description of a function's parameter
    is the line `name: description` of its docstring, with the indented lines below it; without such a line, it is
    the sentences that contain the name in backticks or, with spaces for underscores, in plain text.
    """
    text = _SECTION.split(f"{about(factory)}\n")[0]
    descriptions = {name: " ".join(lines.split()) for name, lines in _LISTED.findall(text)}
    text = _LISTED.sub("", text)
    if inspect.isclass(factory) and text.startswith(f"{factory.__name__}("):
        text = ""  # Python puts the signature there if a data class has no docstring
    sentences = [*_SENTENCE_END.split(" ".join(text.split())), *descriptions.values()]
    if inspect.isclass(factory):
        descriptions |= field_docstrings(factory)
    for name in keyword_parameters(factory):
        if not descriptions.get(name):
            descriptions[name] = _sentences_about(name, sentences)
    return {name: descriptions[name] for name in keyword_parameters(factory)}


def _sentences_about(name: str, sentences: Sequence[str]) -> str:
    marked = [sentence for sentence in sentences if f"`{name}`" in sentence]
    if marked:
        return " ".join(marked)
    words = re.compile(rf"\b{re.escape(name).replace('_', '[_ ]')}", re.IGNORECASE)
    return " ".join(sentence for sentence in sentences if words.search(sentence))


def field_docstrings(data_class: type) -> dict[str, str]:
    """Return field -> the string below it, for the fields that the class itself defines."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(data_class)))
    except (OSError, SyntaxError):
        return {}  # the class was made without a source file
    (definition,) = tree.body
    assert isinstance(definition, ast.ClassDef), "it is the source of a class"
    docstrings: dict[str, str] = {}
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docstrings[name] = " ".join(text.split())
    return docstrings
