"""Times the report of a finished benchmark: its tables, statistics, figures and page.

    python benchmarks/speed/report_page.py
    python benchmarks/speed/report_page.py --models 5 --folds 5 --cases 250 --slices 155 --regions 3

The counts of the runs are drawn at random; no network is trained. Each round writes the report of the same
records. The time is that of the processor. `--keep FOLDER` leaves the results there, so that the files of two
versions can be compared; `--profile` prints where the rounds spend their time.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.manifest import Manifest
from benchbench.records.record import Record
from benchbench.report import write_page, write_tables

METRICS = ("dice", "iou", "sensitivity", "precision", "hd95")
VOXELS = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--cases", type=int, default=110)
    parser.add_argument("--slices", type=int, default=30, help="of each case")
    parser.add_argument("--regions", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = ResultsFolder((options.keep or Path(temporary)) / "b")
        fill(folder, options)
        profile = cProfile.Profile()
        if options.profile:
            profile.enable()
        rounds = [write_once(folder) for _ in range(options.rounds)]
        profile.disable()
    tables = [seconds for seconds, _ in rounds]
    pages = [seconds for _, seconds in rounds]
    totals = [sum(seconds) for seconds in rounds]
    shape = f"{options.models} models, {options.folds} folds, {options.cases} cases"
    print(f"{shape} of {options.slices} slices, {options.regions} regions, {options.rounds} rounds")
    print("| part | first round, processor s | fastest round |")
    print("|---|---|---|")
    for name, seconds in (("tables", tables), ("statistics, figures and page", pages), ("report", totals)):
        print(f"| {name} | {seconds[0]:.2f} | {min(seconds):.2f} |")
    if options.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)


def write_once(folder: ResultsFolder) -> tuple[float, float]:
    """Return the processor seconds of the tables and of the page."""
    began = time.process_time()
    results = write_tables(folder)
    between = time.process_time()
    write_page(folder, results)
    return between - began, time.process_time() - between


def fill(folder: ResultsFolder, options: argparse.Namespace) -> None:
    """Write the manifest and the records of the runs."""
    models = [f"model_{number:02}" for number in range(options.models)]
    keys = [RunKey("discs", model, "default", fold, 0) for fold in range(options.folds) for model in models]
    write_manifest(folder, keys)
    for key in keys:
        write_run(folder, key, models.index(key.model) / len(models), options)


def write_manifest(folder: ResultsFolder, keys: list[RunKey]) -> None:
    rules = {"metrics": METRICS, "empty": "score", "select_on": "validation"}
    manifest: dict[str, Any] = {"name": "b", "title": "T", "phantom": False, "scores": {"default": rules}}
    manifest["runs"] = [{**key._asdict(), "digest": f"digest of {key}"} for key in keys]
    manifest |= {"file": "benchmarks/b.toml", "overrides": [], "rehearse": False, "settings": {}, "ensembles": {}}
    manifest |= {"tables": [], "listings": [], "reported": [], "deviations": []}
    folder.write_manifest(Manifest.model_validate_json(json.dumps(manifest)))


def write_run(folder: ResultsFolder, key: RunKey, better: float, options: argparse.Namespace) -> None:
    """Write the counts and the record of a run; `better`, in [0, 1], raises its scores a little."""
    random = np.random.default_rng([key.fold, round(1000 * better)])
    names = [f"case_{number:04}" for number in range(key.fold, options.cases, options.folds)]
    slices: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, "slice")}
    cases: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, "hd95_mm")}
    for name in names:
        for region in range(options.regions):
            counts = draw_counts(random, options.slices, better)
            add_rows(slices, key, name, region, counts)
            slices["slice"] += range(options.slices)
            add_rows(cases, key, name, region, counts.sum(0, keepdims=True))
            cases["hd95_mm"].append(float(random.uniform(2, 12)))
    run = folder.run(key)
    files = {}
    for file, table in (("cases.parquet", cases), ("slices.parquet", slices)):
        run.write_table(file, pa.table(table))
        files[file] = run.digest_of(file)
    protocol = {"folds": options.folds, "validation": 0.2, "epochs": 4}
    record = Record(
        **key._asdict(),
        status="done",
        digest=f"digest of {key}",
        data_digest="data",
        split_digest=f"fold {key.fold}",
        resolved={"protocol": protocol, "model": {"name": key.model}, "fold": key.fold, "seed": key.seed},
        provenance={"device": "cpu", "threads": 2, "precision": "fp32"},
        files=files,
        seconds=1.0,
        parameters=1234,
        parameters_with_statistics=1250,
        epochs=4,
        best_epoch=3,
    )
    run.write_record(record)


COLUMNS = (*RunKey._fields, "case", "patient", "region", "tp", "fp", "fn", "tn")


def draw_counts(random: np.random.Generator, slices: int, better: float) -> np.ndarray[Any, Any]:
    """Return tp, fp, fn, tn of each slice (slices, 4); a fifth of the slices has no reference."""
    share = np.clip(random.normal(0.6 + 0.1 * better, 0.1), 0.05, 0.99)
    size = random.integers(100, 1000, slices) * (random.random(slices) > 0.2)
    tp = np.round(size * share).astype(np.int64)
    fn = size - tp
    fp = np.round(fn * random.uniform(0.5, 1.5)).astype(np.int64)
    return np.stack([tp, fp, fn, VOXELS - tp - fp - fn], axis=1)


def add_rows(
    columns: dict[str, list[Any]], key: RunKey, case: str, region: int, counts: np.ndarray[Any, Any]
) -> None:
    fixed = {**key._asdict(), "case": case, "patient": case, "region": f"region_{region}"}
    for name, value in fixed.items():
        columns[name] += [value] * len(counts)
    for name, values in zip(("tp", "fp", "fn", "tn"), counts.T, strict=True):
        columns[name] += values.tolist()


if __name__ == "__main__":
    main()
