"""The manifest of a results folder: what was asked of its benchmark, and every planned run.

A report needs the manifest and the records of the runs, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Literal

from pydantic import Field, ValidationError

from benchbench.errors import IntegrityError
from benchbench.plan.contamination import pretrained_on
from benchbench.plan.run import Run, RunKey
from benchbench.plan.settings import OwnSettings, listed_settings, own_settings
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.controls import Control
from benchbench.spec.metric_names import Metric, MetricFacts, declare_metric, declared_facts
from benchbench.spec.protocol import EmptyPolicy
from benchbench.spec.reported import PrintedTable
from benchbench.spec.strict import Strict
from benchbench.spec.table_specs import Axis, CurvesSpec, ListingSpec, TableSpec

MANIFEST_SCHEMA = 2
"""Version of the layout of `benchmark.json`."""


class PlannedRun(Strict):
    """A run of the plan and the digest that its record must have."""

    dataset: str
    model: str
    variant: str
    fold: int
    seed: int
    digest: str

    @property
    def key(self) -> RunKey:
        return RunKey(self.dataset, self.model, self.variant, self.fold, self.seed)


class ScoringRules(Strict):
    """The rules by which the runs of a variant are scored."""

    metrics: tuple[Metric, ...]
    empty: EmptyPolicy
    """Rule for empty masks."""
    select_on: Literal["validation", "report"]
    """Cases that chose the checkpoint: the inner validation, or the very cases that are scored."""
    leaky_split: bool = False
    """True if cases of one patient are in several parts."""


class DatasetFacts(Strict):
    """Facts on a dataset that its plugin gives."""

    channels: tuple[str, ...]
    licence: str
    patients: int | None = None
    """Number of patients that the whole dataset has; None where it is not published."""


class Manifest(Strict):
    """The content of `benchmark.json`."""

    name: str
    title: str
    phantom: bool
    """True where the data are phantom data."""
    file: str
    """The benchmark file, as a command names it."""
    overrides: tuple[str, ...]
    """Changes to the file, as `path=value`."""
    rehearse: bool
    ensembles: dict[str, str]
    """Name of an ensemble -> its members in words."""
    tables: tuple[TableSpec, ...]
    listings: tuple[ListingSpec, ...]
    curves: CurvesSpec | None = None
    """A figure of learning curves by two settings."""
    settings: dict[str, dict[str, Any]]
    """Variant -> source of a listing's column, or of the panels of learning curves -> setting."""
    dataset_facts: dict[str, DatasetFacts] = Field(default_factory=dict)
    """Dataset -> facts for readers of the page; empty for results of earlier versions."""
    external: dict[str, str] = Field(default_factory=dict)
    """Name of a row that another tool has predicted -> what is known of its training, in words."""
    plugin_metrics: dict[str, MetricFacts] = Field(default_factory=dict)
    """Metric of a plugin -> its direction and unit, by which tables are made without the plugin."""
    relatives: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Dataset -> names of the data sets that share patients with it."""
    pretrained_on: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Row -> names of the data sets that its weights saw, as the file gives them."""
    own_settings: dict[str, dict[str, OwnSettings]] = Field(default_factory=dict)
    """Variant -> model -> the settings that this model has of its own."""
    delta: dict[str, float] = Field(default_factory=dict)
    """Metric -> the smallest difference that matters; defaults are not listed."""
    controls: tuple[Control, ...] = ()
    """Rows that are not ranked, because their outcome is known if nothing is wrong."""
    reported: tuple[PrintedTable, ...]
    """Tables of a publication, to compare with the measured ones."""
    deviations: tuple[str, ...]
    """Known differences from that publication."""
    scores: dict[str, ScoringRules]
    """Variant -> its rules."""
    runs: tuple[PlannedRun, ...]

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets, in the order of the plan."""
        return [str(name) for name in self.values_of("dataset")]

    def values_of(self, axis: Axis) -> list[str | int]:
        """Return the values of an axis, in the order of the plan."""
        return list(dict.fromkeys(getattr(run, axis) for run in self.runs))

    def own_text(self, variant: str, model: str) -> str:
        """Return the settings that a model has of its own in a variant, in words; '' if it has none."""
        settings = self.own_settings.get(variant, {}).get(model)
        return settings.text if settings is not None else ""

    def dump(self) -> dict[str, Any]:
        """Return the content as `benchmark.json` holds it."""
        return {**self.model_dump(mode="json"), "schema": MANIFEST_SCHEMA}


def plan_manifest(
    benchmark: Benchmark,
    runs: Sequence[Run],
    *,
    phantom: bool,
    dataset_facts: Mapping[str, DatasetFacts] | None = None,
    relatives: Mapping[str, tuple[str, ...]] | None = None,
) -> Manifest:
    """Return the manifest of a benchmark and its planned runs; `relatives` are those of `relatives_of`."""
    scores = {
        variant.label: ScoringRules(
            metrics=variant.protocol.metrics,
            empty=variant.protocol.empty,
            select_on=variant.protocol.select_on,
            leaky_split=variant.protocol.allow_leaky_split,
        )
        for variant in benchmark.variants
    }
    return Manifest(
        name=benchmark.name,
        title=benchmark.title,
        phantom=phantom,
        file=_portable_path(benchmark.document.name),
        overrides=benchmark.overrides,
        rehearse=benchmark.rehearsal is not None,
        ensembles={ensemble.name: ensemble.described for ensemble in benchmark.ensembles},
        external={row.name: row.described for row in benchmark.external},
        dataset_facts=dict(dataset_facts or {}),
        plugin_metrics=_plugin_metrics(benchmark),
        relatives=dict(relatives or {}),
        pretrained_on=pretrained_on(benchmark),
        tables=benchmark.tables,
        listings=benchmark.listings,
        curves=benchmark.curves,
        delta=dict(benchmark.delta),
        controls=benchmark.controls,
        settings=listed_settings(benchmark, runs),
        own_settings=own_settings(benchmark, runs),
        reported=benchmark.reported,
        deviations=benchmark.deviations,
        scores=scores,
        runs=tuple(PlannedRun(**run.key._asdict(), digest=run.digest) for run in runs),
    )


def _plugin_metrics(benchmark: Benchmark) -> dict[str, MetricFacts]:
    facts: dict[str, MetricFacts] = {}
    for variant in benchmark.variants:
        facts |= declared_facts(variant.protocol.metrics)
    return facts


def read_manifest(path: Path) -> Manifest:
    """Read a manifest file.

    Raises:
        IntegrityError: the file is missing, was edited into something else, or is of another version.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"{path}: cannot be read ({error}); is this the results folder of a benchmark?"
        ) from error
    if not isinstance(content, dict) or content.pop("schema", None) != MANIFEST_SCHEMA:
        raise IntegrityError(
            f"{path}: written by another version of benchbench; `benchbench run` writes it again"
            " and keeps the runs that are done"
        )
    _declare_metrics(path, content.get("plugin_metrics", {}))
    try:
        # strict JSON mode reads arrays as tuples
        manifest = Manifest.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise IntegrityError(f"{path}: {_first_problem(error)}; `benchbench run` writes the file again") from error
    _check_consistency(path, manifest)
    return manifest


def _declare_metrics(path: Path, metrics: Mapping[str, Sequence[bool]]) -> None:
    """Let tables use the metrics of plugins, which need not be installed.

    Raises:
        IntegrityError: they are not as benchbench writes them, or differ from those of installed plugins.
    """
    try:
        for name, (is_lower_better, has_length) in metrics.items():
            declare_metric(name, MetricFacts(bool(is_lower_better), bool(has_length)))
    except (ValueError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{path}: plugin_metrics: {error}; `benchbench run` writes the file again") from error


def _check_consistency(path: Path, manifest: Manifest) -> None:
    """Refuse a manifest in which a variant of the runs has no scoring rules or no settings."""
    needed: dict[str, Mapping[str, Any]] = {"scores": manifest.scores}
    if manifest.listings or manifest.curves:
        needed["settings"] = manifest.settings
    for key, by_variant in needed.items():
        for run in manifest.runs:
            if run.variant not in by_variant:
                raise IntegrityError(
                    f"{path}: {key}: nothing for variant '{run.variant}' of run {run.key};"
                    " `benchbench run` writes the file again"
                )


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    more = error.error_count() - 1
    others = f" and {more} more" if more else ""
    return f"{key}: {problem['msg']}{others}"


def _portable_path(name: str) -> str:
    """Return the path of a benchmark file as a command on another machine can name it."""
    path = PurePath(name)
    return path.name if path.is_absolute() else path.as_posix()
