"""The tables of a benchmark file, and the validation of a whole file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from benchbench.contract import Download
from benchbench.errors import SpecError
from benchbench.spec.controls import ControlsTable, control_problems
from benchbench.spec.document import Document, row_name
from benchbench.spec.downloads import download_of, download_problems
from benchbench.spec.ensembles import EnsembleSpec, ensemble_problems
from benchbench.spec.external import ExternalSpec
from benchbench.spec.file_names import is_slug
from benchbench.spec.messages import describe, first_problems
from benchbench.spec.protocol import Protocol
from benchbench.spec.statistics import StatisticsTable
from benchbench.spec.strict import Count, Strict
from benchbench.spec.table_specs import CurvesSpec, ListingSpec, TableSpec
from benchbench.spec.tuning import RehearsedTune, TuneTable

Problem = tuple[str, str]
"""A parameter and what is wrong with it; the parameter is '' if the entry as a whole is wrong."""
EntryCheck = Callable[[str, str, Mapping[str, Any]], Sequence[Problem]]
"""("datasets" or "models", plugin name, parameters) -> problems."""


class Entry(BaseModel):
    """A dataset or a model of the benchmark. Every key that is not listed here is a parameter of the plugin."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str
    """Name of the plugin; `benchbench list` prints all names."""

    @property
    def params(self) -> Mapping[str, Any]:
        return self.model_extra or {}


class DatasetEntry(Entry):
    """A dataset of the benchmark."""

    layout: str = ""
    """Name of the dataset plugin that reads the folder `name` below the data root, such as "folders" for your own
    images; by default the plugin is the one called `name`."""
    relatives: tuple[str, ...] = ()
    """Names of data sets that have some of the same patients, in addition to those that the plugin names."""
    url: str | tuple[str, ...] = ""
    """Address of the zip or tar with the files, or several addresses; `benchbench data get FILE` downloads it."""
    doi: str | tuple[str, ...] = ""
    """DOI and file name of the archive in a repository such as Zenodo, in place of `url`, such as
    "10.5281/zenodo.1234567/data.zip"."""
    checksum: str | tuple[str, ...] = ""
    """Checksum of each archive as "sha256:..." or "md5:..."; with a `doi`, by default that of the repository."""
    licence: str = ""
    """Licence of the files, which `data get` prints before it downloads them."""

    @model_validator(mode="after")
    def _can_be_downloaded(self) -> Self:
        problems = list(download_problems(url=self.url, doi=self.doi, checksum=self.checksum))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def download(self) -> Download | None:
        """The archives that the file names; None if it names none."""
        if not self.url and not self.doi:
            return None
        return download_of(url=self.url, doi=self.doi, checksum=self.checksum, licence=self.licence)


class ModelEntry(Entry):
    """A model of the benchmark: a row of its tables."""

    label: str = ""
    """Name of the row in tables and of its folder; by default the name of the plugin. With labels, a file can list
    one model several times, such as U-Nets of three sizes."""
    protocol: dict[str, Any] = Field(default_factory=dict)
    """Settings of the protocol that this model has of its own, such as optimizer = { lr = 1e-3 }: the table
    [models.NAME.protocol] with the label or name of the model. They are shown next to the row in every table."""
    defaults_from: str = ""
    """Source of its settings, such as the paper of its author, where a benchmark with [tune] compares them with
    tuned ones. It is shown next to the row."""
    pretrained_on: tuple[str, ...] = ()
    """Names of the data sets that the weights it starts from were trained on, in addition to those that the plugin
    names. On such a dataset, or one that shares patients with it, the row is shown and not ranked."""

    @property
    def row(self) -> str:
        """The name of the row: the label, or the name of the plugin."""
        return self.label or self.name

    @field_validator("label")
    @classmethod
    def _fits_commands(cls, label: str) -> str:
        if {",", "=", ":"} & set(label) or label != label.strip():
            raise ValueError(
                f"found '{label}', expected a name without comma, = and :, so that commands can name it"
            )
        return label


class VariantTable(Strict):
    """A named set of changes to the benchmark."""

    label: Annotated[str, Field(min_length=1)]
    """Name of the variant in tables; unique in the file."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted path -> value, such as "protocol.optimizer.lr" = 1e-4 or "models.unet.width" = 16."""
    models: tuple[str, ...] = ()
    """Labels or names of the models that are trained in this variant; by default all of the file."""


class PhantomSize(Strict):
    """The amount of phantom data that a rehearsal generates."""

    patients: Count = 12
    """Number of patients of each dataset."""
    size: Annotated[int, Field(ge=32)] = 64
    """Size of the images along each axis, in pixels."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the random images."""


class Rehearse(Strict):
    """Changes that `--rehearse` makes, so that the benchmark runs in minutes on phantom data."""

    data: PhantomSize = PhantomSize()
    """Amount of phantom data."""
    protocol: dict[str, Any] = Field(default_factory=dict)
    """Fields of the protocol that a rehearsal changes; fields that are not listed stay as they are."""
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name of a model -> parameters that a rehearsal changes."""
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Label of a variant -> dotted paths and values that a rehearsal sets after all other changes."""
    tune: RehearsedTune = RehearsedTune()
    """Budget that replaces that of [tune]."""


class BenchmarkFile(Strict):
    """All tables of a benchmark file."""

    title: str
    """Title of the benchmark, for reports."""
    datasets: Annotated[tuple[DatasetEntry, ...], Field(min_length=1)]
    """Datasets; every model is trained on each of them."""
    models: Annotated[tuple[ModelEntry, ...], Field(min_length=1)]
    """Models that are compared."""
    protocol: Protocol
    """Training, inference and scoring of all models."""
    variants: tuple[VariantTable, ...] = ()
    """Versions of the benchmark under different settings; without variants and grid there is one, `default`."""
    grid: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Dotted path -> list of values. Every combination of values is a variant; with `variants`, each of them is
    combined with every combination."""
    ensembles: tuple[EnsembleSpec, ...] = ()
    """Rows that average the probabilities of several models or seeds."""
    external: tuple[ExternalSpec, ...] = ()
    """Rows whose predictions another tool has made, such as nnU-Net."""
    tune: TuneTable | None = None
    """Tuning of every model under an equal budget; needs the extra `tune`."""
    tables: tuple[TableSpec, ...] = ()
    """Pivot tables to print."""
    listings: tuple[ListingSpec, ...] = ()
    """Tables with freely chosen columns to print."""
    curves: CurvesSpec | None = None
    """A figure of learning curves by two settings, in addition to the one of all rows."""
    statistics: StatisticsTable = StatisticsTable()
    """Differences that matter, for the verdicts."""
    controls: ControlsTable = ControlsTable()
    """Rows whose outcome is known if nothing is wrong, shown below the models and not ranked."""
    reproduce: str = ""
    """The `benchmark` name of the printed tables in `reported/*.toml`, next to this file, that the results are
    compared with."""
    deviations: tuple[str, ...] = ()
    """Sentences on how this benchmark differs from the publication that it reproduces."""
    rehearse: Rehearse = Rehearse()
    """Changes that `--rehearse` makes."""


def validate(document: Document, check: EntryCheck) -> BenchmarkFile:
    """Validate a document against the schema, and its datasets and models with `check`.

    Raises:
        SpecError: names every problem, each with file, line and key.
    """
    problems: list[str] = []
    file = None
    try:
        # strict JSON mode reads TOML's arrays as tuples and still refuses "5" for 5
        file = BenchmarkFile.model_validate_json(json.dumps(document.data, default=str))
    except ValidationError as error:
        problems += first_problems(describe(error, document, BenchmarkFile))
    for kind in ("datasets", "models"):
        problems += first_problems(_entry_problems(document, kind, check))
    if file is not None:
        models = [model.row for model in file.models]
        problems += ensemble_problems(document, file.ensembles, models)
        problems += control_problems(document, file.controls, models)
    if file is None or problems:
        raise SpecError(*problems)
    return file


def _entry_problems(document: Document, kind: str, check: EntryCheck) -> Iterator[str]:
    """Yield what is wrong with the entries of a list; entries that the schema refuses are skipped."""
    names: set[str] = set()
    for number, entry in enumerate(_named_entries(document.data.get(kind))):
        if entry is None:
            continue
        name = row_name(entry)
        if name in names:
            advice = "give each a label of its own" if kind == "models" else "use [[variants]]"
            yield f"{document.where((kind, number))}: {kind}: '{name}' is listed twice; {advice}"
        names.add(name)
        yield from _plugin_problems(document, kind, number, entry, check)


def _plugin_problems(
    document: Document, kind: str, number: int, entry: Mapping[str, Any], check: EntryCheck
) -> Iterator[str]:
    """Yield what is wrong with the name and the parameters of an entry."""
    name = entry["name"]
    schema: type[Entry] = ModelEntry
    plugin = name
    if kind == "datasets":
        schema = DatasetEntry
        plugin = entry.get("layout", name)
        if not is_slug(name):
            place = document.where((kind, number, "name"))
            yield f"{place}: datasets: found '{name}', expected letters, digits and _ . - for a folder; rename it"
    if not isinstance(plugin, str):
        return  # the schema refuses it
    params = {key: value for key, value in entry.items() if key not in schema.model_fields}
    for key, message in check(kind, plugin, params):
        place = document.where((kind, number, key or "name"))
        row = row_name(entry) if kind == "models" else name
        path = f"{kind}.{row}.{key}" if key else f"{kind}.{row}"
        yield f"{place}: {path}: {message}"


def _named_entries(entries: object) -> Iterator[Mapping[str, Any] | None]:
    """Yield each entry of a list that has a name, and None for one that has not."""
    if not isinstance(entries, list):
        return
    for entry in entries:
        is_named = isinstance(entry, Mapping) and isinstance(entry.get("name"), str)
        yield entry if is_named else None
