"""The data sets that share patients with a dataset, and the models whose weights were trained on some of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchbench.contract import DatasetPlugin
from benchbench.registry.registry import Registry
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.benchmark_file import DatasetEntry
from benchbench.spec.tuning import row_names


def same_name(first: str, second: str) -> bool:
    """Return True if two names differ only in case, punctuation or the 20 of a year, as BraTS 2020 and brats20."""
    return _letters(first) == _letters(second)


def _letters(name: str) -> str:
    letters = re.sub(r"[\W_]", "", name).lower()
    return re.sub(r"(?<=[a-z])20(?=\d\d$)", "", letters)


def relatives_of(benchmark: Benchmark, registry: Registry) -> dict[str, tuple[str, ...]]:
    """Return dataset -> names of the data sets that share patients with it, as either of the two declares."""
    relatives: dict[str, tuple[str, ...]] = {}
    for variant in benchmark.variants:
        for entry in variant.datasets:
            if entry.name not in relatives:
                relatives[entry.name] = tuple(_relatives(entry, registry))
    return relatives


def _relatives(entry: DatasetEntry, registry: Registry) -> list[str]:
    declared = [*entry.relatives]
    plugin = registry.named_dataset(entry)
    if not entry.layout:
        declared += plugin.relatives
    for name, installed in sorted(registry.datasets.items()):
        if _names_relative(installed.plugin, entry.name) and name != entry.name:
            declared.append(name)
    return list(dict.fromkeys(declared))


def _names_relative(plugin: DatasetPlugin, dataset: str) -> bool:
    return any(same_name(relative, dataset) for relative in plugin.relatives)


def pretrained_on(benchmark: Benchmark) -> dict[str, tuple[str, ...]]:
    """Return row -> data sets that its weights saw, as the file says; an ensemble has those of its members."""
    seen: dict[str, tuple[str, ...]] = {}
    for variant in benchmark.variants:
        for model in variant.models:
            if model.pretrained_on:
                seen[model.row] = model.pretrained_on
                seen |= dict.fromkeys(_tuned_rows(benchmark, model.row), model.pretrained_on)
    for ensemble in benchmark.ensembles:
        names = _joined([seen.get(member, ()) for member in ensemble.models])
        if names:
            seen[ensemble.name] = names
    for row in benchmark.external:
        if row.pretrained_on:
            seen[row.name] = row.pretrained_on
    return seen


def _tuned_rows(benchmark: Benchmark, model: str) -> list[str]:
    return list(row_names(model).values()) if benchmark.tune is not None else []


def contamination(names: Sequence[str], dataset: str, relatives: Sequence[str]) -> str:
    """Return why weights that saw these data sets are not to be scored on a dataset; '' if nothing is known."""
    for name in names:
        if same_name(name, dataset):
            return f"weights saw {name}, the dataset itself"
        for relative in relatives:
            if same_name(name, relative):
                return f"weights saw {name}, which shares patients with {dataset}"
    return ""


def _joined(groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for group in groups:
        names.update(dict.fromkeys(group))
    return tuple(names)
