"""Runs a bundle as MONAI runs it, and compares its prediction with that of the run."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchbench.engine.inference.window import window_spans
from benchbench.prediction.bundles.example import Example
from benchbench.prediction.bundles.inference_config import is_one_input
from benchbench.prediction.in_memory import predict_case
from benchbench.prediction.trained import Trained
from benchbench.spec.protocol import Protocol


@dataclass(frozen=True, kw_only=True)
class BundlePrediction:
    """The prediction of an image by a bundle, with the axes of MONAI."""

    probabilities: NDArray[Any]
    """(K, *space)"""
    labels: NDArray[Any]
    """(*space) label values."""
    prepared_size: tuple[int, ...]
    """Size of the image after its preparation."""


@dataclass(frozen=True, kw_only=True)
class Differences:
    """The differences between the predictions of an image by a bundle and by its run."""

    largest: float
    """Largest difference of a probability."""
    mean: float
    """Mean difference of the probabilities."""
    equal: float
    """Share of the voxels that have the same label."""
    has_same_windows: bool
    """False if MONAI, whose windows have a fixed distance, places those of the image elsewhere."""


def predict_by_bundle(folder: Path, example: Example) -> BundlePrediction:
    """Return the prediction of an image by the bundle in a folder, computed as MONAI computes it."""
    from monai.bundle import ConfigParser  # noqa: PLC0415 takes seconds

    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "inference.json"))
    parser["bundle_root"] = str(folder)
    parser["device"] = torch.device("cpu")
    files = [str(path) for path in example.files]
    items = parser.get_parsed_content("preprocessing")({"image": files[0] if len(files) == 1 else files})
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        network, inferer = parser.get_parsed_content("network"), parser.get_parsed_content("inferer")
        items["pred"] = inferer(items["image"][None], network)[0]
        restored = parser.get_parsed_content("restoring")(items)
        decided = parser.get_parsed_content("deciding")(restored)
    return BundlePrediction(
        probabilities=restored["pred"].numpy(),
        labels=decided["pred"].numpy()[0],
        prepared_size=tuple(items["image"].shape[1:]),
    )


def compare_bundle(folder: Path, example: Example, trained: Trained) -> Differences:
    """Return the differences between the prediction of a bundle and that of its run."""
    given = predict_by_bundle(folder, example)
    probabilities, labels = given.probabilities, given.labels
    if trained.protocol.ndim == 2:  # MONAI has pictures as (width, height)
        probabilities, labels = probabilities.swapaxes(-1, -2), labels.swapaxes(-1, -2)
    expected = predict_case("image", example.case, trained)
    of_run = np.stack(list(expected.probabilities.values()))
    differences = np.abs(probabilities.reshape(of_run.shape) - of_run)
    return Differences(
        largest=float(differences.max()),
        mean=float(differences.mean()),
        equal=float((labels.reshape(expected.labels.shape) == expected.labels).mean()),
        has_same_windows=has_same_windows(given.prepared_size, trained.protocol),
    )


def has_same_windows(size: tuple[int, ...], protocol: Protocol) -> bool:
    """Return True if MONAI places the windows of an image of this size where benchbench does."""
    if is_one_input(protocol):
        return True
    overlap = protocol.inference.overlap
    for length, width in zip(size, protocol.patch, strict=True):
        starts = [span.start for span in window_spans(max(length, width), width, overlap=overlap)]
        if starts != _starts_of_monai(max(length, width), width, overlap=overlap):
            return False
    return True


def _starts_of_monai(length: int, width: int, *, overlap: float) -> list[int]:
    interval = max(1, int(width * (1 - overlap)))
    windows = math.ceil((length - width) / interval) + 1
    return [min(number * interval, length - width) for number in range(windows)]
