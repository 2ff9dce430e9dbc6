"""Times overlaps and lesion scores of a volume: Dice and IoU of three regions, lesion-wise Dice and HD95 of one.

    python benchmarks/speed/scores_3d.py --threads 1

Each contender starts from the masks of two volumes of 240 x 240 x 155 voxels of 1 mm, which are made before.
benchbench counts voxels in two ways: as after a prediction, from bit masks and predicted masks, slice by slice,
and from masks of the volume, like MONAI and MedPy. Contenders take turns; the first round is not counted, and its
scores are printed. MONAI and MedPy (`medpy`) are left out if they are not installed.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np
import torch
from distances_3d import CLASSES, SHAPE, Labels, masks, one_hot, print_scores, synthesise
from numpy.typing import NDArray
from race import race, report

from benchbench.engine.inference.counting import count_regions
from benchbench.metrics.lesions import RULES, brats23_lesion
from benchbench.metrics.scores import score

LESIONS = (1, 20, 100)
CHALLENGE = "gli"
Contender = Callable[[], list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")  # deprecations in the other libraries
    reference = synthesise(0, centre=(135, 100, 82), radii=(28, 19, 11))
    prediction = synthesise(1, centre=(137, 101, 82), radii=(29, 20, 11))
    contenders = {
        "benchbench: counts of slices": of_slices(reference, prediction),
        "benchbench.score": of_masks(reference, prediction),
    }
    for prepare in (monai, medpy):
        try:
            contenders |= prepare(reference, prediction)
        except ImportError as error:
            print(f"{error.name} is not installed: left out")
    print("Dice, then IoU, of three regions")
    report(race(contenders, rounds=options.rounds, check=print_scores), units=1, unit="volume")
    print("\nlesion-wise Dice and HD95 of one region, by the number of its lesions")
    lesions = {f"benchbench: {number} lesions": of_lesions(number) for number in LESIONS}
    report(race(lesions, rounds=options.rounds, check=print_scores), units=1, unit="region")


def of_slices(reference: Labels, prediction: Labels) -> Contender:
    bits = np.zeros(SHAPE, np.uint8)
    for place, number in enumerate(CLASSES):
        bits |= (reference == number).astype(np.uint8) << place
    predicted = np.stack([prediction == number for number in CLASSES], axis=1)

    def run() -> list[float]:
        counts = count_regions(torch.from_numpy(predicted), torch.from_numpy(bits), has_background=False)
        tp, fp, fn, _ = counts.sum(0).T.double()
        return [*(2 * tp / (2 * tp + fp + fn)).tolist(), *(tp / (tp + fp + fn)).tolist()]

    return run


def of_masks(reference: Labels, prediction: Labels) -> Contender:
    pairs = list(masks(reference, prediction))

    def run() -> list[float]:
        scores = [score(*pair, metrics=["dice", "iou"]) for pair in pairs]
        return [of_class[name] for name in ("dice", "iou") for of_class in scores]

    return run


def monai(reference: Labels, prediction: Labels) -> dict[str, Contender]:
    from monai.metrics import compute_dice, compute_iou  # noqa: PLC0415

    pair = one_hot(prediction), one_hot(reference)

    def run() -> list[float]:
        parts = [compute(*pair, include_background=False)[0] for compute in (compute_dice, compute_iou)]
        return [*parts[0].tolist(), *parts[1].tolist()]

    return {"MONAI": run}


def medpy(reference: Labels, prediction: Labels) -> dict[str, Contender]:
    from medpy.metric import binary  # noqa: PLC0415

    pairs = list(masks(reference, prediction))

    def run() -> list[float]:
        dice = [float(binary.dc(predicted, labelled)) for labelled, predicted in pairs]
        return [*dice, *(float(binary.jc(predicted, labelled)) for labelled, predicted in pairs)]

    return {"MedPy": run}


def scatter(number: int, *, seed: int) -> NDArray[np.bool_]:
    """Return a mask with so many balls of 4 to 9 voxels in radius, at the same places for each seed."""
    places = np.random.default_rng(number)
    generator = np.random.default_rng([number, seed])
    mask = np.zeros(SHAPE, bool)
    for _ in range(number):
        middle = places.integers(12, np.array(SHAPE) - 12)
        radius = places.uniform(4, 9) * generator.uniform(0.9, 1.1)
        axes = np.ogrid[tuple(slice(place - 10, place + 11) for place in middle)]
        squares = sum((axis - place) ** 2 for axis, place in zip(axes, middle, strict=True))
        mask[tuple(slice(place - 10, place + 11) for place in middle)] |= squares < radius**2
    return mask


def of_lesions(number: int) -> Contender:
    reference, prediction = scatter(number, seed=0), scatter(number, seed=1)

    def run() -> list[float]:
        scores = brats23_lesion(reference, prediction, rules=RULES[CHALLENGE])
        return [scores.dice, scores.hd95_mm]

    return run


if __name__ == "__main__":
    main()
