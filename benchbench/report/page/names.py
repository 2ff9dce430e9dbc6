"""The headings of tables in the words of their readers, and the direction in which a column is better."""

from __future__ import annotations

from typing import Literal

from benchbench.report.figures.metric_text import metric_name, unit_of
from benchbench.spec.metric_names import is_lower_better, parse_metric, without_unit

Direction = Literal["up", "down", ""]
"""Up where more is better, down where less is, empty where neither is."""

_NAMES = {
    "rank": "Rank",
    "ranks": "Ranks",
    "dataset": "Dataset",
    "model": "Model",
    "variant": "Variant",
    "row": "Row",
    "fold": "Fold",
    "seed": "Seed",
    "runs": "Runs",
    "cases": "Cases",
    "patients": "Patients",
    "slices": "Slices",
    "interval": "95 % interval",
    "fold_mean": "Mean of folds",
    "fold_sd": "SD of folds",
    "dice_pos": "Dice, non-empty",
    "n": "Cases",
    "n_ref_empty": "Empty references",
    "parameters": "Parameters",
    "gmacs": "GMACs",
    "gmacs_per_case": "GMACs per case",
    "uncounted": "Not counted",
    "train_seconds": "Training (s)",
    "train_cpu_seconds": "Training, CPU (s)",
    "compile_seconds": "Compiling (s)",
    "seconds": "Run (s)",
    "epochs": "Epochs",
    "gpu_hours": "GPU-hours",
    "trained_as": "Trained as",
    "ms_per_case_p50": "ms per case (median)",
    "ms_per_case_p90": "ms per case (90 %)",
    "cpu_ms_per_case_p50": "CPU ms per case",
    "ms_per_case_range": "ms per case (range)",
    "images_per_second": "Images per second",
    "load": "Load",
    "device": "Device",
    "threads": "Threads",
    "peak_memory_bytes": "Peak memory",
    "resident_bytes": "Data on the GPU",
    "runs_per_device": "Runs per device",
    "timed_runs": "Timed runs",
    "memory_layout": "Memory layout",
    "gpu_busy": "GPU busy",
    "gpu_memory_bytes": "GPU memory in use",
    "energy_wh": "Energy (Wh)",
    "ensemble_of": "Ensemble of",
    "pretrained": "Pretrained",
    "selection": "Selection",
    "split": "Split",
    "first": "First",
    "second": "Second",
    "difference": "Difference",
    "low": "Low",
    "high": "High",
    "verdict": "Verdict",
    "wins": "Wins",
    "ties": "Ties",
    "losses": "Losses",
    "p": "p",
    "p_wilcoxon": "p (Wilcoxon)",
    "p_holm": "p (Holm)",
    "p_equivalent": "p (equivalent)",
    "p_folds": "p (folds)",
    "p_permutation": "p (permutation)",
    "p_adjusted": "p (adjusted)",
    "new_patient": "New patient",
    "new_patient_low": "New patient, low",
    "new_patient_high": "New patient, high",
    "rank_biserial": "Rank-biserial",
    "p_better": "P(better)",
    "p_same": "P(same)",
    "p_worse": "P(worse)",
    "false_claim": "P(false claim)",
    "smallest_detectable": "Detectable",
    "detectable": "Detectable",
    "sd_patients": "SD of patients",
    "sd_folds": "SD of folds",
    "sd_seeds": "SD of seeds",
    "limited_by": "Limited by",
    "median": "Median",
    "mean": "Mean",
    "sd": "SD",
    "mean rank": "Mean rank",
    "without": "Without",
    "choice": "Choice",
    "tau": "Kendall's tau",
    "moved": "Moved",
    "column": "Column",
    "subgroup": "Subgroup",
    "difference_low": "Low of difference",
    "difference_high": "High of difference",
    "region": "Region",
    "threshold": "Threshold",
    "budget": "Budget",
    "trials": "Trials",
    "failed": "Failed trials",
    "trial_seconds": "Training (s)",
    "file_score": "Score of the file's settings",
    "chosen_score": "Score of the chosen",
    "settings": "Settings",
    "components": "Smallest component",
    "total": "Smallest region",
}
_COSTS = (
    *("parameters", "gmacs", "gmacs_per_case", "train_seconds", "train_cpu_seconds", "seconds", "gpu_hours"),
    *("ms_per_case_p50", "ms_per_case_p90", "cpu_ms_per_case_p50", "peak_memory_bytes", "energy_wh"),
)
_GAINS = ("images_per_second", "dice_pos", "fold_mean")


def is_metric(column: str) -> bool:
    """Return True if a column has the values of a metric, with or without a unit."""
    try:
        parse_metric(without_unit(column))
    except ValueError:
        return False
    return True


def heading_of(column: str) -> str:
    """Return the heading of a column: "Dice" for `dice`, "HD95 (mm)" for `hd95_mm`; other names are unchanged."""
    if not is_metric(column):
        return _NAMES.get(column, column)
    name = metric_name(column)
    unit = unit_of(column)
    return f"{name[0].upper()}{name[1:]}{f' ({unit})' if unit else ''}"


def direction_of(column: str, *, first_metric: str = "") -> Direction:
    """Return the direction in which a column is better; `first_metric` is the one that `fold_mean` is of."""
    if is_metric(column):
        return "down" if is_lower_better(column) else "up"
    if column in _COSTS:
        return "down"
    if column == "fold_mean":
        return direction_of(first_metric) if first_metric else ""
    return "up" if column in _GAINS else ""
