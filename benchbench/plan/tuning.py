"""The rows of tuned models, and everything in [tune] that cannot be tried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from benchbench.plan.run import Run
from benchbench.registry.parameters import check_params, keyword_parameters
from benchbench.registry.registry import Registry
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.benchmark_file import ModelEntry
from benchbench.spec.document import Document, nearest
from benchbench.spec.messages import describe
from benchbench.spec.own_protocols import SHARED
from benchbench.spec.plugin_choice import is_plugin
from benchbench.spec.protocol import Protocol
from benchbench.spec.tuning import (
    MODEL,
    PROTOCOL,
    TunedValues,
    changed_fields,
    row_names,
    split_path,
    tuning_of,
)
from benchbench.spec.variants import Variant

_FIXED = (
    *("ndim", "slice_axis", "patch", "resize", "spacing", "resampling", "label_resampling", "context", "crop"),
    *("intensity", "window", "denoise", "denoise_weight", "one_hot_foreground", "inference", "postprocess"),
    *("select", "precision", "world_size"),
)
"""Keys of the protocol that decide how cases are prepared, predicted and compared: the same for all trials."""


class _File(BaseModel):
    """A benchmark file of which only the protocol is read."""

    protocol: Protocol


def tuned_runs(benchmark: Benchmark, trained: Sequence[Run]) -> Iterator[Run]:
    """Yield the tuned run of each run, and that of its best trials together."""
    table = benchmark.tune
    if table is None:
        return
    models = _rows_of(benchmark)
    for run in trained:
        row = run.model.row
        names = row_names(row)
        tuning = tuning_of(table, row, models, "tuned")
        tuned = replace(run, model=run.model._replace(label=names["tuned"]), tuning=tuning)
        yield tuned
        if table.ensemble > 1:
            model = run.model._replace(label=names["ensembled"])
            together = tuning_of(table, row, models, "ensembled")
            yield replace(run, model=model, tuning=together, members=(tuned,))


def tuned_names(benchmark: Benchmark) -> list[str]:
    """Return the names of the rows that are tuned."""
    if benchmark.tune is None:
        return []
    names: list[str] = []
    for variant in benchmark.variants:
        for entry in variant.models:
            names += row_names(entry.row).values()
    return list(dict.fromkeys(names))


def tuning_problems(benchmark: Benchmark, variant: Variant, registry: Registry) -> Iterator[str]:
    """Yield a line for each setting of the space that does not exist, or has a value that is refused."""
    if benchmark.tune is None:
        return
    document = benchmark.document
    place = document.where(("tune",))
    if variant.protocol.select_on == "report":
        yield (
            f"{place}: tune: protocol.select_on is 'report', which chooses on the test cases; trials are compared"
            " on the inner validation: set it to 'validation'"
        )
    yield from _name_problems(benchmark, variant)
    known = _rows_of(benchmark)
    for path in benchmark.tune.space:
        try:
            split_path(path, known)
        except KeyError:
            where = document.where(("tune", "space", path))
            first, _, rest = path.partition(".")
            hint = "begin with protocol. or models.NAME."
            if first == "models":
                hint = f"no such model; {nearest(rest.partition('.')[0], known)}"
            yield f"{where}: tune.space: found '{path}': {hint}"
    for entry in variant.models:
        yield from _model_problems(benchmark, variant, entry, registry)


def _rows_of(benchmark: Benchmark) -> list[str]:
    rows: dict[str, None] = {}
    for variant in benchmark.variants:
        rows.update(dict.fromkeys(entry.row for entry in variant.models))
    return list(rows)


def _name_problems(benchmark: Benchmark, variant: Variant) -> Iterator[str]:
    """Yield a line for each row of the file that has the name of a tuned one."""
    taken = [entry.row for entry in variant.models]
    taken += [ensemble.name for ensemble in benchmark.ensembles]
    taken += [row.name for row in benchmark.external]
    for name in tuned_names(benchmark):
        if name in taken:
            yield f"{benchmark.document.where(('tune',))}: tune: a row is called '{name}' already; rename it"


def _model_problems(
    benchmark: Benchmark, variant: Variant, entry: ModelEntry, registry: Registry
) -> Iterator[str]:
    assert benchmark.tune is not None
    document = benchmark.document
    protocol = variant.protocol_of(entry.row)
    if protocol.world_size > 1:
        yield (
            f"{document.where(('tune',))}: tune: '{entry.row}' is trained by {protocol.world_size} processes,"
            " expected one per trial; set protocol.world_size to 1"
        )
    space = _space_of(benchmark, entry.row)
    if not space:
        yield (
            f"{document.where(('tune', 'space'))}: tune.space: nothing to tune for model '{entry.row}'; name a"
            " setting of the protocol or one of its parameters"
        )
    for path, (written, values) in space.items():
        where = document.where(("tune", "space", written))
        for problem in _setting_problems(path, values, protocol, entry, registry, document, where):
            yield f"{where}: tune.space.{written}: {problem}"


def _space_of(benchmark: Benchmark, row: str) -> dict[str, tuple[str, TunedValues]]:
    """Return path of a setting of a row -> its path in the file and its values."""
    assert benchmark.tune is not None
    known = _rows_of(benchmark)
    space: dict[str, tuple[str, TunedValues]] = {}
    for written, values in benchmark.tune.space.items():
        try:
            owner, inner = split_path(written, known)
        except KeyError:
            continue  # named before
        if owner == row or (not owner and inner not in space):
            space[inner] = (written, values)
    return space


def _setting_problems(
    path: str,
    values: TunedValues,
    protocol: Protocol,
    entry: ModelEntry,
    registry: Registry,
    document: Document,
    where: str,
) -> Iterator[str]:
    """Yield the problems of both ends of a range, or of all choices, without repetitions."""
    problems: dict[str, None] = {}
    for value in values.ends:
        if path.startswith(MODEL):
            messages = _parameter_problems(path.removeprefix(MODEL), value, entry, registry)
        else:
            messages = _protocol_problems(path, value, protocol, document, where)
        problems.update(dict.fromkeys(messages))
    yield from problems


def _parameter_problems(key: str, value: Any, entry: ModelEntry, registry: Registry) -> Iterator[str]:
    build = registry.model(entry.name).build
    known = keyword_parameters(build)
    if key not in known:
        yield f"no such parameter; {nearest(key, list(known))}"
        return
    for parameter, message in check_params(build, {**entry.params, key: value}):
        if parameter == key:
            yield message


def _protocol_problems(path: str, value: Any, protocol: Protocol, document: Document, where: str) -> Iterator[str]:
    key = path.removeprefix(PROTOCOL).partition(".")[0]
    if key in (*SHARED, *_FIXED):
        yield "the same for all trials, which are prepared, predicted and compared alike; remove it"
        return
    if is_plugin(value):
        yield f"found plugin '{value['plugin']}'; name plugins in [protocol] and tune their parameters"
        return
    data = {"protocol": changed_fields(protocol, {path: value})}
    try:
        changed = _File.model_validate_json(json.dumps(data)).protocol
    except ValidationError as error:
        moved = Document(name=document.name, data=data, origins={("protocol",): where})
        for problem in describe(error, moved, _File):
            yield problem.removeprefix(f"{where}: ")
        return
    if changed.activation != protocol.activation:
        yield (
            f"found '{changed.loss.name}', a {changed.activation}, but '{protocol.loss.name}' of [protocol] is a"
            f" {protocol.activation}; tune among losses of one kind"
        )
