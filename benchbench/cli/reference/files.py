"""Every column of every table that a benchmark writes, with its meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchbench.report.page.meanings import MEANINGS, meaning
from benchbench.report.page.names import is_metric

_INTRODUCTION = """# Files

The columns of every table in a results folder. CSV has a comma, six decimals and an empty cell where a value is
unknown. Columns of metrics have the name of the metric, such as `dice`, `dice_slice` (mean over slices),
`dice_pooled` (all voxels counted together) and `hd95_mm`. [Results](../results.md) says which file is for what.
"""
_KEYS = ("dataset", "model", "variant", "fold", "seed")
_ENDS = ("mean", "low", "high")
_COUNTS = ("case", "patient", "region", "tp", "fp", "fn", "tn")
_PICTURES = (
    *("case", "name", "axis", "at", "rows", "columns", "transposed", "flipped", "aspect", "sides", "image"),
    "truth",
)
_MARKS = ("ensemble_of", "external", "own_settings", "pretrained", "contamination", "selection", "split")

FILES: Mapping[str, Sequence[str]] = {
    "leaderboard.csv": (
        *("rank", "dataset", "model", "variant", *_MARKS, "runs", "METRICS"),
        *("fold_mean", "fold_sd", "n", "dice_pos", "n_ref_empty", "parameters", "gmacs", "data"),
    ),
    "standings.csv": (
        *("dataset", "metric", "empty", "ranks", "row", "own_settings", *_ENDS, "note", "patients", "data"),
    ),
    "differences.csv": (
        *("dataset", "metric", "empty", "first", "first_own_settings", "second", "second_own_settings"),
        *("difference", "low", "high", "verdict", "wins", "ties", "losses"),
        *("p", "p_wilcoxon", "p_holm", "holm_pairs", "p_equivalent", "p_folds", "p_permutation", "rank_biserial"),
        *("new_patient", "new_patient_low", "new_patient_high", "p_better", "p_same", "p_worse", "false_claim"),
        *("smallest_detectable", "sd_patients", "sd_folds", "sd_seeds", "patients", "folds", "note", "data"),
    ),
    "ranks.csv": ("dataset", "metric", "row", "own_settings", "rank", "low", "high", "data"),
    "sensitivity.csv": (
        *("dataset", "metric", "choice", "tau", "moved", "note", "row", "own_settings", "rank", "data"),
    ),
    "subgroups.csv": (
        *("dataset", "metric", "column", "subgroup", "row", "patients", *_ENDS),
        *("difference", "difference_low", "difference_high", "p_adjusted", "note", "data"),
    ),
    "readers.csv": ("dataset", "rater", "reader", "region", "metric", "n", "mean", "data"),
    "folds.csv": (
        *(*_KEYS, *_MARKS, "status", "reason", "n_cases", "n_ref_empty", "METRICS", "dice_pos", "parameters"),
        *("epochs", "best_epoch", "digest", "data_digest", "split_digest", "data"),
    ),
    "summary.csv": (
        *("dataset", "model", "variant", *_MARKS, "metric", "aggregate", "empty", "region", "n", "n_ref_empty"),
        *("n_penalised", "n_nan", "mean", "median", "dice_pos", "fold_mean", "fold_sd", "runs_done"),
        *("runs_planned", "data"),
    ),
    "cost.csv": (
        *(*_KEYS, *_MARKS, "seconds", "epochs", "train_seconds", "train_cpu_seconds", "compile_seconds"),
        *("gpu_hours", "energy_wh"),
        *("parameters", "gmacs", "gmacs_per_case", "uncounted", "ms_per_case_p50", "ms_per_case_p90"),
        *("cpu_ms_per_case_p50", "images_per_second", "device", "runs_per_device", "gpu_busy"),
        *("gpu_memory_bytes", "load", "threads"),
        *("precision", "memory_layout", "peak_memory_bytes", "resident_bytes", "trained_as", "data"),
    ),
    "cost_summary.csv": (
        *("dataset", "model", "variant", *_MARKS, "runs", "timed_runs", "parameters", "gmacs", "train_seconds"),
        *("train_cpu_seconds", "gpu_hours", "ms_per_case_p50", "ms_per_case_p90", "cpu_ms_per_case_p50"),
        *("images_per_second", "peak_memory_bytes", "load", "energy_wh", "device", "ms_per_case_range"),
        *("unsteady", "trained_as", "data"),
    ),
    "split.csv": ("dataset", "variant", "case", "patient", "fold", "part", "slices", "data"),
    "split_sizes.csv": ("dataset", "variant", "fold", "part", "patients", "cases", "slices", "data"),
    "tuning.csv": (
        *(*_KEYS, "trial", "state", "validation_value", "rank", "chosen", "epochs", "seconds", "settings"),
        *("reason", "data"),
    ),
    "reproduction.csv": (
        *("table", "row", "column", "measured", "reported", "difference", "tolerance", "verdict", "why", "data"),
    ),
    "runs/.../cases.parquet": (*_KEYS, *_COUNTS, "DISTANCES"),
    "runs/.../slices.parquet": (*_KEYS, "slice", *_COUNTS),
    "runs/.../readers.parquet": (*_KEYS, "case", "patient", "rater", "reader", *_COUNTS[2:]),
    "runs/.../ceiling.parquet": (*_KEYS, *_COUNTS, "DISTANCES"),
    "runs/.../predictions.parquet": ("case", "region", "shape", "start", "stop", "bits"),
    "runs/.../pictures.parquet": _PICTURES,
    "runs/.../planes.parquet": _PICTURES,
    "runs/.../split.csv": ("case", "patient", "fold", "part", "slices"),
    "runs/.../metadata.csv": ("patient", "column", "value"),
    "runs/.../history.csv": (
        *("epoch", "lr", "train_loss", "validation_loss", "VALIDATION", "TRAINING", "energy_wh", "seconds"),
        *("cpu_seconds", "is_best", "validations_without_gain"),
    ),
}
"""File -> its columns; names in capitals are groups of columns."""

_MEANINGS = {
    "METRICS": "One column for each metric; in `folds.csv` also `_slice` and `_pooled` for overlaps.",
    "DISTANCES": "One column for each distance and lesion score.",
    "VALIDATION": "`validation_METRIC_case` and `validation_METRIC_pooled`: scores of the inner validation.",
    "TRAINING": "`train_METRIC_pooled`: scores of the training batches, counted together.",
    "dataset": "Name of the dataset.",
    "model": "Name or label of the model.",
    "variant": "Name of the variant; `default` where there is one.",
    "fold": "Number of the fold, from 0.",
    "seed": "Random seed of the run.",
    "data": "`real`, or a note that the data are phantom data.",
    "metric": "Metric, with the unit of a distance.",
    "empty": "Rule for empty masks.",
    "row": "Shortest name that is unique: the model, the variant or both.",
    "mean": "Mean over all cases.",
    "note": "Why a value is missing, or what reduces trust in it.",
    "second": "The row that the first is compared with.",
    "folds": "Number of folds.",
    "column": "Column of the metadata, or of the printed table.",
    "subgroup": MEANINGS["subgroup"],
    "status": "`done`, `failed`, `diverged`, `waiting` or `not run`.",
    "reason": "Why the run failed, diverged or waits.",
    "n_cases": "Number of cases.",
    "epochs": "Number of epochs that were trained.",
    "best_epoch": "Epoch of the selected checkpoint, from 0.",
    "digest": "SHA-256 of everything in the plan that can change a number of the run.",
    "data_digest": "SHA-256 of the files of the dataset.",
    "split_digest": "SHA-256 of the cases in each part of the fold.",
    "aggregate": "`case`: mean over cases; `slice`: mean over slices; `pooled`: all voxels counted together.",
    "region": "Region, or `mean` for the mean over regions.",
    "n_penalised": "Values of cases in which only one of reference and prediction is empty.",
    "n_nan": "Values that are undefined under the rule for empty masks.",
    "runs_done": "Finished runs.",
    "runs_planned": "Planned runs.",
    "device": "GPU, or `cpu`.",
    "threads": "Threads of the processor.",
    "precision": "Numbers that the network computed with, such as `bf16`, and `compiled` if `--compile` was used.",
    "rater": "A row of the benchmark (in the file of a run `prediction`), or a reader compared with another.",
    "reader": "The reader whose label the rater is scored against.",
    "case": "Name of the case.",
    "patient": "Name of the patient.",
    "part": "`train`, `validation` or `test`.",
    "slices": "Number of slices.",
    "cases": "Number of cases.",
    "slice": "Number of the slice, from 0.",
    "tp": "Voxels in both masks.",
    "fp": "Voxels in the prediction only.",
    "fn": "Voxels in the reference only.",
    "tn": "Voxels in neither mask.",
    "shape": "Shape of the mask.",
    "start": "First voxel of the box that has all voxels of the mask.",
    "stop": "Voxel behind that box.",
    "bits": "The box, one bit per voxel.",
    "name": "Name of the plane.",
    "axis": "Axis across which the plane is cut.",
    "at": "Position of the plane.",
    "rows": "Axis of the rows.",
    "columns": "Axis of the columns.",
    "transposed": "True if rows and columns are exchanged for display.",
    "flipped": "Axes that are reversed for display.",
    "aspect": "Height of a pixel over its width.",
    "sides": "Letters at the left and right border.",
    "image": "The picture as a file.",
    "truth": "The reference of each region on the plane, with its colour.",
    "value": "Value of the metadata.",
    "epoch": "Epoch, from 0.",
    "lr": "Learning rate.",
    "train_loss": "Mean loss of the batches.",
    "validation_loss": "Loss of the inner validation.",
    "cpu_seconds": "Seconds of the processor, summed over threads.",
    "is_best": "1 where the checkpoint is the best so far.",
    "validations_without_gain": "With early stopping: validations since the last improvement.",
    "trial": "Number of the trial; 0 has the settings of the file.",
    "validation_value": "Value on the inner validation that `select` names; a loss is negative.",
    "chosen": "1 for the trial that predicts the test cases.",
    "table": "Number and title of the printed table.",
    "measured": "Number of this benchmark.",
    "reported": "Number that is printed.",
    "tolerance": "Largest difference that counts as reproduced.",
    "why": "Why the two are not compared.",
    "ensemble_of": "Members of an ensemble.",
    "pretrained": "Pretrained weights that the model started from.",
    "contamination": "What is known of patients that the weights of the row have seen.",
    "selection": "A note where checkpoints were selected on the test set.",
    "split": "A note where cases of one patient are in several parts of a fold.",
}
"""Column -> its meaning, where it differs from the page or is not on it."""
_OF_TRIALS = {
    "state": "`done`, `failed`, or the earlier trial with the same settings, whose value is taken.",
    "rank": "1 for the trained trial with the best value.",
    "epochs": "Number of epochs that the trial trained.",
    "reason": "Why the trial failed.",
}
_SECONDS = {
    "tuning.csv": "Seconds of training, with the inner validation.",
    "runs/.../history.csv": "Seconds of the epoch.",
    "cost.csv": MEANINGS["seconds"],
}


def is_documented(file: str, column: str) -> bool:
    """Return True if a column of a file has an entry, or belongs to one of its groups of columns."""
    columns = FILES[file]
    if column in columns:
        return True
    if column.startswith(("validation_", "train_")):
        return "VALIDATION" in columns
    name = column.removesuffix("_slice").removesuffix("_pooled")
    return is_metric(name) and bool({"METRICS", "DISTANCES"} & set(columns))


def meaning_of(file: str, column: str) -> str:
    """Return the meaning of a column of a file."""
    if file == "tuning.csv" and column in _OF_TRIALS:
        return _OF_TRIALS[column]
    if column == "seconds":
        return _SECONDS[file]
    return _MEANINGS.get(column) or meaning(column)


def files_page() -> str:
    """Return the page in Markdown."""
    parts = [_INTRODUCTION]
    for file, columns in FILES.items():
        parts.append(f"\n## {file}\n\n| column | meaning |\n| --- | --- |\n")
        for column in columns:
            name = column.lower() if column.isupper() else f"`{column}`"
            parts.append(f"| {name} | {meaning_of(file, column).replace('|', '')} |\n")
    return "".join(parts)
