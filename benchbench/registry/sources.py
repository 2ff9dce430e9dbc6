"""The digest of a plugin's source code, by which a run is repeated when its plugin changes."""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import packages_distributions, version
from importlib.util import resolve_name
from pathlib import Path
from typing import Any


def source_digest(factory: Callable[..., Any], *, needs: Sequence[str] = ()) -> str:
    """Return the SHA-256 of the source of a factory's module and of all modules of its package that it imports.

    Of the modules in `needs`, which belong to other packages, the versions are included.
    """
    while isinstance(factory, functools.partial):
        factory = factory.func
    digest = hashlib.sha256()
    for need in needs:
        digest.update(f"{need} {_version_of(need)}\n".encode())
    for name, source in sorted(_package_sources(factory.__module__).items()):
        digest.update(f"{name}\n".encode() + source)
    return digest.hexdigest()


def _version_of(module: str) -> str:
    distributions = _distributions_by_package(tuple(sys.path)).get(module, [])
    return " ".join(sorted(version(distribution) for distribution in distributions))


@functools.lru_cache(maxsize=1)
def _distributions_by_package(search_path: tuple[str, ...]) -> Mapping[str, list[str]]:  # noqa: ARG001 the cache's key
    """Return package -> its distributions; this reads the list of files of everything that is installed."""
    return packages_distributions()


def _package_sources(module: str) -> dict[str, bytes]:
    """Return module -> source for a module and everything it imports, directly or not, from its own package."""
    package = module.partition(".")[0]
    sources: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in sources or name.partition(".")[0] != package:
            continue
        path = _source_file(name)
        if path is None:
            continue
        sources[name] = path.read_bytes()
        if path.suffix == ".py":
            parent = name if path.stem == "__init__" else name.rpartition(".")[0]
            waiting += _imported_names(sources[name], parent)
    return sources


def _source_file(module: str) -> Path | None:
    """Return the file of a module of an imported package; None for a name that is no module or has no file."""
    if file := getattr(sys.modules.get(module), "__file__", None):
        return Path(file)
    package, *inner = module.split(".")
    for root in getattr(sys.modules[package], "__path__", ()):
        stem = Path(root, *inner)
        for file in (stem / "__init__.py", stem.with_suffix(".py")):
            if file.is_file():
                return file
    return None


@functools.lru_cache(maxsize=256)  # plugins of one package share most of its modules
def _imported_names(source: bytes, within: str) -> tuple[str, ...]:
    """Return the modules that a source imports anywhere, and the imported names, which may be modules too."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), within)
            names.append(module)
            names += [f"{module}.{alias.name}" for alias in node.names]
    return tuple(names)
