"""The rows of tables and figures: a model in a variant on a dataset, with its runs."""

from __future__ import annotations

from dataclasses import dataclass

from benchbench.plan.run import Group, RunKey
from benchbench.records.record import Record
from benchbench.spec.file_names import slug
from benchbench.tables.results import Results


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model and variant on a dataset."""

    label: str
    """The shortest name that is unique among the rows of the dataset."""
    group: Group
    runs: tuple[RunKey, ...]
    """The runs that are done."""
    is_complete: bool
    """True if all planned runs are done."""
    own_settings: str = ""
    """The settings that the model has of its own, in words; empty if it has none."""

    @property
    def n_seeds(self) -> int:
        """Number of seeds among the runs that are done."""
        return len({run.seed for run in self.runs})

    def records(self, results: Results) -> list[Record]:
        """Return the records of the runs that are done."""
        return [results.records[key] for key in self.runs]


def rows_of(results: Results, dataset: str) -> list[Row]:
    """Return the rows of a dataset that have a finished run, in the order of the plan."""
    return [row for row in planned_rows(results, dataset) if row.runs]


def planned_rows(results: Results, dataset: str) -> list[Row]:
    """Return the rows of a dataset in the order of the plan, also those without a finished run."""
    planned: dict[Group, list[RunKey]] = {}
    done: dict[Group, list[RunKey]] = {}
    for run in results.manifest.runs:
        key = run.key
        if key.dataset != dataset:
            continue
        planned.setdefault(key.group, []).append(key)
        if results.is_done(key):
            done.setdefault(key.group, []).append(key)
    n_models = len({group.model for group in planned})
    n_variants = len({group.variant for group in planned})
    rows = []
    for group, keys in planned.items():
        runs = tuple(sorted(done.get(group, ())))
        row = Row(
            label=_label(group, has_models=n_models > 1, has_variants=n_variants > 1),
            group=group,
            runs=runs,
            is_complete=len(runs) == len(keys),
            own_settings=results.manifest.own_text(group.variant, group.model),
        )
        rows.append(row)
    return rows


def name_for(kind: str, dataset: str, results: Results) -> str:
    """Return a name such as that of a figure, with the dataset in it if there are several."""
    if len(results.manifest.datasets) == 1:
        return kind
    return f"{kind}-{slug(dataset)}"


def _label(group: Group, *, has_models: bool, has_variants: bool) -> str:
    """Return the model, the variant or both: whatever distinguishes the rows."""
    if has_models and has_variants:
        return f"{group.model} ({group.variant})"
    if has_variants:
        return group.variant
    if group.variant == "default" or has_models:
        return group.model
    return group.variant
