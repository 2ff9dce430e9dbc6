"""Times HD95 and NSD of a volume of three classes against MONAI and surface-distance, on the same CPU threads.

    python benchmarks/speed/distances_3d.py --threads 1

Each contender starts from two label maps of 240 x 240 x 155 voxels of 1 mm, made up: nested rough blobs and a
small false alarm far away. Each line shows what it found, class by class. HD95 is the larger of the two directed
percentiles everywhere; NSD is weighted by area or counts voxels, as the line says. Contenders take turns, after
one round that is not counted. MONAI and surface-distance (`surface-distance-based-measures`) are left out where
they are not installed.
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
    warnings.filterwarnings("ignore")  # the peers' own, of their age
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
    report(race(contenders, rounds=options.rounds, check=show), units=1, unit="volume")


def synthesise(seed: int, *, centre: tuple[int, int, int], radii: tuple[int, int, int]) -> Labels:
    """Nested rough blobs: label 2 outside, then 1, then 3."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 1, *(length // 10 for length in SHAPE), generator=generator)
    rough = functional.interpolate(coarse, size=SHAPE, mode="trilinear", align_corners=False)[0, 0].numpy()
    axes = np.ogrid[tuple(slice(length) for length in SHAPE)]
    away = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(axes, centre, strict=True))) * (1 + 0.18 * rough)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for radius, label in zip(radii, (2, 1, 3), strict=True):
        labels[away < radius] = label
    return labels


def masks(reference: Labels, prediction: Labels) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    return ((reference == number, prediction == number) for number in CLASSES)


def ours(reference: Labels, prediction: Labels, metrics: list[str]) -> Contender:
    def run() -> list[float]:
        lines = [score(*pair, metrics=metrics, spacing_mm=(1, 1, 1)) for pair in masks(reference, prediction)]
        return [line[name] for name in metrics for line in lines]

    return run


def monai(reference: Labels, prediction: Labels) -> dict[str, Contender]:
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice  # noqa: PLC0415

    def run(*, by_area: bool) -> list[float]:
        pair = [
            torch.from_numpy(np.stack([labels == number for number in (0, *CLASSES)])[None])
            for labels in (prediction, reference)
        ]
        far = compute_hausdorff_distance(*pair, include_background=False, percentile=95)
        near = compute_surface_dice(
            *pair, [TOLERANCE_MM] * len(CLASSES), include_background=False, use_subvoxels=by_area
        )
        return [*far[0].tolist(), *near[0].tolist()]

    return {"MONAI (voxels)": lambda: run(by_area=False), "MONAI (area)": lambda: run(by_area=True)}


def surface_distance(reference: Labels, prediction: Labels) -> dict[str, Contender]:
    import surface_distance as peer  # noqa: PLC0415

    def run() -> list[float]:
        found = [peer.compute_surface_distances(*pair, (1, 1, 1)) for pair in masks(reference, prediction)]
        far = [peer.compute_robust_hausdorff(each, 95) for each in found]
        near = [peer.compute_surface_dice_at_tolerance(each, TOLERANCE_MM) for each in found]
        return [float(value) for value in (*far, *near)]

    return {"surface-distance (HD95 and NSD by area)": run}


def show(name: str, found: list[float]) -> None:
    print(f"{name}: {' '.join(f'{value:.3f}' for value in found)}")


if __name__ == "__main__":
    main()
