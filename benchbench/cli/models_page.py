"""The page of all models: what each costs, and whether that is what was published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchbench.cli.show import by, geometries
from benchbench.contract import Geometry, ModelPlugin, Published
from benchbench.engine.cost.network_cost import measure_cost
from benchbench.errors import IncompatibleError
from benchbench.registry.registry import Installed

_HEAD = """# Models

Parameters are those that training changes, shared ones once. A GMAC is 10⁹ multiply-adds of convolutions and
matrix products, for one image in eval mode; twice as many are FLOPs. *Published* is what the source named there
has at the same input and settings, and *same* says that both counts agree to the last one. Where nothing is
published, the input is a usual one. `benchbench show NAME` counts at any other input.

Made by `benchbench list models --markdown > docs/models.md`.

| model | settings | channels | input | parameters | GMACs | published | |
| --- | --- | --- | --- | ---: | ---: | --- | --- |
"""


def models_page(models: Mapping[str, Installed[ModelPlugin]]) -> str:
    """Markdown, a row for each published count, and for each number of axes of a model that has none."""
    plugins = [models[name].plugin for name in sorted(models)]
    return _HEAD + "".join(row for plugin in plugins for row in _rows(plugin))


def _rows(plugin: ModelPlugin) -> Iterator[str]:
    for each in plugin.published:
        yield _row(plugin, each.geometry, each.params, each)
    counted = {len(each.geometry.patch) for each in plugin.published}
    for geometry in geometries(plugin, None, regions=1):
        if len(geometry.patch) not in counted:
            yield _row(plugin, geometry, {}, None)


def _row(plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any], published: Published | None) -> str:
    settings = ", ".join(f"`{name}={value}`" for name, value in params.items())
    place = [f"`{plugin.name}`", settings, f"{geometry.in_channels} → {geometry.out_channels}", by(geometry.patch)]
    try:
        cost = measure_cost(plugin, geometry, params)
    except IncompatibleError as error:
        if published is None and geometry.in_channels > 1:
            return _row(plugin, geometry._replace(in_channels=1), params, None)
        return _line(*place, "", "", str(error), "refused")
    numbers = [f"{cost.trainable:,}", f"{cost.macs / 1e9:,.3f}"]
    if published is None:
        return _line(*place, *numbers, "", "")
    macs = "" if published.macs is None else f", {published.macs / 1e9:,.3f}"
    is_same = published.parameters == cost.trainable and published.macs in {None, cost.macs}
    source = f"{published.parameters:,}{macs} ({published.source})"
    return _line(*place, *numbers, source, "same" if is_same else "**differs**")


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"
