"""Finds the installed plugins and sets broken ones aside, each with its reason."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

import pluggy

from benchbench import contract
from benchbench.contract import DatasetPlugin, ExtensionPlugin, MetricPlugin, ModelPlugin, ReporterPlugin
from benchbench.errors import PluginError
from benchbench.extras import absent_modules, describe_absent, install_command
from benchbench.launchers import PROCESS, LauncherPlugin
from benchbench.registry.kinds import KINDS, SINGULAR, facts_of, kind_of
from benchbench.registry.parameters import check_params, keyword_parameters, resolve_params
from benchbench.spec.document import nearest
from benchbench.spec.file_names import is_slug
from benchbench.spec.metric_names import declare_metric

Plugin = DatasetPlugin | ModelPlugin | LauncherPlugin | ExtensionPlugin
P = TypeVar("P", bound=Plugin)
_FIRST_KINDS = ("datasets", "models", "launchers")
PLUGIN_LOGGER = "benchbench.plugins"
"""Logger of what plugins print when they are imported."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The distribution and entry point that a plugin comes from."""

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
    """An entry point, or a plugin of it, that cannot be used."""

    name: str
    """Name of the plugin, or of the entry point if it could not be loaded."""
    origin: Origin
    reason: str
    advice: str
    """How to make it usable."""
    is_optional: bool = False
    """True if it only needs an extra that is not installed."""


class NamedDataset(Protocol):
    """A dataset as a benchmark names it."""

    @property
    def name(self) -> str:
        """The name of its folder below the data root."""

    @property
    def layout(self) -> str:
        """The name of its plugin, if that has another."""

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of the plugin that the benchmark gives."""


@dataclass(frozen=True, kw_only=True)
class Registry:
    """All installed plugins by name."""

    datasets: Mapping[str, Installed[DatasetPlugin]]
    models: Mapping[str, Installed[ModelPlugin]]
    broken: tuple[Broken, ...]
    extensions: Mapping[str, Mapping[str, Installed[ExtensionPlugin]]] = field(default_factory=dict)
    """Kind, as in `extensions.KINDS` -> plugins of what a protocol names, by name."""
    launchers: Mapping[str, Installed[LauncherPlugin]] = field(default_factory=dict)

    def dataset(self, name: str) -> DatasetPlugin:
        """Return the dataset plugin of this name.

        Raises:
            PluginError: the plugin is missing or broken.
        """
        if name not in self.datasets:
            raise PluginError(self._missing("dataset", name, self.datasets))
        return self.datasets[name].plugin

    def named_dataset(self, chosen: NamedDataset) -> DatasetPlugin:
        """Return the plugin of a dataset of a benchmark, with the name, phantom and description of this dataset.

        Raises:
            PluginError: the plugin is missing or broken.
        """
        if not chosen.layout:
            return self.dataset(chosen.name)
        plugin = self.dataset(chosen.layout)
        params = resolve_params(plugin.open, chosen.params)
        phantom = plugin.phantom and partial(plugin.phantom, **_accepted(plugin.phantom, params))
        describe = plugin.describe and partial(plugin.describe, **_accepted(plugin.describe, params))
        return replace(plugin, name=chosen.name, phantom=phantom, describe=describe)

    def model(self, name: str) -> ModelPlugin:
        """Return the model plugin of this name.

        Raises:
            PluginError: the plugin is missing or broken.
        """
        if name not in self.models:
            raise PluginError(self._missing("model", name, self.models))
        return self.models[name].plugin

    def launcher(self, name: str) -> LauncherPlugin:
        """Return the launcher plugin of this name.

        Raises:
            PluginError: the plugin is missing or broken, or a package that it needs is not installed.
        """
        if name not in self.launchers:
            raise PluginError(self._missing("launcher", name, [PROCESS, *self.launchers]))
        return self.launchers[name].plugin

    def extension(self, kind: str, name: str) -> ExtensionPlugin:
        """Return the plugin of this name of a kind such as "losses".

        Raises:
            PluginError: the plugin is missing or broken.
        """
        known = self.extensions.get(kind, {})
        if name not in known:
            raise PluginError(self._missing(SINGULAR[kind], name, known))
        return known[name].plugin

    def find(self, name: str) -> Installed[DatasetPlugin] | Installed[ModelPlugin] | Installed[ExtensionPlugin]:
        """Return the plugin of this name; datasets are preferred, then models.

        Raises:
            PluginError: there is none, or it is broken.
        """
        if name in self.datasets:
            return self.datasets[name]
        if name in self.models:
            return self.models[name]
        known = [*self.datasets, *self.models]
        for plugins in self.extensions.values():
            if name in plugins:
                return plugins[name]
            known += plugins
        raise PluginError(self._missing("dataset or model", name, known))

    def check(self, kind: str, name: str, params: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the problems of a benchmark's entry as (parameter, message); the parameter is '' for the name."""
        try:
            factory = self.dataset(name).open if kind == "datasets" else self.model(name).build
        except PluginError as error:
            return [("", str(error))]
        return check_params(factory, params)

    def _missing(self, kind: str, name: str, known: Iterable[str]) -> str:
        for broken in self.broken:
            if broken.name == name:
                return f"{kind} '{name}' cannot be used: {broken.reason}; {broken.advice} ({broken.origin})"
        return f"no {kind} plugin '{name}' is installed; {nearest(name, sorted(known))}"


def discover(only: Iterable[str] | None = None) -> Registry:
    """Return the plugins of every installed entry point, or of the named ones."""
    points = sorted(entry_points(group=contract.ENTRY_POINT_GROUP), key=lambda point: (point.name, point.value))
    if only is not None:
        names = set(only)
        points = [point for point in points if point.name in names]
    return load(points)


def load(points: Sequence[EntryPoint]) -> Registry:
    """Return the plugins of these entry points; a broken one does not affect the others."""
    by_kind: dict[str, list[Installed[Any]]] = {kind: [] for kind in (*_FIRST_KINDS, *KINDS)}
    broken: list[Broken] = []
    releases: dict[int, tuple[str, str]] = {}
    for point in points:
        origin = _origin(point, releases)
        try:
            plugins = _load_quietly(point)
        except (Exception, SystemExit) as error:  # noqa: BLE001 a plugin may raise anything
            reason = f"{type(error).__name__}: {error}"
            broken.append(Broken(point.name, origin, reason, _repair_advice(origin)))
            continue
        for plugin in plugins:
            problem = _problem_of(plugin, point, origin)
            if problem is None:
                by_kind[_kind(plugin)].append(Installed(plugin, origin))
            else:
                broken.append(problem)
    unique: dict[str, dict[str, Installed[Any]]] = {}
    for kind, plugins_of_kind in by_kind.items():
        unique[kind], duplicates = _split_by_name(plugins_of_kind)
        broken += duplicates
    _declare_metrics(unique["metrics"], broken)
    return Registry(
        datasets=unique.pop("datasets"),
        models=unique.pop("models"),
        launchers=unique.pop("launchers"),
        extensions=unique,
        broken=tuple(broken),
    )


def _problem_of(plugin: Plugin, point: EntryPoint, origin: Origin) -> Broken | None:
    """Return why a plugin cannot be used; None if it can."""
    if not is_slug(plugin.name) or plugin.name.startswith("-"):
        reason = f"found {plugin.name[:60]!r} as its name, expected letters, digits and _"
        return Broken(point.name, origin, reason, _repair_advice(origin))
    if isinstance(plugin, LauncherPlugin) and plugin.name == PROCESS:
        reason = f"'{PROCESS}' is the name of the launcher for this machine"
        return Broken(point.name, origin, reason, "give the plugin another name")
    if isinstance(plugin, (ModelPlugin, LauncherPlugin, ReporterPlugin)):
        absent = absent_modules(plugin.needs)
        if absent:
            return _without_needs(plugin, origin, absent)
    return None


def _kind(plugin: Plugin) -> str:
    if isinstance(plugin, DatasetPlugin):
        return "datasets"
    if isinstance(plugin, LauncherPlugin):
        return "launchers"
    return "models" if isinstance(plugin, ModelPlugin) else kind_of(plugin)


def _declare_metrics(metrics: dict[str, Installed[ExtensionPlugin]], broken: list[Broken]) -> None:
    """Let files name the metrics of plugins; one whose name is taken is moved to the broken plugins."""
    for name, installed in list(metrics.items()):
        plugin = installed.plugin
        assert isinstance(plugin, MetricPlugin), "the list of metrics has nothing else"
        try:
            declare_metric(name, facts_of(plugin))
        except ValueError as error:
            del metrics[name]
            broken.append(Broken(name, installed.origin, str(error), "rename it"))


def _origin(point: EntryPoint, releases: dict[int, tuple[str, str]]) -> Origin:
    """Return where a plugin comes from; `releases` has name and version of distributions that were read before."""
    name, release = "unknown", "unknown"
    if point.dist:
        key = id(point.dist)  # all entry points of a distribution have the same object
        if key not in releases:
            metadata = point.dist.metadata
            releases[key] = metadata["Name"], metadata["Version"]
        name, release = releases[key]
    return Origin(entry_point=point.name, module=point.value, distribution=name, version=release)


def _load_quietly(point: EntryPoint) -> list[Plugin]:
    """Load the plugins of an entry point; what its modules print goes to the log, not into the output."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            return _load_plugins(point)
    finally:
        if text := printed.getvalue().strip():
            logging.getLogger(PLUGIN_LOGGER).info("%s printed when it was imported: %s", point.name, text)


def _load_plugins(point: EntryPoint) -> list[Plugin]:
    # one manager for each entry point: pluggy's own loader stops at the first broken plugin
    manager = pluggy.PluginManager("benchbench")
    manager.add_hookspecs(contract)
    module = point.load()
    manager.register(module)
    manager.check_pending()  # raises for a misspelt hook
    if not manager.get_hookcallers(module):
        raise PluginError(
            "has no hook; define benchbench_datasets, benchbench_models or benchbench_launchers with"
            " @benchbench.hookimpl"
        )
    plugins: list[Plugin] = []
    for kind in (*_FIRST_KINDS, *KINDS):
        for returned in getattr(manager.hook, f"benchbench_{kind}")():
            plugins += returned
    expected = "expected DatasetPlugin, ModelPlugin or LauncherPlugin objects"
    if not plugins:
        raise PluginError(f"its hooks returned nothing, {expected}")
    for plugin in plugins:
        if not isinstance(plugin, Plugin):
            raise PluginError(f"a hook returned {plugin!r}, {expected}")
    return plugins


def _repair_advice(origin: Origin) -> str:
    if origin.distribution == "benchbench":
        return "install benchbench again"
    return f"repair or uninstall {origin.distribution}"


def _without_needs(
    plugin: ModelPlugin | LauncherPlugin | ReporterPlugin, origin: Origin, absent: Sequence[str]
) -> Broken:
    """Return the entry of a plugin whose modules are not installed; those of an extra are optional."""
    advice = f"pip install {' '.join(absent)}"
    if plugin.extra:
        advice = install_command(plugin.extra, distribution=origin.distribution)
    return Broken(plugin.name, origin, describe_absent(absent), advice, is_optional=bool(plugin.extra))


def _split_by_name(plugins: list[Installed[P]]) -> tuple[dict[str, Installed[P]], list[Broken]]:
    """Return the plugins whose name is unique, by name, and all others as broken."""
    by_name: dict[str, list[Installed[P]]] = {}
    for installed in plugins:
        by_name.setdefault(installed.plugin.name, []).append(installed)
    unique = {name: group[0] for name, group in by_name.items() if len(group) == 1}
    duplicates: list[Broken] = []
    for installed in plugins:
        name = installed.plugin.name
        if name not in unique:
            owners = " and ".join(str(owner.origin) for owner in by_name[name])
            reason = f"two plugins have this name: {owners}"
            duplicates.append(Broken(name, installed.origin, reason, "uninstall one"))
    return unique, duplicates


def _accepted(function: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the parameters that a function of a plugin takes."""
    accepted = keyword_parameters(function)
    return {key: value for key, value in params.items() if key in accepted}
