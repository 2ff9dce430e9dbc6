"""Finds the installed plugins and sets the broken ones aside, each with its reason."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any, Generic, TypeVar

import pluggy
from pydantic import PydanticUserError, TypeAdapter, ValidationError

from benchbench import contract
from benchbench.contract import DatasetPlugin, ModelPlugin
from benchbench.errors import PluginError
from benchbench.spec.document import nearest

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

    def find(self, name: str) -> Installed[DatasetPlugin] | Installed[ModelPlugin]:
        """The dataset or model of that name.

        Raises:
            PluginError: there is neither, or it is broken.
        """
        if name in self.datasets:
            return self.datasets[name]
        if name in self.models:
            return self.models[name]
        raise PluginError(self._missing("dataset or model", name, [*self.datasets, *self.models]))

    def check(self, kind: str, name: str, params: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What is wrong with an entry of a benchmark: (parameter, message), the parameter '' for the name."""
        try:
            factory = self.dataset(name).open if kind == "datasets" else self.model(name).build
        except PluginError as error:
            return [("", str(error))]
        return check_params(factory, params)

    def _missing(self, kind: str, name: str, known: Iterable[str]) -> str:
        for broken in self.broken:
            if broken.name == name:
                return f"{kind} '{name}' cannot be used: {broken.reason} ({broken.origin})"
        return f"no {kind} plugin '{name}' is installed; {nearest(name, sorted(known))}"


def discover(only: Iterable[str] | None = None) -> Registry:
    """The plugins of every installed entry point, or of those named."""
    found = sorted(entry_points(group=contract.ENTRY_POINT_GROUP), key=lambda point: (point.name, point.value))
    wanted = {point.name for point in found} if only is None else set(only)
    return load([point for point in found if point.name in wanted])


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
        for plugin in offered:
            if not isinstance(plugin, ModelPlugin):
                continue
            if missing := _missing_needs(plugin):
                broken.append(Broken(plugin.name, origin, missing))
            else:
                models.append(Installed(plugin, origin))
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
    problems = [(key, f"no such parameter; {nearest(key, list(known))}") for key in params if key not in known]
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


def source_digest(factory: Callable[..., Any], *, needs: Sequence[str] = ()) -> str:
    """SHA-256 of the source of a factory's module and of all that it imports of its own package.

    Of what it needs beside, the versions count.
    """
    while isinstance(factory, functools.partial):
        factory = factory.func
    digest = hashlib.sha256()
    for need in needs:
        digest.update(f"{need} {_version_of(need)}\n".encode())
    for name, source in sorted(_own_sources(factory.__module__).items()):
        digest.update(f"{name}\n".encode() + source)
    return digest.hexdigest()


def _missing_needs(plugin: ModelPlugin) -> str:
    """What a plugin needs and has not, and how to get it; empty where it has all."""
    absent = [need for need in plugin.needs if find_spec(need) is None]
    if not absent:
        return ""
    extra = f"'benchbench[{plugin.extra}]'" if plugin.extra else " ".join(absent)
    return f"needs {', '.join(absent)}, which is not installed; pip install {extra}"


def _version_of(module: str) -> str:
    return " ".join(sorted(version(each) for each in packages_distributions().get(module, [])))


def _origin(point: EntryPoint) -> Origin:
    name, release = (point.dist.name, point.dist.version) if point.dist else ("unknown", "unknown")
    return Origin(entry_point=point.name, module=point.value, distribution=name, version=release)


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
    if not offered:
        raise PluginError("its hooks returned nothing, expected DatasetPlugin or ModelPlugin objects")
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
            reason = f"two plugins have this name: {owners}; uninstall one"
            twice.append(Broken(each.plugin.name, each.origin, reason))
    return once, twice


def _type_errors(parameter: inspect.Parameter, factory: Callable[..., Any], value: object) -> list[str]:
    try:
        _typed(parameter, factory, value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        return [f"{each['msg'][0].lower()}{each['msg'][1:]}, found {each['input']!r}" for each in details]
    except (NameError, AttributeError, SyntaxError, TypeError, PydanticUserError):
        return [f"cannot be checked against the plugin's own type '{parameter.annotation}'; leave it out"]
    return []


def _typed(parameter: inspect.Parameter, factory: Callable[..., Any], value: object) -> object:
    annotation = parameter.annotation
    if isinstance(annotation, str):
        annotation = eval(annotation, vars(sys.modules[factory.__module__]))  # noqa: S307 the plugin's own text
    if annotation is inspect.Parameter.empty:
        return value
    # strict JSON mode reads TOML's arrays as tuples and still refuses "5" for 5
    return TypeAdapter(annotation).validate_json(json.dumps(value, default=str), strict=True)


def _own_sources(module: str) -> dict[str, bytes]:
    """The source of a module and of those of its package that it imports, and they import, by name."""
    package = module.partition(".")[0]
    sources: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in sources or name.partition(".")[0] != package or (path := _source_file(name)) is None:
            continue
        sources[name] = path.read_bytes()
        if path.suffix == ".py":
            waiting += _imported(
                sources[name], within=name if path.stem == "__init__" else name.rpartition(".")[0]
            )
    return sources


def _source_file(module: str) -> Path | None:
    """Where a module of a loaded package lies; None for what is no module or has no file."""
    if file := getattr(sys.modules.get(module), "__file__", None):
        return Path(file)
    package, *inner = module.split(".")
    stems = [Path(root, *inner) for root in getattr(sys.modules[package], "__path__", ())]
    files = [file for stem in stems for file in (stem / "__init__.py", stem.with_suffix(".py"))]
    return next((file for file in files if file.is_file()), None)


def _imported(source: bytes, *, within: str) -> Iterator[str]:
    """The modules that a source imports anywhere, and names in them that may be modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), within)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
