"""The plugins that a protocol names, found where they are used: in a worker process or in a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from benchbench.contract import ENTRY_POINT_GROUP, ExtensionPlugin
from benchbench.errors import PluginError
from benchbench.registry.faults import plugin_faults
from benchbench.registry.kinds import KINDS
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import Registry, load

E = TypeVar("E", bound=ExtensionPlugin)
T = TypeVar("T")
_OURS = "benchbench"
_OUR_REPORTERS = "benchbench_reporters."


def extension(plugin_class: type[E], name: str) -> E:
    """Return the installed plugin of this class and name.

    Raises:
        PluginError: it is missing or broken.
    """
    (kind,) = [kind for kind, known_class in KINDS.items() if known_class is plugin_class]
    plugin = _registry(tuple(sys.path)).extension(kind, name)
    if not isinstance(plugin, plugin_class):
        raise PluginError(f"{name}: found {type(plugin).__name__}, expected {plugin_class.__name__}")
    return plugin


def build_once(name: str, build: Callable[..., T], params: Mapping[str, Any]) -> T:
    """Return what a plugin builds with these parameters; a run asks in every step, and gets the same object.

    Raises:
        PluginError: it cannot be built.
    """
    built: T = _built(name, build, json.dumps(dict(params), sort_keys=True))
    return built


@lru_cache(maxsize=32)
def _built(name: str, build: Callable[..., Any], params: str) -> Any:
    with plugin_faults(name, "build()", PluginError):
        return build(**resolve_params(build, json.loads(params)))


def declare_installed_metrics() -> None:
    """Let commands name the metrics of all installed plugins."""
    _registry(tuple(sys.path))


@lru_cache(maxsize=1)
def _registry(search_path: tuple[str, ...]) -> Registry:  # noqa: ARG001 the cache's key
    """Return the plugins of all distributions; of benchbench's own only reporters, as others import for long."""
    points = [point for point in entry_points(group=ENTRY_POINT_GROUP) if _is_quick(point)]
    return load(sorted(points, key=lambda point: (point.name, point.value)))


def _is_quick(point: EntryPoint) -> bool:
    distribution = point.dist.name if point.dist else ""
    return distribution != _OURS or point.value.startswith(_OUR_REPORTERS)
