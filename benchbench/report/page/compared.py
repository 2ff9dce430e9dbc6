"""The box "What was compared": the data and the protocol of a benchmark, read from the records of its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from benchbench.records.folder import ResultsFolder
from benchbench.tables.results import Results
from benchbench.tables.splits import split_rows, split_sizes
from benchbench.words import count, natural_order

_MOST_TEXTS = 3  # of a setting that differs between variants
_PARTS = ("train", "validation", "test")
_HIDDEN = {"name", "albumentations", "p"}  # of a transform, printed in their own way
_SELECTIONS = {
    "validation": "the best {score} on the inner validation",
    "report": "the best {score} on the test set",
}


class Setting(NamedTuple):
    """A line of the box."""

    term: str
    text: str


Settings = Mapping[str, Any]


def compared(folder: ResultsFolder, results: Results) -> list[Setting]:
    """Return what all rows have in common: data, splits, training and selection; only what the records know."""
    records = [results.records[key] for key in results.planned if results.is_done(key)]
    lines: list[Setting] = []
    for dataset in results.manifest.datasets:
        lines += _of_dataset(folder, results, dataset)
    lines += _seeds(results)
    trained = [record for record in records if record.resolved.get("protocol") and not record.members]
    protocols = [record.resolved["protocol"] for record in trained]
    for term, describe in _DESCRIPTIONS.items():
        text = describe(protocols)
        if text:
            lines.append(Setting(term, text))
    return lines


def _of_dataset(folder: ResultsFolder, results: Results, dataset: str) -> Iterator[Setting]:
    suffix = f", {dataset}" if len(results.manifest.datasets) > 1 else ""
    facts = results.manifest.dataset_facts.get(dataset)
    records = {key: record for key, record in results.records.items() if key.dataset == dataset}
    table = pd.DataFrame(split_rows(folder, records))
    published = None if facts is None or results.manifest.phantom else facts.patients
    yield Setting(f"Dataset{suffix}", f"{dataset}{_sizes(results, table, dataset, published)}")
    if facts is not None:
        yield Setting(f"Licence{suffix}", facts.licence)
        yield Setting(f"Channels{suffix}", ", ".join(facts.channels))
    cases = results.cases[results.cases["dataset"] == dataset]
    regions = list(dict.fromkeys(cases["region"]))
    if regions:
        yield Setting(f"Regions{suffix}", ", ".join(map(str, regions)))
    yield from _folds(results, table, dataset, suffix)


def _sizes(results: Results, table: pd.DataFrame, dataset: str, published: int | None) -> str:
    """Return the numbers of patients, cases and slices, from the splits or from the cases that were tested."""
    if table.empty:
        table = results.cases[results.cases["dataset"] == dataset]
    if table.empty:
        return ""
    once = table.drop_duplicates("case")
    n_patients, n_cases = once["patient"].nunique(), len(once)
    parts = [count(n_patients, "patient")]
    if published is not None and n_patients < published:
        parts = [f"{n_patients} of {count(published, 'patient')}"]
    if n_cases != n_patients:
        parts.append(count(n_cases, "case"))
    if "slices" in once and pd.to_numeric(once["slices"], errors="coerce").notna().all():
        parts.append(f"{int(pd.to_numeric(once['slices']).sum()):,} slices")
    return f": {', '.join(parts)}"


def _folds(results: Results, table: pd.DataFrame, dataset: str, suffix: str) -> Iterator[Setting]:
    n_folds = len({key.fold for key in results.planned if key.dataset == dataset})
    text = count(n_folds, "fold")
    if not table.empty:
        sizes = split_sizes(table.to_dict("records"))
        by_part = [_range(sizes.loc[sizes["part"] == part, "patients"]) for part in _PARTS]
        text += f" of {' / '.join(by_part)} patients for training / inner validation / test"
    yield Setting(f"Folds{suffix}", text)


def _range(values: pd.Series) -> str:
    if values.empty:
        return "0"
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def _seeds(results: Results) -> Iterator[Setting]:
    yield Setting("Seeds", str(len({key.seed for key in results.planned})))


def _joined(describe: Callable[[Settings], str]) -> Callable[[Sequence[Settings]], str]:
    """Return a function of all protocols that gives the text that all of them share, or the different ones."""

    def join(protocols: Sequence[Settings]) -> str:
        different = sorted(set(map(describe, protocols)) - {""}, key=natural_order)
        text = "; or ".join(different[:_MOST_TEXTS])
        n_more = len(different) - _MOST_TEXTS
        return f"{text}; and {n_more} more" if n_more > 0 else text

    return join


def _input(protocol: Settings) -> str:
    patch, ndim = protocol.get("patch"), protocol.get("ndim")
    if not patch:
        return ""
    size = " x ".join(map(str, patch))
    kind = "volumes"
    if ndim == 2:
        kind = f"{protocol.get('slice_axis', '')} slices".strip()
    parts = [f"{kind} of {size}"]
    for key, word in (("crop", "cropped to"), ("denoise", "denoised by")):
        if protocol.get(key, "none") != "none":
            parts.append(f"{word} {protocol[key]}")
    if protocol.get("intensity"):
        parts.append(f"intensities {protocol['intensity']}")
    return ", ".join(parts)


def _epochs(protocol: Settings) -> str:
    if "epochs" not in protocol:
        return ""
    text = str(protocol["epochs"])
    if protocol.get("batch"):
        text += f", batches of {protocol['batch']}"
    if protocol.get("early_stopping"):
        text += ", early stopping"
    return text


def _optimiser(protocols: Sequence[Settings]) -> str:
    """Return the optimisers and schedules of all runs; a setting that differs has all of its values."""
    parts: list[str] = []
    for key in ("optimizer", "schedule"):
        used = [protocol[key] for protocol in protocols if protocol.get(key)]
        parts.append(_merged(used))
    return "; ".join(part for part in parts if part)


def _merged(used: Sequence[Any]) -> str:
    """Return each name once, with every value of its settings: "adamw (lr 0.002 or 0.003, weight_decay 0.01)"."""
    by_name: dict[str, dict[str, dict[str, None]]] = {}
    for settings in used:
        pairs = settings if isinstance(settings, Mapping) else {"name": settings}
        values = by_name.setdefault(str(pairs.get("name", "")), {})
        for key, value in pairs.items():
            if key not in _HIDDEN and value is not None:
                values.setdefault(key, {})[_value(value)] = None
    texts: list[str] = []
    for name, values in by_name.items():
        settings_text = []
        for key, written in values.items():
            ordered = sorted(written, key=natural_order)
            settings_text.append(f"{key} {' or '.join(ordered)}")
        texts.append(f"{name} ({', '.join(settings_text)})" if settings_text else name)
    return " or ".join(texts)


def _loss(protocol: Settings) -> str:
    loss = protocol.get("loss")
    if isinstance(loss, Mapping):
        return str(loss.get("name", ""))
    return str(loss or "")


def _augmentation(protocol: Settings) -> str:
    steps = protocol.get("augment")
    if steps is None:
        return ""
    if isinstance(steps, Mapping):
        return _named(steps)
    return "; ".join(_transform(step) for step in steps) or "none"


def _transform(step: Settings) -> str:
    text = _named(step)
    return f"{text}, p = {step['p']:g}" if isinstance(step.get("p"), float) else text


def _named(settings: Any) -> str:
    """Return a name with its settings: "adam (lr 0.001, weight_decay 0.0001)"."""
    if not isinstance(settings, Mapping):
        return str(settings or "")
    texts = []
    for key, value in settings.items():
        if key not in _HIDDEN and value is not None:
            texts.append(f"{key} {_value(value)}")
    name = str(settings.get("name") or settings.get("albumentations", ""))
    return f"{name} ({', '.join(texts)})" if texts else name


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " to ".join(map(_value, value))
    return str(value)


def _selection(protocol: Settings) -> str:
    chosen_on = protocol.get("select_on")
    if chosen_on not in _SELECTIONS:
        return ""
    return _SELECTIONS[chosen_on].format(score=protocol.get("select", "score"))


_DESCRIPTIONS: Mapping[str, Callable[[Sequence[Settings]], str]] = {
    "Input": _joined(_input),
    "Epochs": _joined(_epochs),
    "Optimiser": _optimiser,
    "Loss": _joined(_loss),
    "Augmentation": _joined(_augmentation),
    "Checkpoint": _joined(_selection),
}
