"""`benchbench new`."""

from __future__ import annotations

import keyword
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

import click

_TEST = "{name}/tests/test_{name}.py"
_PACKAGE = {
    "pyproject.toml.txt": "{name}/pyproject.toml",
    "{kind}.toml.txt": "{name}/{name}.toml",
    "{kind}.py.txt": "{name}/{name}/{kind}.py",
    "{kind}_test.py.txt": _TEST,
}
"""Template -> the file that it becomes."""
_FILES = {"dataset": _PACKAGE, "model": _PACKAGE, "benchmark": {"benchmark.toml.txt": "{name}.toml"}}


@click.command("new")
@click.argument("kind", type=click.Choice(list(_FILES)))
@click.argument("name")
def new_command(kind: str, name: str) -> None:
    """Write the files of a new dataset, model or benchmark NAME here, which work as they are.

    A dataset or a model is a package with its entry point, a test and a benchmark file. A benchmark is one file
    for images in folders.
    """
    _check_name(kind, name)
    written = {Path(path.format(kind=kind, name=name)): template for template, path in _FILES[kind].items()}
    _refuse_existing(name, list(written))
    values = {
        "kind": kind,
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "class_name": name.title().replace("_", ""),
        "distribution": name.replace("_", "-"),
    }
    texts = {path: _read(template.format(kind=kind)).substitute(values) for path, template in written.items()}
    if kind != "benchmark":
        texts[Path(name, name, "__init__.py")] = f'"""Plugin of benchbench: the {kind} {name}."""\n'
    for path, text in sorted(texts.items()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {path}")
    click.echo("next: " + _next_step(kind, name))


def _check_name(kind: str, name: str) -> None:
    from benchbench.errors import UsageError  # noqa: PLC0415 after --help has answered
    from benchbench.spec.file_names import is_slug  # noqa: PLC0415

    is_word = name.isidentifier() and name.isascii() and name == name.lower() and not name.startswith("_")
    if not is_word or keyword.iskeyword(name) or not is_slug(name):
        raise UsageError(
            f"{name}: expected lower-case letters, digits and _, and a letter first; choose such a name"
        )
    if kind != "benchmark" and not Path(name).exists() and find_spec(name) is not None:
        raise UsageError(f"{name}: a Python package of this name is installed; choose another name")


def _refuse_existing(name: str, paths: list[Path]) -> None:
    from benchbench.errors import UsageError  # noqa: PLC0415 as above

    top = paths[0] if len(paths) == 1 else Path(name)
    if top.exists():
        raise UsageError(f"{top}: exists already; choose another name or folder, so that nothing is overwritten")


def _read(template: str) -> Template:
    return Template((files("benchbench.cli") / "templates" / template).read_text(encoding="utf-8"))


def _next_step(kind: str, name: str) -> str:
    if kind == "benchmark":
        return f"benchbench check {name}.toml && benchbench run {name}.toml --rehearse"
    return f"pip install -e {name} && benchbench check {name} && benchbench run {name}/{name}.toml --rehearse"
