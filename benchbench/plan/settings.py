"""Settings of runs for listings and learning curves, and requests for settings or runs that do not exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from benchbench.errors import SpecError
from benchbench.plan.run import Run
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.document import nearest
from benchbench.spec.own_protocols import settings_text
from benchbench.spec.protocol import Protocol
from benchbench.spec.strict import Strict
from benchbench.spec.table_specs import SETTINGS
from benchbench.spec.toml_text import KeyPath
from benchbench.spec.variants import Variant

DEFAULT = "default"
"""The settings of a row of a tuned benchmark that has those of the file."""


class OwnSettings(Strict):
    """The settings that a model has of its own in a variant."""

    text: str
    """The settings that differ from those of the variant, as tables show them."""
    listed: dict[str, Any] = Field(default_factory=dict)
    """Source of a listing's column -> setting of this model."""


class _Column(NamedTuple):
    written: KeyPath
    """Place of the column in the file."""
    source: str
    """Path of the setting, such as "protocol.epochs" or "models.unet.norm=batch"."""


def listed_settings(benchmark: Benchmark, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Return the settings that listings and learning curves show: label of a variant -> source -> setting.

    Raises:
        SpecError: a listing or a figure names a setting that a run does not have.
    """
    columns = list(_setting_columns(benchmark))
    settings: dict[str, dict[str, Any]] = {variant.label: {} for variant in benchmark.variants}
    common = {variant.label: variant.protocol for variant in benchmark.variants}
    for run in runs:
        row = settings[run.variant]
        for column in columns:
            default = row.get(column.source)
            row[column.source] = _listed(benchmark, run, column, common[run.variant], default=default)
    _check_curves(benchmark, settings)
    return settings


def own_settings(benchmark: Benchmark, runs: Sequence[Run]) -> dict[str, dict[str, OwnSettings]]:
    """Return the settings of the models that have some of their own: variant -> model -> settings."""
    settings: dict[str, dict[str, OwnSettings]] = {}
    for variant in benchmark.variants:
        models = {run.model.row: run for run in runs if run.variant == variant.label and not run.members}
        for changed in variant.own_protocols:
            text = settings_text(variant.protocol, changed.protocol)
            if text and changed.model in models:
                listed = _own_listed(benchmark, models[changed.model])
                settings.setdefault(variant.label, {})[changed.model] = OwnSettings(text=text, listed=listed)
        if benchmark.tune is not None:
            settings[variant.label] = _with_tuning(variant, runs, settings.get(variant.label, {}))
    return settings


def changed_settings(text: str) -> str:
    """Return a row's own settings as sentences quote them; '' for a row with the settings of the file."""
    if text == DEFAULT:
        return ""
    return text.removeprefix(f"{DEFAULT}; ")


def _with_tuning(
    variant: Variant, runs: Sequence[Run], changed: Mapping[str, OwnSettings]
) -> dict[str, OwnSettings]:
    """Return the settings of rows with the way in which they were chosen: those of the file, or by trials."""
    settings = dict(changed)
    sources = {entry.row: entry.defaults_from for entry in variant.models}
    for run in runs:
        row = run.model.row
        if run.variant != variant.label or not run.has_network or run.control is not None:
            continue
        base = changed.get(run.tuning.model if run.tuning else row, OwnSettings(text=""))
        if run.tuning is not None:
            chosen = run.tuning.described
        else:
            chosen = f"{DEFAULT} of {sources[row]}" if sources[row] else DEFAULT
        text = "; ".join(filter(None, [chosen, base.text]))
        settings[row] = base.model_copy(update={"text": text})
    return settings


def _own_listed(benchmark: Benchmark, run: Run) -> dict[str, Any]:
    """Return the settings of the protocol of a run that listings show."""
    columns = [column for column in _setting_columns(benchmark) if column.source.startswith("protocol.")]
    return {column.source: _listed(benchmark, run, column, run.protocol) for column in columns}


def _listed(benchmark: Benchmark, run: Run, column: _Column, protocol: Protocol, *, default: Any = None) -> Any:
    """Return the setting of a column.

    Raises:
        SpecError: the run has no such setting.
    """
    try:
        return _setting(run, column.source, protocol, default=default)
    except KeyError as error:
        place = benchmark.document.where(column.written)
        raise SpecError(f"{place}: '{column.source}': run {run.key} has no {error}; name a setting") from error


def _check_curves(benchmark: Benchmark, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise SpecError if two variants would have the same panel of learning curves."""
    spec = benchmark.curves
    if spec is None:
        return
    variants: dict[str, str] = {}
    for variant, row in settings.items():
        panel = f"{spec.rows} {row.get(spec.rows)}, {spec.columns} {row.get(spec.columns)}"
        other = variants.setdefault(panel, variant)
        if other != variant:
            place = benchmark.document.where(("curves",))
            raise SpecError(
                f"{place}: curves: variants '{other}' and '{variant}' both have {panel}, expected a panel for"
                " each; choose two settings that tell all variants apart"
            )


def listing_problems(benchmark: Benchmark, runs: Sequence[Run]) -> Iterator[str]:
    """Yield a line for each value in the `where` of a listing that no run has."""
    for number, listing in enumerate(benchmark.listings):
        for axis, names in listing.where.items():
            known = list(dict.fromkeys(str(getattr(run.key, axis)) for run in runs))
            place = benchmark.document.where(("listings", number, "where", axis))
            for name in names:
                if name not in known:
                    hint = nearest(name, known)
                    yield f"{place}: listings.{number}.where.{axis}: no {axis} '{name}'; {hint}"


def _setting_columns(benchmark: Benchmark) -> Iterator[_Column]:
    for number, listing in enumerate(benchmark.listings):
        for heading, source in listing.columns.items():
            if source.startswith(SETTINGS):
                yield _Column(("listings", number, "columns", heading), source)
    if benchmark.curves is not None:
        yield _Column(("curves", "rows"), benchmark.curves.rows)
        yield _Column(("curves", "columns"), benchmark.curves.columns)


def _setting(run: Run, source: str, protocol: Protocol, *, default: Any) -> Any:
    """Return a setting of a run with this protocol, or whether it equals the value after an =.

    `default` is returned if another plugin has the setting.

    Raises:
        KeyError: the run has no such setting.
    """
    path, equals, expected = source.partition("=")
    kind, *keys = path.split(".")
    value: Any
    if kind == "protocol":
        value = protocol.model_dump(mode="json")
    else:
        plugin = run.model if kind == "models" else run.dataset
        if plugin.row != keys.pop(0):
            return default
        value = plugin.params
    for key in keys:
        value = value[key]
    return str(value) == expected if equals else value
