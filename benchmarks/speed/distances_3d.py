"""Times HD95 and NSD of a volume of three classes against MONAI and surface-distance, on the same CPU threads.

    python benchmarks/speed/distances_3d.py --threads 1

Each contender starts from two synthetic label maps of 240 x 240 x 155 voxels of 1 mm: nested rough blobs, and a
small false positive far away. Its scores are printed class by class. HD95 is always the larger of the two
directed percentiles; NSD is weighted by area or counts voxels, as the line says. Contenders take turns; the
first round is not counted. MONAI and surface-distance (`surface-distance-based-measures`) are left out if they
are not installed.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from race import race, report
from torch.nn import functional

from benchbench.metrics.scores import score

SHAPE, CLASSES, TOLERANCE_MM = (240, 240, 155), (1, 2, 3), 1.0

Labels = NDArray[np.uint8]
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
    prediction[60:66, 170:176, 60:66] = 2
    contenders = {
        "benchbench: hd95, nsd@1 (area)": ours(reference, prediction, ["hd95", "nsd@1"]),
        "benchbench: hd95, nsd_voxel@1": ours(reference, prediction, ["hd95", "nsd_voxel@1"]),
        "benchbench: hd95_surfel, nsd@1 (area)": ours(reference, prediction, ["hd95_surfel", "nsd@1"]),
    }
    for prepare in (monai, surface_distance):
        try:
            contenders |= prepare(reference, prediction)
        except ImportError as error:
            print(f"{error.name} is not installed: left out")
    print("HD95 and NSD of each class")
    report(race(contenders, rounds=options.rounds, check=print_scores), units=1, unit="volume")


def synthesise(seed: int, *, centre: tuple[int, int, int], radii: tuple[int, int, int]) -> Labels:
    """Return nested rough blobs: label 2 is the outermost, then 1, then 3."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 1, *(length // 10 for length in SHAPE), generator=generator)
    rough = functional.interpolate(coarse, size=SHAPE, mode="trilinear", align_corners=False)[0, 0].numpy()
    axes = np.ogrid[tuple(slice(length) for length in SHAPE)]
    squares = [(axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True)]
    distances = np.sqrt(sum(squares)) * (1 + 0.18 * rough)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for radius, label in zip(radii, (2, 1, 3), strict=True):
        labels[distances < radius] = label
    return labels


def masks(reference: Labels, prediction: Labels) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield the reference and the prediction of each class."""
    for number in CLASSES:
        yield reference == number, prediction == number


def ours(reference: Labels, prediction: Labels, metrics: list[str]) -> Contender:
    def run() -> list[float]:
        scores = [score(*pair, metrics=metrics, spacing_mm=(1, 1, 1)) for pair in masks(reference, prediction)]
        return [of_class[name] for name in metrics for of_class in scores]

    return run


def one_hot(labels: Labels) -> torch.Tensor:
    """Return masks (1, 1 + classes, *space), background first."""
    channels = [labels == number for number in (0, *CLASSES)]
    return torch.from_numpy(np.stack(channels)[None])


def monai(reference: Labels, prediction: Labels) -> dict[str, Contender]:
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice  # noqa: PLC0415

    def run(*, by_area: bool) -> list[float]:
        pair = one_hot(prediction), one_hot(reference)
        tolerances = [TOLERANCE_MM] * len(CLASSES)
        hd95 = compute_hausdorff_distance(*pair, include_background=False, percentile=95)
        nsd = compute_surface_dice(*pair, tolerances, include_background=False, use_subvoxels=by_area)
        return [*hd95[0].tolist(), *nsd[0].tolist()]

    return {"MONAI (voxels)": lambda: run(by_area=False), "MONAI (area)": lambda: run(by_area=True)}


def surface_distance(reference: Labels, prediction: Labels) -> dict[str, Contender]:
    import surface_distance as peer  # noqa: PLC0415

    def run() -> list[float]:
        distances = [peer.compute_surface_distances(*pair, (1, 1, 1)) for pair in masks(reference, prediction)]
        hd95 = [float(peer.compute_robust_hausdorff(of_class, 95)) for of_class in distances]
        nsd = [float(peer.compute_surface_dice_at_tolerance(of_class, TOLERANCE_MM)) for of_class in distances]
        return hd95 + nsd

    return {"surface-distance (HD95 and NSD by area)": run}


def print_scores(name: str, scores: list[float]) -> None:
    numbers = [f"{score:.3f}" for score in scores]
    print(f"{name}: {' '.join(numbers)}")


if __name__ == "__main__":
    main()
