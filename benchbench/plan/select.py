"""Selects runs by `--only key=value`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchbench.errors import UsageError
from benchbench.plan.run import Run, RunKey
from benchbench.spec.document import nearest
from benchbench.words import natural_order


def select_runs(runs: Sequence[Run], only: Sequence[str], *, known: Sequence[Run] = ()) -> list[Run]:
    """Return the runs that match every `key=value`, and the members of ensembles among them.

    A key that is given twice matches either value. `known` are the runs whose values are allowed, if they are
    more than `runs`: those of other benchmarks of the same command.

    Raises:
        UsageError: a key is unknown, or no run has the value.
    """
    filters: dict[str, set[str]] = {}
    for option in only:
        for pair in _pairs(option):
            key, value = _parse(pair, known or runs)
            filters.setdefault(key, set()).add(value)
    keys: set[RunKey] = set()
    for run in runs:
        if _matches(run, filters):
            keys.add(run.key)
            keys.update(member.key for member in run.members)
    return [run for run in runs if run.key in keys]


def _pairs(option: str) -> list[str]:
    """Split an option at its commas; a comma in the label of a variant does not separate."""
    pairs: list[str] = []
    for part in option.split(","):
        is_key = part.partition("=")[0].strip() in RunKey._fields
        if pairs and pairs[-1].startswith("variant=") and not is_key:
            pairs[-1] += f",{part}"
        else:
            pairs.append(part.strip())
    return pairs


def _parse(pair: str, runs: Sequence[Run]) -> tuple[str, str]:
    key, equals, value = (part.strip() for part in pair.partition("="))
    if not equals or key not in RunKey._fields:
        raise UsageError(f"--only {pair}: write key=value; {nearest(key, RunKey._fields)}")
    values = sorted({_value(run, key) for run in runs}, key=natural_order)
    if value not in values:
        raise UsageError(f"--only {pair}: no run has {key} '{value}'; {nearest(value, values)}")
    return key, value


def _matches(run: Run, filters: Mapping[str, set[str]]) -> bool:
    return all(_value(run, key) in values for key, values in filters.items())


def _value(run: Run, key: str) -> str:
    return str(getattr(run.key, key))
