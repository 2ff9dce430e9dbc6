"""Results of a benchmark made by hand, with counts small enough to work out every table on paper."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.manifest import Manifest
from benchbench.records.record import Record

Slices = Sequence[tuple[int, int, int, int]]
"""tp, fp, fn, tn of each slice."""
Scans = Mapping[str, Mapping[str, Slices]]
"""Case -> region -> slices."""
Distances = Mapping[str, Mapping[str, float | None]]
"""Case -> column of a distance -> value."""

# Dice of the case, then of its slices
FOLD_0: Scans = {
    "a": {"disc": [(4, 0, 0, 6), (0, 0, 0, 10)]},  # 1; 1, 1
    "b": {"disc": [(2, 2, 0, 6), (0, 0, 2, 8)]},  # 4/8; 4/6, 0
    "c": {"disc": [(0, 0, 0, 10), (0, 0, 0, 10)]},  # 1; 1, 1: both masks are empty
}
FOLD_1: Scans = {
    "d": {"disc": [(3, 1, 1, 5), (1, 1, 1, 7)]},  # 8/12; 6/8, 2/4
    "e": {"disc": [(0, 1, 0, 9), (0, 0, 0, 10)]},  # 0; 0, 1: the reference is empty
    "f": {"disc": [(0, 0, 4, 6), (0, 0, 1, 9)]},  # 0; 0, 0: the prediction is empty
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
    """Change the manifest so that only these variants select their checkpoints on the test set."""
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
    """Return the results folder of a benchmark of these runs, none of them done."""
    folder = ResultsFolder(path)
    rules = {"metrics": metrics, "empty": empty, "select_on": "validation"}
    scores = dict.fromkeys({run.variant for run in keys}, rules)
    runs = [{**run._asdict(), "digest": f"digest of {run}"} for run in keys]
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
    distances: Distances | None = None,
    *,
    upper_bound: Scans | None = None,
    upper_bound_distances: Distances | None = None,
    pictures: Mapping[str, str] | None = None,
    **changes: Any,
) -> None:
    """Write the record of a run; without scans it has no counts.

    `upper_bound` has the counts of the resized reference, `pictures` the digests of the picture files.
    """
    cases, slices = _lines(run, scans or {}, distances or {})
    resized, _ = _lines(run, upper_bound or {}, upper_bound_distances or {})
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
        "parameters_with_statistics": 1250,
        "epochs": 5,
        "best_epoch": 3,
    }
    folder.run(run).write_record(Record(**run._asdict(), files=files, **{**fields, **changes}))


def _lines(run: RunKey, scans: Scans, distances: Distances) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the lines of cases, and those of slices."""
    slices, cases = [], []
    for case, regions in scans.items():
        for region, counts in regions.items():
            named = {**run._asdict(), "case": case, "patient": case, "region": region}
            parts = [dict(zip(("tp", "fp", "fn", "tn"), four, strict=True)) for four in counts]
            slices += [{**named, "slice": number, **part} for number, part in enumerate(parts)]
            added = {name: sum(part[name] for part in parts) for name in parts[0]}
            cases.append({**named, **added, **distances.get(case, {})})
    return cases, slices


def two_models(path: Path, **options: Any) -> ResultsFolder:
    folder = plan(path, [key(model, fold) for fold in (0, 1) for model in ("plain", "grand")], **options)
    for model, scans in (("plain", (FOLD_0, FOLD_1)), ("grand", (PERFECT_0, PERFECT_1))):
        for fold in (0, 1):
            end(folder, key(model, fold), scans[fold])
    return folder


N_FOLDS = 5


def scans(fold: int, *, better: float, patients: int = 12, seed: int = 0) -> Scans:
    """Return the patients of a fold with a Dice of about 0.6 plus `better`."""
    generator = np.random.default_rng([fold, seed])
    patients_of_fold = {}
    for number in range(patients):
        hit = round(100 * min(0.99, generator.normal(0.6, 0.1) + better))
        patients_of_fold[f"f{fold}p{number}"] = {"disc": [(hit, 100 - hit, 100 - hit, 300)]}
    return patients_of_fold


def graded(path: Path, better: Mapping[str, float], **options: Any) -> ResultsFolder:
    """Return models on sixty patients in five folds; `better` is added to the Dice of each."""
    resolved = {
        "protocol": {"folds": N_FOLDS, "validation": 0.2, "epochs": 4, "augment": [{"name": "flip", "p": 0.5}]}
    }
    keys = [key(model, fold) for fold in range(N_FOLDS) for model in better]
    folder = plan(path, keys, metrics=["dice", "iou"], **options)
    for run in keys:
        of_run = {**resolved, "model": {"name": run.model}, "fold": run.fold, "seed": 0}
        end(folder, run, scans(run.fold, better=better[run.model]), resolved=of_run)
    return folder
