"""Finds the installed plugins and sets the broken ones aside, each with its reason."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import pluggy
from pydantic import TypeAdapter, ValidationError

from benchbench import contract
from benchbench.contract import DatasetPlugin, ModelPlugin
from benchbench.document import nearest
from benchbench.errors import PluginError

P = TypeVar("P", DatasetPlugin, ModelPlugin)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a plugin comes from."""

    entry_point: str
    module: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}, entry point '{self.entry_point}'"


@dataclass(frozen=True)
class Installed(Generic[P]):
    """A plugin that can be used."""

    plugin: P
    origin: Origin


@dataclass(frozen=True)
class Broken:
    """An entry point, or one name of it, that cannot be used, and why."""

    name: str
    origin: Origin
    reason: str


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Every installed plugin by name."""

    datasets: Mapping[str, Installed[DatasetPlugin]]
    models: Mapping[str, Installed[ModelPlugin]]
    broken: tuple[Broken, ...]

    def dataset(self, name: str) -> DatasetPlugin:
        """The dataset plugin of that name.

        Raises:
            PluginError: there is none, or it is broken.
        """
        if name not in self.datasets:
            raise PluginError(self._missing("dataset", name, self.datasets))
        return self.datasets[name].plugin

    def model(self, name: str) -> ModelPlugin:
        """The model plugin of that name.

        Raises:
            PluginError: there is none, or it is broken.
        """
        if name not in self.models:
            raise PluginError(self._missing("model", name, self.models))
        return self.models[name].plugin

    def check(self, kind: str, name: str, params: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What is wrong with an entry of a benchmark: (parameter, message), the parameter '' for the name."""
        try:
            factory = self.dataset(name).open if kind == "datasets" else self.model(name).build
        except PluginError as error:
            return [("", str(error))]
        return check_params(factory, params)

    def _missing(self, kind: str, name: str, known: Mapping[str, Any]) -> str:
        for broken in self.broken:
            if broken.name == name:
                return f"{kind} '{name}' cannot be used: {broken.reason} ({broken.origin})"
        return f"no {kind} plugin '{name}' is installed; {nearest(name, sorted(known))}"


def discover(only: Iterable[str] | None = None) -> Registry:
    """The plugins of every installed entry point, or of those named."""
    wanted = None if only is None else set(only)
    found = [point for point in entry_points(group=contract.ENTRY_POINT_GROUP) if wanted is None or point.name in wanted]
    return load(sorted(found, key=lambda point: (point.name, point.value)))


def load(points: Sequence[EntryPoint]) -> Registry:
    """The plugins of these entry points; one that is broken stops no other."""
    datasets: list[Installed[DatasetPlugin]] = []
    models: list[Installed[ModelPlugin]] = []
    broken: list[Broken] = []
    for point in points:
        origin = _origin(point)
        try:
            offered = _offers(point)
        except (Exception, SystemExit) as error:  # noqa: BLE001 whatever a plugin does, the others go on
            broken.append(Broken(point.name, origin, f"{type(error).__name__}: {error}"))
            continue
        datasets += [Installed(plugin, origin) for plugin in offered if isinstance(plugin, DatasetPlugin)]
        models += [Installed(plugin, origin) for plugin in offered if isinstance(plugin, ModelPlugin)]
    named_datasets, twice_datasets = _by_name(datasets)
    named_models, twice_models = _by_name(models)
    return Registry(
        datasets=named_datasets,
        models=named_models,
        broken=(*broken, *twice_datasets, *twice_models),
    )


def keyword_parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a plugin's factory that a benchmark may set."""
    parameters = inspect.signature(factory).parameters.values()
    return {each.name: each for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}


def check_params(factory: Callable[..., Any], params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with parameters by the factory's signature: (parameter, message)."""
    known = keyword_parameters(factory)
    problems = [
        (key, f"no such parameter; {nearest(key, list(known))}") for key in params if key not in known
    ]
    for key, parameter in known.items():
        if key in params:
            problems += [(key, message) for message in _type_errors(parameter, factory, params[key])]
        elif parameter.default is inspect.Parameter.empty:
            problems.append(("", f"parameter '{key}' must be given"))
    return problems


def resolve_params(factory: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter of the factory, the given ones in its own types, the others by default."""
    return {
        key: _typed(parameter, factory, params[key]) if key in params else parameter.default
        for key, parameter in keyword_parameters(factory).items()
    }


def source_digest(factory: Callable[..., Any]) -> str:
    """SHA-256 of the source of a factory's module and of the modules of its package that it uses."""
    digest = hashlib.sha256()
    for module in sorted(_own_modules(sys.modules[factory.__module__]), key=lambda each: each.__name__):
        if module.__file__:
            digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()


def _origin(point: EntryPoint) -> Origin:
    name, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "unknown")
    return Origin(entry_point=point.name, module=point.value, distribution=name, version=version)


def _offers(point: EntryPoint) -> list[DatasetPlugin | ModelPlugin]:
    # a manager of its own: pluggy's loader lets one broken plugin stop all, and tells of no misspelt hook
    manager = pluggy.PluginManager("benchbench")
    manager.add_hookspecs(contract)
    module = point.load()
    manager.register(module)
    manager.check_pending()
    if not manager.get_hookcallers(module):
        raise PluginError("has no hook; define benchbench_datasets or benchbench_models with @benchbench.hookimpl")
    lists = [*manager.hook.benchbench_datasets(), *manager.hook.benchbench_models()]
    offered = [plugin for plugins in lists for plugin in plugins]
    for plugin in offered:
        if not isinstance(plugin, DatasetPlugin | ModelPlugin):
            raise PluginError(f"a hook returned {plugin!r}, expected DatasetPlugin or ModelPlugin objects")
    return offered


def _by_name(plugins: list[Installed[P]]) -> tuple[dict[str, Installed[P]], list[Broken]]:
    names = [each.plugin.name for each in plugins]
    once = {each.plugin.name: each for each in plugins if names.count(each.plugin.name) == 1}
    twice = []
    for each in plugins:
        if each.plugin.name not in once:
            owners = " and ".join(str(other.origin) for other in plugins if other.plugin.name == each.plugin.name)
            twice.append(Broken(each.plugin.name, each.origin, f"two plugins have this name: {owners}; uninstall one"))
    return once, twice


def _type_errors(parameter: inspect.Parameter, factory: Callable[..., Any], value: object) -> list[str]:
    try:
        _typed(parameter, factory, value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        return [f"{each['msg'][0].lower()}{each['msg'][1:]}, found {each['input']!r}" for each in details]
    return []


def _typed(parameter: inspect.Parameter, factory: Callable[..., Any], value: object) -> object:
    annotation = parameter.annotation
    if isinstance(annotation, str):
        annotation = eval(annotation, vars(sys.modules[factory.__module__]))  # noqa: S307 the plugin's own text
    if annotation is inspect.Parameter.empty:
        return value
    # strict JSON mode reads TOML's arrays as tuples and still refuses "5" for 5
    return TypeAdapter(annotation).validate_json(json.dumps(value), strict=True)


def _own_modules(module: ModuleType) -> set[ModuleType]:
    package = module.__name__.partition(".")[0]
    found: set[ModuleType] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for value in list(vars(current).values()):
            name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(name, str) and name.partition(".")[0] == package and name in sys.modules:
                waiting.append(sys.modules[name])
    return found
