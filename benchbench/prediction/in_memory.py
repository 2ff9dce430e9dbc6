"""Prediction of one image in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchbench.contract import Case
from benchbench.engine.inference.export import case_labels
from benchbench.engine.preparation.image_facts import difference_remarks
from benchbench.prediction.predict import masks_of, mean_probabilities, probabilities_by_region
from benchbench.prediction.trained import Trained


@dataclass(frozen=True, kw_only=True)
class CasePrediction:
    """The prediction of one image, on its own grid."""

    labels: NDArray[np.uint8]
    """(*space) label values."""
    probabilities: Mapping[str, NDArray[Any]]
    """Region, or class of a softmax -> float32 (*space); 0 outside of the part that the network sees."""
    remarks: tuple[str, ...]
    """Lines about the image that a user should read."""


def predict_case(name: str, case: Case, trained: Trained) -> CasePrediction:
    """Predict an image that was checked; its label is not used."""
    space = case.label.shape
    with tempfile.TemporaryDirectory(prefix="benchbench-") as scratch:
        prepared, mean = mean_probabilities(name, case, trained, Path(scratch))
        masks = masks_of(prepared, mean, trained)
        labels = case_labels(prepared, masks, trained.task.regions)
        by_region = probabilities_by_region(prepared, mean, trained)
        remarks = (*difference_remarks(prepared, trained.image_facts, trained.protocol), *prepared.remarks)
    return CasePrediction(
        labels=labels.reshape(space),  # an image of two axes was one slice
        probabilities={region: values.reshape(space) for region, values in by_region.items()},
        remarks=remarks,
    )
