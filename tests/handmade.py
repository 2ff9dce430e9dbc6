"""Results of a benchmark made by hand: counts small enough to work out every table from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchbench.plan.run import RunKey
from benchbench.results.folder import ResultsFolder
from benchbench.results.manifest import Manifest
from benchbench.results.record import Record

Slices = Sequence[tuple[int, int, int, int]]
"""tp, fp, fn, tn of each slice."""
Scans = Mapping[str, Mapping[str, Slices]]
"""Case -> region -> slices."""
Far = Mapping[str, Mapping[str, float | None]]
"""Case -> distance -> value."""

# Dice of the case; of its slices
FOLD_0: Scans = {
    "a": {"disc": [(4, 0, 0, 6), (0, 0, 0, 10)]},  # 1; 1, 1
    "b": {"disc": [(2, 2, 0, 6), (0, 0, 2, 8)]},  # 4/8; 4/6, 0
    "c": {"disc": [(0, 0, 0, 10), (0, 0, 0, 10)]},  # 1; 1, 1: no reference, no prediction
}
FOLD_1: Scans = {
    "d": {"disc": [(3, 1, 1, 5), (1, 1, 1, 7)]},  # 8/12; 6/8, 2/4
    "e": {"disc": [(0, 1, 0, 9), (0, 0, 0, 10)]},  # 0; 0, 1: no reference
    "f": {"disc": [(0, 0, 4, 6), (0, 0, 1, 9)]},  # 0; 0, 0: no prediction
}
PERFECT_0: Scans = {case: {"disc": [(5, 0, 0, 5), (5, 0, 0, 5)]} for case in "abc"}
PERFECT_1: Scans = {case: {"disc": [(5, 0, 0, 5), (5, 0, 0, 5)]} for case in "def"}


def key(model: str, fold: int, *, dataset: str = "discs", variant: str = "default", seed: int = 0) -> RunKey:
    return RunKey(dataset, model, variant, fold, seed)


def manifest_from(content: Mapping[str, Any]) -> Manifest:
    return Manifest.model_validate_json(json.dumps(content))


def change_manifest(folder: ResultsFolder, **changes: Any) -> None:
    """Write the manifest again with some of its keys changed."""
    content = folder.read_manifest().model_dump(mode="json")
    folder.write_manifest(manifest_from({**content, **changes}))


def select_on_test_set(folder: ResultsFolder, *variants: str) -> None:
    """Say in the manifest that checkpoints of these variants, and of no others, are chosen on the scored cases."""
    scores = folder.read_manifest().model_dump(mode="json")["scores"]
    for variant, rules in scores.items():
        rules["select_on"] = "report" if variant in variants else "validation"
    change_manifest(folder, scores=scores)


def plan(
    path: Path,
    keys: Sequence[RunKey],
    *,
    metrics: Sequence[str] = ("dice", "sensitivity"),
    empty: str = "score",
    **changes: Any,
) -> ResultsFolder:
    """The results folder of a benchmark of these runs, none of them done."""
    folder = ResultsFolder(path)
    rules = {"metrics": metrics, "empty": empty, "select_on": "validation"}
    scores = dict.fromkeys({each.variant for each in keys}, rules)
    runs = [{**each._asdict(), "digest": f"digest of {each}"} for each in keys]
    manifest = {"name": "b", "title": "T", "phantom": False, "scores": scores, "runs": runs}
    manifest |= {"file": "benchmarks/b.toml", "overrides": [], "rehearse": changes.get("phantom", False)}
    manifest |= {"tables": [], "listings": [], "settings": {}, "ensembles": {}, "reported": [], "deviations": []}
    manifest |= changes
    manifest["tables"] = [{"sd": True, **table} for table in manifest["tables"]]
    manifest["listings"] = [{"where": {}, **listing} for listing in manifest["listings"]]
    folder.write_manifest(manifest_from(manifest))
    return folder


def end(
    folder: ResultsFolder,
    run: RunKey,
    scans: Scans | None,
    far: Far | None = None,
    *,
    ceiling: Scans | None = None,
    ceiling_far: Far | None = None,
    pictures: Mapping[str, str] | None = None,
    **changes: Any,
) -> None:
    """Records a run; without scans it has no counts. `far` has the distances of each case, column by column.

    `ceiling` is of the resized truth; `pictures` has the digests of what it keeps to show.
    """
    cases, slices = _lines(run, scans or {}, far or {})
    resized, _ = _lines(run, ceiling or {}, ceiling_far or {})
    files = dict(pictures or {})
    for name, rows in (("cases.parquet", cases), ("slices.parquet", slices), ("ceiling.parquet", resized)):
        if rows:
            folder.run(run).write_table(name, pa.Table.from_pylist(rows))
            files[name] = folder.run(run).digest_of(name)
    fields: dict[str, Any] = {
        "status": "done",
        "digest": f"digest of {run}",
        "data_digest": "data",
        "split_digest": f"fold {run.fold}",
        "resolved": {},
        "provenance": {"device": "cpu", "threads": 2, "precision": "fp32"},
        "seconds": 1.23456,
        "parameters": 1234,
        "epochs": 5,
        "best_epoch": 3,
    }
    folder.run(run).write_record(Record(**run._asdict(), files=files, **{**fields, **changes}))


def _lines(run: RunKey, scans: Scans, far: Far) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Of cases, and of slices."""
    slices, cases = [], []
    for case, regions in scans.items():
        for region, counts in regions.items():
            named = {**run._asdict(), "case": case, "patient": case, "region": region}
            parts = [dict(zip(("tp", "fp", "fn", "tn"), four, strict=True)) for four in counts]
            slices += [{**named, "slice": number, **part} for number, part in enumerate(parts)]
            added = {name: sum(part[name] for part in parts) for name in parts[0]}
            cases.append({**named, **added, **far.get(case, {})})
    return cases, slices


def two_models(path: Path, **options: Any) -> ResultsFolder:
    folder = plan(path, [key(model, fold) for fold in (0, 1) for model in ("plain", "grand")], **options)
    for model, scans in (("plain", (FOLD_0, FOLD_1)), ("grand", (PERFECT_0, PERFECT_1))):
        for fold in (0, 1):
            end(folder, key(model, fold), scans[fold])
    return folder


N_FOLDS = 5


def scans(fold: int, *, better: float, patients: int = 12, seed: int = 0) -> Scans:
    """Twelve patients of a fold, whose Dice is 0.6 or so plus what is asked."""
    generator = np.random.default_rng([fold, seed])
    found = {}
    for number in range(patients):
        hit = round(100 * min(0.99, generator.normal(0.6, 0.1) + better))
        found[f"f{fold}p{number}"] = {"disc": [(hit, 100 - hit, 100 - hit, 300)]}
    return found


def graded(path: Path, better: Mapping[str, float], **options: Any) -> ResultsFolder:
    """Models on sixty patients in five folds, each with so much more Dice than the first."""
    resolved = {
        "protocol": {"folds": N_FOLDS, "validation": 0.2, "epochs": 4, "augment": [{"name": "flip", "p": 0.5}]}
    }
    keys = [key(model, fold) for fold in range(N_FOLDS) for model in better]
    folder = plan(path, keys, metrics=["dice", "iou"], **options)
    for each in keys:
        mine = {**resolved, "model": {"name": each.model}, "fold": each.fold, "seed": 0}
        end(folder, each, scans(each.fold, better=better[each.model]), resolved=mine)
    return folder
