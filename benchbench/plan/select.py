"""Selection of runs by `--only key=value`."""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.errors import UsageError
from benchbench.plan.run import Run, RunKey
from benchbench.spec.document import nearest


def select_runs(runs: Sequence[Run], only: Sequence[str], *, known: Sequence[Run] = ()) -> list[Run]:
    """The runs that match every `key=value`, and the members of ensembles; a key given twice matches either value.

    known: all runs whose values may be asked for, where these are those of one benchmark among several.

    Raises:
        UsageError: a key or value that no run has.
    """
    wanted: dict[str, set[str]] = {}
    for pair in (pair for option in only for pair in _pairs(option)):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or key not in RunKey._fields:
            raise UsageError(f"--only {pair}: write key=value; {nearest(key, RunKey._fields)}")
        values = sorted({str(getattr(run.key, key)) for run in known or runs})
        if value not in values:
            raise UsageError(f"--only {pair}: no run has {key} '{value}'; {nearest(value, values)}")
        wanted.setdefault(key, set()).add(value)
    chosen = [run for run in runs if all(str(getattr(run.key, key)) in values for key, values in wanted.items())]
    keys = {each.key for run in chosen for each in (run, *run.members)}
    return [run for run in runs if run.key in keys]


def _pairs(option: str) -> list[str]:
    """`key=value` between commas; a comma in a variant's label is part of it."""
    pairs: list[str] = []
    for part in option.split(","):
        if pairs and pairs[-1].startswith("variant=") and part.partition("=")[0].strip() not in RunKey._fields:
            pairs[-1] += f",{part}"
        else:
            pairs.append(part.strip())
    return pairs
