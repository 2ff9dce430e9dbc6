"""Tables of one line a point, with columns of settings and values: the shape in which documents print them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from benchbench.plan.run import GROUP, KEYS, RunKey
from benchbench.results.files import slug
from benchbench.spec.table_specs import LABELS, SETTINGS, is_label
from benchbench.spec.value_names import split_percent
from benchbench.tables.folds import fold_table
from benchbench.tables.marks import with_marks
from benchbench.tables.pivots import pivot_tables
from benchbench.tables.results import Results

Values = Mapping[str, Any]
"""Name of a value -> what a run has of it."""


class Listed(NamedTuple):
    """A table, with what tells its lines apart."""

    name: str
    title: str
    frame: pd.DataFrame
    labels: tuple[str, ...]
    """Columns that say which line it is; the others were measured."""
    where: Mapping[str, str]
    """Axis -> value, of what stands nowhere in the table."""


def listing_tables(results: Results) -> Iterator[Listed]:
    """Every listing that the benchmark asks for.

    A value is the mean over the folds and seeds of its line, and empty as long as one of these runs has none; what
    all of them have is shown as it is. Other axes have a table for each of their values.
    """
    values = _run_values(results)
    for number, spec in enumerate(results.manifest["listings"], start=1):
        rows = [spec["rows"]] if spec["rows"] else []
        others = [axis for axis in GROUP if axis not in rows and len(_known(results, axis)) > 1]
        for point in itertools.product(*(_listed(results, spec, axis) for axis in others)):
            where = dict(zip(others, point, strict=True))
            name = "-".join(["listing", str(number), *map(slug, point)])
            title = "".join([spec["title"], *(f", {axis} {value}" for axis, value in where.items())])
            labels = tuple(heading for heading, source in spec["columns"].items() if is_label(source))
            yield Listed(name, title, _frame(results, spec, values, where), labels, where)


def shown_tables(results: Results) -> list[Listed]:
    """Listings and pivots, without marks on their labels."""
    pivots = [Listed(*each, (str(each[2].columns[0]),), {}) for each in pivot_tables(results, marked=False)]
    return [*listing_tables(results), *pivots]


def as_text(value: object) -> str:
    """A label as documents print it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return " ".join(map(as_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _known(results: Results, axis: str) -> list[str]:
    """The values of an axis, in the order of the file."""
    return list(dict.fromkeys(run[axis] for run in results.manifest["runs"]))


def _listed(results: Results, spec: Mapping[str, Any], axis: str) -> list[str]:
    """Those that a listing is of."""
    return [name for name in _known(results, axis) if name in spec["where"].get(axis, [name])]


def _run_values(results: Results) -> dict[RunKey, Values]:
    """What every run that is done has to show."""
    found: dict[RunKey, Values] = {}
    for line in fold_table(results).to_dict("records"):
        key = RunKey(*(line[name] for name in KEYS))
        if results.is_done(key):
            record = results.records[key]
            sizes = {name: getattr(record, name) for name in ("parameters", "epochs", "best_epoch")}
            found[key] = {**line, **record.shown, **sizes}
    return found


def _frame(
    results: Results, spec: Mapping[str, Any], values: Mapping[RunKey, Values], where: Mapping[str, str]
) -> pd.DataFrame:
    points = [{spec["rows"]: each} for each in _listed(results, spec, spec["rows"])] if spec["rows"] else [{}]
    lines, groups = [], []
    for point in points:
        runs = [key for key in results.planned if {**key._asdict(), **where, **point} == key._asdict()]
        if not runs:
            continue
        for name, metric in (spec["lines"] or {"": ""}).items():
            sources = {heading: source.replace("{metric}", metric) for heading, source in spec["columns"].items()}
            named = {**runs[0]._asdict(), "metric": name}
            settings = results.manifest["settings"][runs[0].variant]
            shown = [values.get(run, {}) for run in runs]
            lines.append({heading: _cell(source, named, settings, shown) for heading, source in sources.items()})
            groups.append(runs[0].group)
    frame = pd.DataFrame(lines, columns=list(spec["columns"]), dtype=object)
    frame = frame.apply(lambda column: column if column.map(type).eq(str).any() else pd.to_numeric(column))
    return with_marks(results, frame, groups)


def _cell(source: str, named: Values, settings: Values, runs: Sequence[Values]) -> Any:
    if source in LABELS:
        return as_text(named[source])
    if source.startswith(SETTINGS):
        return as_text(settings[source])
    name, factor = split_percent(source)
    found: list[Any] = [run.get(name) for run in runs]
    if any(value is None or value != value for value in found):  # noqa: PLR0124 nan
        return math.nan
    if len(set(found)) == 1:
        return found[0] if factor == 1 else found[0] * factor
    return factor * sum(found) / len(found) if not any(isinstance(each, str) for each in found) else "several"
