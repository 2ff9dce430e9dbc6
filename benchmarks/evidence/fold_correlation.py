"""Measures how much the noise of training of two folds has in common, with real patients of LGG.

    python benchmarks/evidence/fold_correlation.py DATA_ROOT
    python benchmarks/evidence/fold_correlation.py DATA_ROOT --replicates 60 --out differences.csv

The folds of a cross-validation share most of their training patients: 3 of 4 with five folds. Their noise of
training is therefore correlated, which `benchbench.statistics` assumes to be 0.2 / folds. Here the U-Net and the
UNeXt-S of benchmarks/lgg_small.toml are trained at 64 x 64 on sets of 8 patients, and their difference in Dice is
measured on 6 other patients, which are the same for all sets of a replicate. Of a replicate are

    a set, and the same set with another seed      all 8 patients in common
    a set of which 2 patients were replaced        6 in common, as between two of five folds
    a set of the 8 patients that are left          none in common

Half the mean square of the difference between two sets is the variance of what they do not share. With v(0), v(6)
and v(8) for so many patients in common, the correlation of two folds is 1 - v(6) / v(0), and v(8) / v(0) is the
share of the noise that the patients have no part in. Intervals are percentiles of replicates drawn with
replacement. A replicate takes two minutes of one core.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchbench.data.digests import case_digests
from benchbench.engine.batches.patches import open_source
from benchbench.engine.inference.predict import Predictor, count_case
from benchbench.engine.network.network import geometry_for
from benchbench.engine.preparation.prepare import CasePreparation, prepare_cases
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.training.train import Training
from benchbench.registry.registry import discover
from benchbench.spec.protocol import Protocol

CPU = torch.device("cpu")
NETWORKS: Mapping[str, tuple[dict[str, Any], float]] = {
    "unet": ({"width": 8, "depth": 3}, 2e-3),
    "unext_s": ({}, 3e-3),
}
"""Name -> parameters and learning rate."""
TRAINING_PATIENTS, REPLACED, TESTED = 8, 2, 6
SETS = ("first", "again", "replaced", "others")
PAIRS = {8: "again", 6: "replaced", 0: "others"}
"""Patients in common with the first set -> the set."""
DRAWS = 2000
Floats = NDArray[np.float64]


class Design(NamedTuple):
    """The patients of a replicate."""

    tested: Sequence[int]
    trained: Mapping[str, Sequence[int]]
    """Set -> its patients."""


def draw_design(patients: int, generator: np.random.Generator) -> Design:
    """Return the tested patients and the four sets of training patients."""
    order = generator.permutation(patients)[: TESTED + 2 * TRAINING_PATIENTS].tolist()
    tested, first = order[:TESTED], order[TESTED : TESTED + TRAINING_PATIENTS]
    others = order[TESTED + TRAINING_PATIENTS :]
    replaced = [*first[REPLACED:], *others[:REPLACED]]
    return Design(tested, {"first": first, "again": first, "replaced": replaced, "others": others})


def protocol_of(rate: float) -> Protocol:
    settings = {
        "patch": [64, 64],
        "epochs": 5,
        "validate_every": 5,
        "batch": 4,
        "optimizer": {"name": "adamw", "lr": rate},
        "schedule": {"name": "cosine"},
        "loss": {"name": "bce+dice", "weights": [0.5, 1.0]},
        "intensity": "unit",
    }
    return Protocol.model_validate_json(json.dumps(settings))


def train_and_test(
    network: str, trained: Sequence[PreparedCase], tested: Sequence[PreparedCase], *, seed: int
) -> float:
    """Return the mean Dice of the tested cases after the last epoch."""
    params, rate = NETWORKS[network]
    protocol = protocol_of(rate)
    torch.manual_seed(seed)
    model = discover().model(network).build(geometry_for(protocol, channels=3, regions=1), **params)
    # the validation is not used: its loss is of one case
    sources = [open_source(cases, protocol, device=CPU) for cases in (trained, tested[:1])]
    training = Training(model, sources[0], sources[1], protocol, regions=["tumor"])
    while not training.is_over:
        generator = torch.Generator().manual_seed(1000 * seed + len(training.history))
        training.run_epoch(generator, progress=lambda _: None)
    predictor = Predictor([model], protocol, CPU)
    values: list[float] = []
    for case in tested:
        masks = predictor.masks(case, predictor.probabilities(case), regions=["tumor"], postprocess=None)
        tp, fp, fn, _ = count_case(case, masks).sum(axis=(0, 1))
        values.append(2 * tp / (2 * tp + fp + fn))
    return float(np.mean(values))


def measure_replicate(cases: Mapping[str, Sequence[PreparedCase]], design: Design, *, seed: int) -> list[float]:
    """Return the difference in Dice of the two networks for each of `SETS`; `cases` are those of each network."""
    differences: list[float] = []
    for number, name in enumerate(SETS):
        dice: list[float] = []
        for network, of_network in cases.items():
            trained = [of_network[patient] for patient in design.trained[name]]
            tested = [of_network[patient] for patient in design.tested]
            dice.append(train_and_test(network, trained, tested, seed=len(SETS) * seed + number))
        differences.append(dice[0] - dice[1])
    return differences


def prepare_lgg(data_root: Path, cache: Path) -> dict[str, list[PreparedCase]]:
    """Return the cases of LGG for each network; both read the same arrays."""
    dataset = discover().dataset("lgg").open(data_root / "lgg")
    refs = list(dataset.cases())
    preparation = CasePreparation(
        dataset=dataset,
        digests=case_digests(dataset, refs, threads=1),
        protocol=protocol_of(1e-3),
        recipe="lgg",
        cache=cache,
    )
    prepared = list(prepare_cases(preparation, threads=1, progress=lambda: None).values())
    return dict.fromkeys(NETWORKS, prepared)


def variances(differences: Floats) -> dict[int, float]:
    """Return patients in common -> variance of what two sets do not share, for differences (replicates, sets)."""
    first = differences[:, SETS.index("first")]
    return {
        common: float(np.mean((differences[:, SETS.index(name)] - first) ** 2) / 2)
        for common, name in PAIRS.items()
    }


def summarise(differences: Floats) -> tuple[float, float]:
    """Return the correlation of two folds, and the share of the noise that the patients have no part in."""
    variance = variances(differences)
    return 1 - variance[6] / variance[0], variance[8] / variance[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--out", type=Path, help="CSV file for the differences")
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    rows: list[list[float]] = []
    with tempfile.TemporaryDirectory() as cache:
        cases = prepare_lgg(options.data_root, Path(cache))
        patients = len(next(iter(cases.values())))
        for seed in range(options.replicates):
            rows.append(measure_replicate(cases, draw_design(patients, generator), seed=seed))
            print(f"replicate {seed}: " + ", ".join(f"{value:+.3f}" for value in rows[-1]), flush=True)
    if options.out:
        with options.out.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([SETS, *rows])
    print_summary(np.array(rows))


def print_summary(differences: Floats) -> None:
    generator = np.random.default_rng(1)
    draws = generator.integers(0, len(differences), (DRAWS, len(differences)))
    resampled = np.array([summarise(differences[draw]) for draw in draws])
    for common, variance in variances(differences).items():
        print(f"{common} of {TRAINING_PATIENTS} patients in common: SD {variance**0.5:.4f}")
    for name, value, column in zip(
        ("correlation of two folds", "share of the seed"), summarise(differences), resampled.T, strict=True
    ):
        low, high = np.percentile(column, [2.5, 97.5])
        print(f"{name}: {value:.2f} (95 % interval {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
