"""What stands in one row of a figure: a model in a variant on a dataset, by the name that tables give it."""

from __future__ import annotations

from dataclasses import dataclass

from benchbench.plan import RunKey
from benchbench.store import slug
from benchbench.tables import KEYS, Results


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model and variant, with its runs that are done."""

    label: str
    runs: tuple[RunKey, ...]


def datasets(results: Results) -> list[str]:
    """Those of the plan, in its order."""
    return list(dict.fromkeys(run["dataset"] for run in results.manifest["runs"]))


def rows_of(results: Results, dataset: str) -> list[Row]:
    """In the order of the plan, those with a run that is done."""
    groups: dict[tuple[str, str], list[RunKey]] = {}
    for run in results.manifest["runs"]:
        key = RunKey(*(run[name] for name in KEYS))
        if key.dataset == dataset and results.is_done(key):
            groups.setdefault((key.model, key.variant), []).append(key)
    models, variants = ({names[at] for names in groups} for at in (0, 1))
    return [
        Row(
            label=_called(*names, has_models=len(models) > 1, has_variants=len(variants) > 1),
            runs=tuple(sorted(runs)),
        )
        for names, runs in groups.items()
    ]


def name_for(kind: str, dataset: str, results: Results) -> str:
    """A figure's name; the dataset is in it where there are several."""
    return kind if len(datasets(results)) == 1 else f"{kind}-{slug(dataset)}"


def _called(model: str, variant: str, *, has_models: bool, has_variants: bool) -> str:
    if not has_variants:
        return model if variant == "default" or has_models else variant
    return f"{model} ({variant})" if has_models else variant
