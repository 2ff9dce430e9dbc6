"""The plugins that a protocol names: their faults, and the digests of their source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from benchbench.contract import LossPlugin, TransformPlugin
from benchbench.errors import PluginError
from benchbench.registry.extensions import extension
from benchbench.registry.kinds import KINDS, factory_of
from benchbench.registry.parameters import check_params, keyword_parameters
from benchbench.registry.registry import Registry
from benchbench.registry.sources import source_digest
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.plugin_choice import PluginChoice, PluginOptimizer
from benchbench.spec.protocol import Protocol
from benchbench.spec.variants import Variant


class _Named(NamedTuple):
    """A plugin that a protocol names."""

    kind: str
    """Kind of plugins, as in `KINDS`."""
    key: str
    """Key of the protocol."""
    choice: PluginChoice


def extension_digests(protocol: Protocol) -> dict[str, str]:
    """Return kind and name -> SHA-256 of the source of each plugin that a protocol trains with.

    Raises:
        PluginError: a plugin is missing.
    """
    digests: dict[str, str] = {}
    for named in _named(protocol):
        plugin = extension(KINDS[named.kind], named.choice.plugin)
        digests[f"{named.kind}/{named.choice.plugin}"] = source_digest(factory_of(plugin))
    return digests


def extension_problems(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
    """Yield a line for each plugin of a protocol that is missing, or whose parameters are wrong."""
    for place, name, protocol in variant.protocols():
        for named in _named(protocol):
            where = f"{benchmark.document.where((*place, named.key))}: {name}.{named.key}"
            for problem in _problems(named, protocol, registry):
                yield f"{where}: {problem}"


def _named(protocol: Protocol) -> Iterator[_Named]:
    if isinstance(protocol.loss, PluginChoice):
        yield _Named("losses", "loss", protocol.loss)
    if isinstance(protocol.optimizer, PluginChoice):
        yield _Named("optimizers", "optimizer", protocol.optimizer)
    if isinstance(protocol.schedule, PluginChoice):
        yield _Named("schedules", "schedule", protocol.schedule)
    for step in protocol.augment:
        if isinstance(step, PluginChoice):
            yield _Named("transforms", "augment", step)


def _problems(named: _Named, protocol: Protocol, registry: Registry) -> Iterator[str]:
    try:
        plugin = registry.extension(named.kind, named.choice.plugin)
    except PluginError as error:
        yield str(error)
        return
    params = dict(named.choice.params)
    if isinstance(named.choice, PluginOptimizer) and "lr" in keyword_parameters(factory_of(plugin)):
        params["lr"] = named.choice.lr
    for parameter, message in check_params(factory_of(plugin), params):
        yield f"{named.choice.plugin}{'.' * bool(parameter)}{parameter}: {message}"
    activation = getattr(named.choice, "activation", "")
    if isinstance(plugin, LossPlugin) and activation not in plugin.activations:
        known = ", ".join(sorted(plugin.activations))
        yield f"loss '{plugin.name}': found activation '{activation}', expected {known}; set it"
    if isinstance(plugin, TransformPlugin) and protocol.ndim not in plugin.ndims:
        known = " or ".join(f"{ndim}D" for ndim in sorted(plugin.ndims))
        yield f"transform '{plugin.name}': found {protocol.ndim}D, expected {known}; leave it out"
