"""Trains the U-Net of `benchmarks/lgg_small.toml` on one fold in plain PyTorch and prints the Dice of each seed.

    benchbench split benchmarks/lgg_small.toml --data-root DATA --write split.csv
    python benchmarks/evidence/plain_script.py DATA/lgg split.csv

Only the network is that of benchbench: reading, resizing, training, selection and scores are written here again.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import tifffile
import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor, nn

from benchbench import Geometry
from benchbench_models.unet import build

FOLD, SIZE, EPOCHS, BATCH, LR = 0, 96, 10, 8, 2e-3


def read(folder: Path) -> tuple[Tensor, Tensor]:
    """Return the slices of a patient (S, 3, H, W) in [0, 1] and the masks (S, 1, H, W)."""
    numbers = range(1, 1 + len(list(folder.glob("*_mask.tif"))))
    images = [tifffile.imread(folder / f"{folder.name}_{n}.tif") for n in numbers]
    masks = [tifffile.imread(folder / f"{folder.name}_{n}_mask.tif") for n in numbers]
    image = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return image, torch.from_numpy(np.stack(masks))[:, None].float() / 255


def small(values: Tensor) -> Tensor:
    return F.interpolate(values, (SIZE, SIZE), mode="bilinear", antialias=True)


def flipped(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slices, half of them flipped along each axis."""
    for axis in (-2, -1):
        is_flipped = (torch.rand(len(images)) < 0.5)[:, None, None, None]
        images, masks = (torch.where(is_flipped, values.flip(axis), values) for values in (images, masks))
    return images, masks


def loss_of(logits: Tensor, masks: Tensor) -> Tensor:
    p = logits.sigmoid()
    soft_dice = (2 * (p * masks).sum() + 1) / (p.sum() + masks.sum() + 1)
    return 0.5 * F.binary_cross_entropy_with_logits(logits, masks) + 1 - soft_dice


@torch.inference_mode()
def dice(model: nn.Module, image: Tensor, mask: Tensor) -> float:
    """Return the Dice of the whole volume on the grid of `mask`."""
    logits = model.eval()(small(image))
    probabilities = F.interpolate(logits.sigmoid(), mask.shape[-2:], mode="bilinear")
    prediction = probabilities > 0.5
    return float(2 * (prediction & (mask > 0.5)).sum() / (prediction.sum() + (mask > 0.5).sum()))


def mean_dice(model: nn.Module, cases: list[tuple[Tensor, Tensor]]) -> float:
    return float(np.mean([dice(model, image, mask) for image, mask in cases]))


def train(seed: int, parts: dict[str, list[tuple[Tensor, Tensor]]]) -> float:
    """Return the mean Dice of the test patients, with the epoch that is best on the validation patients."""
    torch.manual_seed(seed)
    model = build(Geometry(3, 1, (SIZE, SIZE)), width=8, depth=3)
    images = torch.cat([small(image) for image, _ in parts["train"]])
    masks = torch.cat([small(mask) for _, mask in parts["train"]]).round()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    best, tested = -1.0, 0.0
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            inputs, targets = flipped(images[batch], masks[batch])
            loss_of(model.train()(inputs), targets).backward()
            optimizer.step()
        schedule.step()
        validation = float(
            np.mean([dice(model, small(image), small(mask)) for image, mask in parts["validation"]])
        )
        if validation > best:
            best, tested = validation, float(np.mean([dice(model, *case) for case in parts["test"]]))
    return tested


if __name__ == "__main__":
    root, split = Path(sys.argv[1]) / "kaggle_3m", Path(sys.argv[2])
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {"train": [], "validation": [], "test": []}
    for row in csv.DictReader(split.open(encoding="utf-8")):
        if int(row["fold"]) == FOLD:
            parts[row["part"]].append(read(root / row["case"]))
    values = [train(seed, parts) for seed in range(int(sys.argv[3]) if len(sys.argv) > 3 else 3)]
    print(f"Dice of fold {FOLD}: {values}, mean {np.mean(values):.3f}, SD {np.std(values, ddof=1):.3f}")
