"""Settings of runs that listings show, and listings that ask for a setting or run that does not exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchbench.errors import SpecError
from benchbench.plan.run import Run
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.document import nearest
from benchbench.spec.table_specs import SETTINGS


def shown_settings(benchmark: Benchmark, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """What the listings show of every variant: variant -> column of a listing -> setting.

    Raises:
        SpecError: a listing names what a run does not have.
    """
    sources = [
        (("listings", number, "columns", heading), source)
        for number, listing in enumerate(benchmark.listings)
        for heading, source in listing.columns.items()
        if source.startswith(SETTINGS)
    ]
    shown: dict[str, dict[str, Any]] = {variant.label: {} for variant in benchmark.variants}
    for run in runs:
        for where, source in sources:
            try:
                shown[run.variant][source] = _setting(run, shown[run.variant].get(source), source)
            except KeyError as error:
                place = benchmark.document.where(where)
                raise SpecError(f"{place}: '{source}': run {run.key} has no {error}; name a setting") from error
    return shown


def listing_problems(benchmark: Benchmark, runs: Sequence[Run]) -> Iterator[str]:
    """What listings are said to be of and no run is of."""
    for number, listing in enumerate(benchmark.listings):
        for axis, names in listing.where.items():
            known = list(dict.fromkeys(str(getattr(run.key, axis)) for run in runs))
            place = benchmark.document.where(("listings", number, "where", axis))
            for name in (name for name in names if name not in known):
                yield f"{place}: listings.{number}.where.{axis}: no {axis} '{name}'; {nearest(name, known)}"


def _setting(run: Run, known: Any, source: str) -> Any:
    """A setting of a run, by its path; what is known already if it is another model's or dataset's."""
    path, equals, wanted = source.partition("=")
    kind, *keys = path.split(".")
    value: Any = run.protocol.model_dump(mode="json")
    if kind != "protocol":
        chosen = run.model if kind == "models" else run.dataset
        if chosen.name != keys.pop(0):
            return known
        value = chosen.params
    for key in keys:
        value = value[key]
    return str(value) == wanted if equals else value
