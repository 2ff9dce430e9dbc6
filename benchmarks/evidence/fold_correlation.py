"""Measures how much the noise of training of two folds has in common, with real patients of LGG.

    python benchmarks/evidence/fold_correlation.py DATA_ROOT
    python benchmarks/evidence/fold_correlation.py DATA_ROOT --replicates 200 --workers 2 --out dice.csv

The folds of a cross-validation share most of their training patients: 3 of 4 with five folds. Their noise of
training is therefore correlated, which `benchbench.statistics` assumes to be 0.2 / folds.

A replicate divides the patients at random into groups without a common patient, and tested patients, who are those
of every fold, so that only training differs. In each group, a cross-validation trains two small U-Nets, which
halve by pooling and by strided convolutions, on all but one fold. A fold gives the difference of their mean Dice.
With

    W    the mean square between the folds of a group,
    B    the mean square between the means of the groups of a replicate,

the covariance of two folds is B - W / folds, their variance is that plus W, and their correlation the quotient.
The first fold of each group is trained again under other seeds: half the mean square of the difference is the
variance of the seed. Intervals are percentiles of replicates drawn with replacement.

Slices have 32 x 32 pixels, and those without a tumour are left out, in training and in the Dice: thousands of
trainings are needed, and one takes a second. A replicate takes 40 seconds of one core. A stopped run is continued.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from benchbench.data.digests import case_digests
from benchbench.engine.network.network import geometry_for
from benchbench.engine.preparation.prepare import CasePreparation, prepare_cases
from benchbench.registry.registry import discover
from benchbench.spec.protocol import Protocol

STEPS, BATCH, RATE = 80, 8, 1e-2
TUMOR_WEIGHT = 5.0
"""Weight of tumour in the cross entropy: without it, 2 of 72 trainings ended with masks that were nearly empty."""
NETWORKS: Mapping[str, str] = {"pooled": "pool", "strided": "stride"}
"""Name -> how the U-Net halves."""
DRAWS = 2000
Floats = NDArray[np.float64]


class Slices(NamedTuple):
    """The slices of a patient that have a tumour."""

    images: Tensor
    """(slices, 3, 32, 32)."""
    labels: Tensor
    """(slices, 32, 32), 0 or 1."""


class Design(NamedTuple):
    """The groups of patients of a replicate."""

    groups: int
    folds: int
    size: int
    """Patients of a group."""


class Replicate(NamedTuple):
    """The Dice of a replicate."""

    dice: Floats
    """(networks, groups, folds)."""
    again: Floats
    """(networks, groups): the first folds under other seeds."""


def read_lgg(data_root: Path) -> list[Slices]:
    dataset = discover().dataset("lgg").open(data_root / "lgg")
    refs = list(dataset.cases())
    with tempfile.TemporaryDirectory() as cache:
        preparation = CasePreparation(
            dataset=dataset,
            digests=case_digests(dataset, refs, threads=1),
            protocol=_protocol(),
            recipe="lgg",
            cache=Path(cache),
        )
        return [
            _with_tumor(case.image(), case.label())
            for case in prepare_cases(preparation, threads=1, progress=lambda: None).values()
        ]


def _protocol() -> Protocol:
    settings = {
        "patch": [32, 32],
        "epochs": 1,
        "batch": BATCH,
        "optimizer": {"name": "adamw", "lr": RATE},
        "loss": {"name": "bce+dice"},
        "intensity": "unit",
    }
    return Protocol.model_validate_json(json.dumps(settings))


def _with_tumor(image: NDArray[Any], label: NDArray[Any]) -> Slices:
    has_tumor = label.any(axis=(1, 2))
    images = torch.from_numpy(image[has_tumor].astype(np.float32) / 255)
    return Slices(images, torch.from_numpy((label[has_tumor] > 0).astype(np.float32)))


def train_and_test(down: str, trained: Sequence[Slices], tested: Sequence[Slices], *, seed: int) -> float:
    """Return the mean Dice of the tested patients."""
    torch.manual_seed(seed)
    network = (
        discover()
        .model("unet")
        .build(
            geometry_for(_protocol(), channels=3, regions=1),
            widths=(8, 16),
            norm="instance",
            activation="leaky_relu",
            down=down,
        )
    )
    images, labels = (torch.cat(parts) for parts in zip(*trained, strict=True))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        chosen = torch.randint(len(images), (BATCH,))
        optimizer.zero_grad()
        _loss(network(images[chosen])[:, 0], labels[chosen]).backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        return float(np.mean([_dice(network(images)[:, 0] > 0, labels > 0) for images, labels in tested]))


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    probabilities = logits.sigmoid()
    overlap = 2 * (probabilities * labels).sum() / (probabilities.sum() + labels.sum())
    return binary_cross_entropy_with_logits(logits, labels, pos_weight=torch.tensor(TUMOR_WEIGHT)) + 1 - overlap


def _dice(predicted: Tensor, labels: Tensor) -> float:
    return float(2 * (predicted & labels).sum() / (predicted.sum() + labels.sum()))


def measure_replicate(number: int, slices: Sequence[Slices], design: Design) -> Replicate:
    """Return the Dice of both networks for every fold of every group, which are drawn by the number."""
    torch.set_num_threads(1)
    generator = np.random.default_rng([0, number])
    order = generator.permutation(len(slices)).tolist()
    groups = [order[group * design.size : (group + 1) * design.size] for group in range(design.groups)]
    tested = [slices[patient] for patient in order[design.groups * design.size :]]

    def dice_of(down: str, group: Sequence[int], fold: int) -> float:
        trained = [slices[patient] for place, patient in enumerate(group) if place % design.folds != fold]
        return train_and_test(down, trained, tested, seed=int(generator.integers(2**31)))

    dice = [
        [[dice_of(down, group, fold) for fold in range(design.folds)] for group in groups]
        for down in NETWORKS.values()
    ]
    again = [[dice_of(down, group, 0) for group in groups] for down in NETWORKS.values()]
    return Replicate(np.array(dice), np.array(again))


def measure_all(numbers: Iterable[int], data_root: Path, design: Design, *, workers: int) -> Iterator[Replicate]:
    slices = read_lgg(data_root)
    if len(slices) <= design.groups * design.size:
        raise SystemExit(f"{data_root}: {len(slices)} patients leave none to test; give fewer or smaller groups")
    measure = partial(measure_replicate, slices=slices, design=design)
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(measure, numbers)


def mean_squares(scores: Floats) -> tuple[float, float]:
    """Return the mean squares between groups and within groups, for scores (replicates, groups, folds)."""
    between = scores.mean(axis=2).var(axis=1, ddof=1).mean()
    return float(between), float(scores.var(axis=2, ddof=1).mean())


def correlation(scores: Floats) -> float:
    between, within = mean_squares(scores)
    covariance = between - within / scores.shape[2]
    return covariance / (covariance + within)


def share_of_seed(scores: Floats, again: Floats) -> float:
    """Return the share of the variance of a fold that another seed changes; `again` is (replicates, groups)."""
    between, within = mean_squares(scores)
    variance = between + within * (1 - 1 / scores.shape[2])
    return float(np.mean((scores[:, :, 0] - again) ** 2) / 2 / variance)


def print_summary(replicates: Sequence[Replicate]) -> None:
    dice = np.stack([replicate.dice for replicate in replicates], axis=1)
    again = np.stack([replicate.again for replicate in replicates], axis=1)
    draws = np.random.default_rng(1).integers(0, len(replicates), (DRAWS, len(replicates)))
    print(f"{len(replicates)} replicates, {dice[0].size * 2 + again.size} trainings")
    for name, scores, others in [
        *zip(NETWORKS, dice, again, strict=True),
        ("difference", dice[0] - dice[1], again[0] - again[1]),
    ]:
        print(f"{name}: mean Dice {scores.mean():.3f}, SD within a group {mean_squares(scores)[1] ** 0.5:.4f}")
        _print_interval("correlation of two folds", correlation(scores), [correlation(scores[d]) for d in draws])
        shares = [share_of_seed(scores[draw], others[draw]) for draw in draws]
        _print_interval("share of the seed", share_of_seed(scores, others), shares)


def _print_interval(name: str, value: float, resampled: Sequence[float]) -> None:
    low, high = np.percentile(resampled, [2.5, 97.5])
    print(f"    {name} {value:.3f} (95 % interval {low:.3f} to {high:.3f})")


def read_replicates(path: Path, design: Design) -> list[Replicate]:
    """Return the replicates of the file; the last ones of a stopped run may be missing.

    Raises:
        SystemExit: the file is of another design, whose replicates say something else.
    """
    with path.open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    rows = [[float(value) for value in row[4:]] for row in lines]
    present = Design(
        groups=len({row[3] for row in lines}) or design.groups,
        folds=len(header) - 5,
        size=int(lines[0][2]) if lines else design.size,
    )
    if present != design:
        raise SystemExit(f"{path}: has {_describe(present)}, not {_describe(design)}; give another file as --out")
    shape = (-1, len(NETWORKS), design.groups, design.folds + 1)
    return [Replicate(dice[..., :-1], dice[..., -1]) for dice in np.array(rows).reshape(shape)]


def _describe(design: Design) -> str:
    return f"{design.groups} groups of {design.size} patients in {design.folds} folds"


def _write_header(path: Path, design: Design) -> None:
    folds = [f"fold_{fold}" for fold in range(design.folds)]
    path.write_text(",".join(["replicate", "network", "size", "group", *folds, "again"]) + "\n", encoding="utf-8")


def _write_replicate(path: Path, number: int, replicate: Replicate, design: Design) -> None:
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [number, network, design.size, group, *folds, first]
            for network, dice, again in zip(NETWORKS, *replicate, strict=True)
            for group, (folds, first) in enumerate(zip(dice, again, strict=True))
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--groups", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--size", type=int, default=5, help="patients of a group")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, default=Path("fold_correlation.csv"), help="CSV file of the Dice; continued"
    )
    options = parser.parse_args()
    design = Design(options.groups, options.folds, options.size)
    if not options.out.exists():
        _write_header(options.out, design)
    missing = range(len(read_replicates(options.out, design)), options.replicates)
    measured = measure_all(missing, options.data_root, design, workers=options.workers)
    for number, replicate in zip(missing, measured, strict=True):
        _write_replicate(options.out, number, replicate, design)
    print_summary(read_replicates(options.out, design))


if __name__ == "__main__":
    main()
