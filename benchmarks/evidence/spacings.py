"""Trains a 3D U-Net on volumes of four voxel sizes, with and without resampling, and prints the Dice of both.

    python benchmarks/evidence/spacings.py

Each volume shows balls of 9 mm and of 5 mm radius in a cube of 48 mm; the region is the large balls. Both are
equally bright, so that only their size in mm separates them. A large ball at 2.2 mm has about as many voxels
across as a small one at 1.2 mm: a network that sees voxels without their size cannot tell the two apart, and one
that sees volumes of one voxel size can. The values are those of one hold-out of a third of the patients.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

SPACINGS = ((1.2, 1.2, 1.2), (1.6, 1.6, 1.6), (2.2, 2.2, 2.2), (1.2, 1.2, 3.0))
"""Voxel sizes in mm; a quarter of the patients has each."""
SIDE_MM = 48.0
LARGE_MM, SMALL_MM = 9.0, 5.0
_RADII = (LARGE_MM, LARGE_MM, SMALL_MM, SMALL_MM, SMALL_MM)
_GAP_MM = 2.0
_BRIGHTNESS, _NOISE = 60.0, 12.0
BENCHMARK = """
title = "Four voxel sizes"
datasets = [{{ name = "balls", layout = "nnunet" }}]
models = [{{ name = "unet", widths = [6, 12, 24] }}]

[[variants]]
label = "resampled to 2 mm"
set = {{ "protocol.spacing" = [2.0, 2.0, 2.0] }}

[[variants]]
label = "as stored"

[protocol]
ndim = 3
patch = [24, 24, 24]
folds = 1
test = 0.33
epochs = {epochs}
batch = 4
patches_per_case = 2
oversample_foreground = 0.5
loss = "bce+dice"
optimizer = {{ name = "adam", lr = 3e-3 }}
intensity = "zscore"
metrics = ["dice"]
"""
DESCRIPTION = {
    "channel_names": {"0": "image"},
    "labels": {"background": 0, "large": 1},
    "file_ending": ".nii.gz",
}


def write_patients(root: Path, *, patients: int, seed: int) -> None:
    """Write patients in the layout of nnU-Net; patient i has voxel size i modulo 4."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    (root / "dataset.json").write_text(json.dumps(DESCRIPTION), encoding="utf-8")
    for number in range(patients):
        spacing = SPACINGS[number % len(SPACINGS)]
        image, label = draw(np.random.default_rng([seed, number]), spacing)
        affine = np.diag([*spacing, 1.0])
        name = f"balls_{number:03}"
        nib.save(nib.nifti1.Nifti1Image(image, affine), root / f"imagesTr/{name}_0000.nii.gz")
        nib.save(nib.nifti1.Nifti1Image(label, affine), root / f"labelsTr/{name}.nii.gz")


def draw(rng: Generator, spacing: Sequence[float]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return an image and its label with balls that do not touch, on a grid of these voxels."""
    shape = [round(SIDE_MM / size) for size in spacing]
    axes = [(np.arange(length) + 0.5) * size for length, size in zip(shape, spacing, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    image = rng.normal(0, _NOISE, shape)
    label = np.zeros(shape, np.uint8)
    for centre, radius in place(rng):
        inside = np.linalg.norm(grid - centre, axis=-1) < radius
        image[inside] += _BRIGHTNESS
        if radius == LARGE_MM:
            label[inside] = 1
    return image.astype(np.float32), label


def place(rng: Generator) -> list[tuple[NDArray[np.float64], float]]:
    """Return centres and radii in mm of balls with a gap between them; a small one may find no place."""
    balls: list[tuple[NDArray[np.float64], float]] = []
    for radius in _RADII:
        for _ in range(200):
            centre = rng.uniform(radius, SIDE_MM - radius, 3)
            gaps = [np.linalg.norm(centre - other) - radius - size for other, size in balls]
            if min(gaps, default=_GAP_MM) >= _GAP_MM:
                balls.append((centre, radius))
                break
    return balls


def train(folder: Path, *, patients: int, epochs: int, seed: int) -> pd.DataFrame:
    """Return the table of folds of both variants."""
    write_patients(folder / "data" / "balls", patients=patients, seed=seed)
    (folder / "spacings.toml").write_text(BENCHMARK.format(epochs=epochs), encoding="utf-8")
    words = ["run", "spacings.toml", "--data-root", "data", "--device", "cpu", "--jobs", "1"]
    command = [sys.executable, "-P", "-m", "benchbench", *words]
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603 our own words
    return pd.read_csv(folder / "results" / "spacings" / "folds.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=24, help="number of patients, a multiple of 4")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        table = train(
            Path(folder),
            patients=options.patients,
            epochs=options.epochs,
            seed=options.seed,
        )
    print(table[["variant", "fold", "n_cases", "dice"]].to_string(index=False))
    for variant, value in table.groupby("variant")["dice"].mean().items():
        print(f"{variant}: mean Dice {value:.3f}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
