"""What stands in one row of a table or figure: a model in a variant on a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from benchbench.plan.run import Group, RunKey
from benchbench.results.files import slug
from benchbench.results.record import Record
from benchbench.tables.results import Results


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model and variant, with its runs."""

    label: str
    group: Group
    runs: tuple[RunKey, ...]
    """Those that are done."""
    is_complete: bool
    """Whether these are all that were planned."""

    @property
    def n_seeds(self) -> int:
        """Number of seeds among these runs."""
        return len({run.seed for run in self.runs})

    def records(self, results: Results) -> list[Record]:
        """Of the runs that are done."""
        return [results.records[key] for key in self.runs]


def datasets(results: Results) -> list[str]:
    """Those of the plan, in its order."""
    return results.manifest.datasets


def rows_of(results: Results, dataset: str) -> list[Row]:
    """In the order of the plan, those with a run that is done; named as shortly as tells them apart."""
    planned: dict[Group, list[RunKey]] = {}
    for run in results.manifest.runs:
        key = run.key
        if key.dataset == dataset:
            planned.setdefault(key.group, []).append(key)
    done = {group: tuple(sorted(filter(results.is_done, keys))) for group, keys in planned.items()}
    begun = [group for group in planned if done[group]]
    models, variants = ({group[at] for group in begun} for at in (1, 2))
    return [
        Row(
            label=_called(*group[1:], has_models=len(models) > 1, has_variants=len(variants) > 1),
            group=group,
            runs=done[group],
            is_complete=len(done[group]) == len(planned[group]),
        )
        for group in begun
    ]


def name_for(kind: str, dataset: str, results: Results) -> str:
    """A name such as a figure's; the dataset is in it where there are several."""
    return kind if len(datasets(results)) == 1 else f"{kind}-{slug(dataset)}"


def _called(model: str, variant: str, *, has_models: bool, has_variants: bool) -> str:
    if not has_variants:
        return model if variant == "default" or has_models else variant
    return f"{model} ({variant})" if has_models else variant
