"""Trains nnU-Net on the folds of a benchmark, brings its predictions back as a row, and compares the Dice of both.

    python -m venv nnunet && nnunet/bin/pip install nnunetv2 -e .
    nnunet/bin/python benchmarks/evidence/nnunet_row.py

12 phantom patients, two folds, two epochs of two iterations on a CPU. nnU-Net predicts the tested cases of each
fold and writes its own summary.json; the Dice of every case and label has to be that of the row to 1e-6. Then a
missing case, a case on another grid and a case of another fold have to be refused by name. The exit code is 1 if a
check fails.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

DATASET = "Dataset101_Phantoms"
ROW = "nnU-Net"
TRAINER = "ShortTrainer"
PATIENTS, SIDE, FOLDS = 12, 32, 2
TOLERANCE = 1e-6
LABELS = {"background": 0, "core": 1, "rim": 2}
TRAINER_CODE = f"""
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class {TRAINER}(nnUNetTrainer):
    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict,
                 device: torch.device = torch.device("cpu")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = self.num_iterations_per_epoch = 2
        self.num_val_iterations_per_epoch = 1
"""
BENCHMARK = f"""
title = "nnU-Net as a row"
datasets = [{{ name = "{DATASET}", layout = "nnunet" }}]
models = [{{ name = "unet", widths = [2, 4], norm = "instance" }}]

[protocol]
ndim = 3
patch = [16, 16, 16]
folds = {FOLDS}
epochs = 1
batch = 1
optimizer = {{ name = "adam", lr = 1e-2 }}
loss = "ce"
metrics = ["dice"]
empty = "nnunet"

[[external]]
name = "{ROW}"
predictions = "PREDICTIONS"
training_data = "the training part of each fold"
selection = "last epoch"
"""


@dataclass(frozen=True)
class Folders:
    """The folders of nnU-Net and of the benchmark."""

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / "nnUNet_raw"

    @property
    def preprocessed(self) -> Path:
        return self.root / "nnUNet_preprocessed"

    @property
    def trained(self) -> Path:
        return self.root / "nnUNet_results" / DATASET / f"{TRAINER}__nnUNetPlans__3d_fullres"

    def variables(self) -> dict[str, str]:
        """Return the environment of nnU-Net's commands, on one core."""
        return {
            **os.environ,
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.root / "nnUNet_results"),
            "nnUNet_extTrainer": str(self.root / "trainer"),
            "nnUNet_def_n_proc": "1",
            "nnUNet_n_proc_DA": "1",
            "nnUNet_compile": "false",
            "OMP_NUM_THREADS": "1",
        }


def write_patients(folders: Folders) -> None:
    """Write noisy volumes with a bright ball in a shell, in nnU-Net's layout."""
    generator = np.random.default_rng(0)
    images, labels = folders.raw / DATASET / "imagesTr", folders.raw / DATASET / "labelsTr"
    images.mkdir(parents=True)
    labels.mkdir()
    grid = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"))
    for number in range(PATIENTS):
        centre = generator.integers(10, SIDE - 10, 3)[:, None, None, None]
        distance = np.sqrt(((grid - centre) ** 2).sum(0))
        label = (distance < 9).astype(np.uint8) * 2
        label[distance < 5] = 1
        image = generator.normal(100, 20, label.shape) + 150 * (label == 1) + 80 * (label == 2)
        name = f"patient_{number:02}"
        nib.save(nib.Nifti1Image(image.astype(np.int16), np.eye(4)), images / f"{name}_0000.nii.gz")
        nib.save(nib.Nifti1Image(label, np.eye(4)), labels / f"{name}.nii.gz")
    described = {"channel_names": {"0": "MR"}, "labels": LABELS, "numTraining": PATIENTS, "file_ending": ".nii.gz"}
    (folders.raw / DATASET / "dataset.json").write_text(json.dumps(described))


def nnunet(folders: Folders, command: str, *words: str) -> None:
    """Run a command of nnU-Net; its output is shown only if it fails."""
    program = Path(sys.executable).parent / command
    print(f"{command} {' '.join(words)}", flush=True)
    done = subprocess.run(  # noqa: S603 our own words
        [str(program), *words], env=folders.variables(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def benchbench(*words: str) -> tuple[int, str]:
    """Run a command of benchbench in this process, and return its exit code and output."""
    from benchbench.cli import _run  # noqa: PLC0415 imports torch later than nnU-Net's commands need

    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = _run(list(words))
    return code, output.getvalue()


def run_row(folders: Folders, predictions: Path) -> tuple[int, str]:
    """Score predictions as a row of the benchmark, in results of their own."""
    file = folders.root / "nnunet_row.toml"
    file.write_text(BENCHMARK.replace("PREDICTIONS", str(predictions)))
    places = ["--data-root", str(folders.raw), "--results", str(folders.root / "results")]
    options = ["--cache", str(folders.root / "cache"), "--device", "cpu", "--jobs", "0", "--no-pictures"]
    return benchbench("run", str(file), "--only", f"model={ROW}", *places, *options)


def summary_dice(folders: Folders) -> dict[tuple[str, str], float]:
    """Return the Dice of each case and region in nnU-Net's summaries."""
    dice: dict[tuple[str, str], float] = {}
    for path in sorted(folders.trained.glob("fold_*/validation/summary.json")):
        for entry in json.loads(path.read_text())["metric_per_case"]:
            case = case_of(Path(entry["prediction_file"]))
            for region in ("core", "rim"):
                dice[case, region] = entry["metrics"][str(LABELS[region])]["Dice"]
    return dice


def row_dice(folders: Folders) -> dict[tuple[str, str], float]:
    """Return the Dice of each case and region in the records of the row; nan where both masks are empty."""
    dice: dict[tuple[str, str], float] = {}
    for path in (folders.root / "results").rglob("cases.parquet"):
        for row in pd.read_parquet(path).to_dict("records"):
            denominator = 2 * row["tp"] + row["fp"] + row["fn"]
            dice[row["case"], row["region"]] = 2 * row["tp"] / denominator if denominator else float("nan")
    return dice


def compare_dice(folders: Folders) -> float:
    """Return the largest difference of Dice between the row and nnU-Net's summaries, over cases and regions."""
    summary, row = summary_dice(folders), row_dice(folders)
    if summary.keys() != row.keys() or len(row) != PATIENTS * 2:
        raise SystemExit(f"found {len(row)} scores in the row and {len(summary)} in the summaries")
    keys = sorted(row)
    ours = np.array([row[key] for key in keys])
    theirs = np.array([summary[key] for key in keys], dtype=float)
    if (np.isnan(ours) != np.isnan(theirs)).any():
        raise SystemExit("a score is undefined on one side only")
    largest = float(np.nanmax(np.abs(ours - theirs)))
    mean = np.nanmean(ours)
    print(f"mean Dice {mean:.4f} of {len(keys)} scores; the largest difference from summary.json is {largest:.2g}")
    return largest


def broken_copies(folders: Folders) -> Iterator[tuple[Path, str]]:
    """Yield copies of the predictions with one fault each, and the case that the refusal has to name."""
    for name, damage in (("missing", remove), ("other_grid", crop), ("other_fold", add_from_other_fold)):
        copied = folders.root / name
        shutil.copytree(folders.trained, copied)
        yield copied, damage(copied)


def remove(copied: Path) -> str:
    path = first_prediction(copied, 0)
    path.unlink()
    return case_of(path)


def crop(copied: Path) -> str:
    path = first_prediction(copied, 0)
    stored: Any = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(stored.dataobj)[:-1], stored.affine), path)
    return case_of(path)


def add_from_other_fold(copied: Path) -> str:
    path = first_prediction(copied, 1)
    shutil.copy(path, copied / "fold_0" / "validation")
    return case_of(path)


def first_prediction(copied: Path, fold: int) -> Path:
    return min((copied / f"fold_{fold}" / "validation").glob("*.nii.gz"))


def case_of(path: Path) -> str:
    return path.name.removesuffix(".nii.gz")


def check(folders: Folders) -> bool:
    """Train, score and compare; return True if every check passed."""
    write_patients(folders)
    (folders.root / "trainer").mkdir()
    (folders.root / "trainer" / "short_trainer.py").write_text(TRAINER_CODE)
    nnunet(folders, "nnUNetv2_plan_and_preprocess", "-d", "101", "-c", "3d_fullres", "-np", "1", "-npfp", "1")
    file = folders.root / "folds.toml"
    file.write_text(BENCHMARK.partition("[[external]]")[0])
    split = folders.preprocessed / DATASET / "splits_final.json"
    code, text = benchbench("split", str(file), "--data-root", str(folders.raw), "--write", str(split))
    if code:
        raise SystemExit(text)
    for fold in range(FOLDS):
        words = ["101", "3d_fullres", str(fold), "-tr", TRAINER, "-device", "cpu"]
        nnunet(folders, "nnUNetv2_train", *words)
    code, text = run_row(folders, folders.trained)
    if code:
        raise SystemExit(text)
    passed = compare_dice(folders) <= TOLERANCE
    for copied, case in broken_copies(folders):
        code, text = run_row(folders, copied)
        line = next((line for line in text.splitlines() if case in line), "")
        print(f"{copied.name}: exit code {code}: {line.replace(str(folders.root), '...')}")
        passed = passed and code != 0 and bool(line)
    return passed


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--folder", type=Path, help="keep all files in this folder, which must not exist")
    folder = arguments.parse_args().folder
    if folder is not None:
        folder.mkdir(parents=True)
        passed = check(Folders(folder.absolute()))
    else:
        with tempfile.TemporaryDirectory(prefix="benchbench-nnunet-") as scratch:
            passed = check(Folders(Path(scratch)))
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
