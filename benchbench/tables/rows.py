"""Rows of tables and figures: a model in a variant on a dataset, with its runs and its label."""

from __future__ import annotations

from dataclasses import dataclass

from benchbench.plan.run import Group, RunKey
from benchbench.results.files import slug
from benchbench.results.record import Record
from benchbench.tables.results import Results


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model and variant on one dataset, with its runs."""

    label: str
    group: Group
    runs: tuple[RunKey, ...]
    """Keys of the runs that are done."""
    is_complete: bool
    """True where every planned run is done."""

    @property
    def n_seeds(self) -> int:
        """Number of seeds among these runs."""
        return len({run.seed for run in self.runs})

    def records(self, results: Results) -> list[Record]:
        """Return the records of the runs that are done."""
        return [results.records[key] for key in self.runs]


def datasets(results: Results) -> list[str]:
    """Return the datasets in the order of the plan."""
    return results.manifest.datasets


def rows_of(results: Results, dataset: str) -> list[Row]:
    """Return the rows that have a run that is done, in the order of the plan, with short distinct labels."""
    planned: dict[Group, list[RunKey]] = {}
    for run in results.manifest.runs:
        if run.dataset == dataset:
            planned.setdefault(run.key.group, []).append(run.key)
    done = {group: tuple(sorted(filter(results.is_done, keys))) for group, keys in planned.items()}
    begun = [group for group in planned if done[group]]
    has_models = len({group.model for group in begun}) > 1
    has_variants = len({group.variant for group in begun}) > 1
    rows = []
    for group in begun:
        row = Row(
            label=_label(group, has_models=has_models, has_variants=has_variants),
            group=group,
            runs=done[group],
            is_complete=len(done[group]) == len(planned[group]),
        )
        rows.append(row)
    return rows


def name_for(kind: str, dataset: str, results: Results) -> str:
    """Return the name of a file for one dataset; the dataset is part of it where there are several."""
    if len(datasets(results)) == 1:
        return kind
    return f"{kind}-{slug(dataset)}"


def _label(group: Group, *, has_models: bool, has_variants: bool) -> str:
    if has_models and has_variants:
        return f"{group.model} ({group.variant})"
    if has_variants:
        return group.variant
    if has_models or group.variant == "default":
        return group.model
    return group.variant
