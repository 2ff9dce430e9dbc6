"""Prediction of images in memory or in files with the trained networks of a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchbench.contract import Case
from benchbench.engine.devices.device import resolve_devices
from benchbench.errors import UsageError
from benchbench.images.arrays import Floats
from benchbench.prediction.in_memory import CasePrediction, predict_case
from benchbench.prediction.inputs import ImageCase, find_images
from benchbench.prediction.predict import check_image
from benchbench.prediction.runs import FinishedRun, Row, choose_runs
from benchbench.prediction.trained import Trained, open_trained
from benchbench.registry.registry import discover

Numbers = str | int | Sequence[int] | None
"""Folds or seeds: a number, several, "all", or None for the first that is done."""


def predictor(
    row: str | Path,
    *,
    results: str | Path = "results",
    dataset: str | None = None,
    folds: Numbers = None,
    seeds: Numbers = None,
    device: str = "auto",
) -> RowPredictor:
    """Return the networks of a row, which predict together: the folder of a run, or `model` or `model:variant`.

    A model is one of the results folder `results`. Several folds or seeds predict with their mean.

    Raises:
        UsageError: there is no such row, or no run of it is done.
        PluginError: the installed plugins do not fit the recorded run.
    """
    choice = Row(results=Path(results), dataset=dataset, folds=_text(folds), seeds=_text(seeds))
    runs = choose_runs(str(row), choice)
    trained = open_trained(runs, discover(), torch.device(resolve_devices(device)[0]))
    return RowPredictor(runs, trained)


def _text(numbers: Numbers) -> str | None:
    if numbers is None or isinstance(numbers, str):
        return numbers
    return ",".join(map(str, [numbers] if isinstance(numbers, int) else numbers))


class _Input(NamedTuple):
    name: str
    case: Case
    place: str
    """The file, or the argument."""


class RowPredictor:
    """The trained networks of one row, prepared and post-processed as in its runs."""

    def __init__(self, runs: Sequence[FinishedRun], trained: Trained) -> None:
        self._runs = runs
        self._trained = trained
        self.channels: tuple[str, ...] = trained.task.channels
        self.regions: dict[str, tuple[int, ...]] = dict(trained.task.regions)
        self.remarks: tuple[str, ...] = trained.remarks

    def __repr__(self) -> str:
        key = self._runs[0].record.key
        trainings = ", ".join(f"fold {run.record.fold} seed {run.record.seed}" for run in self._runs)
        return f"<RowPredictor {key.dataset}/{key.model}/{key.variant}: {trainings}>"

    def __call__(
        self,
        image: NDArray[Any] | str | Path | Sequence[str | Path],
        *,
        spacing_mm: Sequence[float] | None = None,
        affine: Floats | None = None,
    ) -> NDArray[np.uint8]:
        """Return the label values (*space) of an image, on its own grid.

        The image is an array (C, *space), (*space) if it has one channel, a file, or a file for each channel. An
        array has no voxel size unless `spacing_mm`, along each axis, or the `affine` to world coordinates in mm is
        given.

        Raises:
            DataError: the image has other channels or too few axes, or a file cannot be read.
        """
        return self.predict(image, spacing_mm=spacing_mm, affine=affine).labels

    def predict(
        self,
        image: NDArray[Any] | str | Path | Sequence[str | Path],
        *,
        spacing_mm: Sequence[float] | None = None,
        affine: Floats | None = None,
    ) -> CasePrediction:
        """Return labels, the probabilities of each region, and remarks on unusual images.

        Raises:
            DataError: as for a call.
        """
        if isinstance(image, np.ndarray):
            given = _Input("image", self._case(image, spacing_mm, affine), "image")
        else:
            if spacing_mm is not None or affine is not None:
                raise UsageError("spacing_mm and affine: found a file, which has its own; leave both out")
            files = [image] if isinstance(image, (str, Path)) else list(image)
            chosen = self._one_case([Path(file) for file in files])
            given = _Input(chosen.id, chosen.load(), str(chosen.files[0]))
        check_image(given.case, self._trained, given.name, place=given.place)
        return predict_case(given.name, given.case, self._trained)

    def _case(self, image: NDArray[Any], spacing_mm: Sequence[float] | None, affine: Floats | None) -> Case:
        channels = len(self.channels)
        has_no_channels = channels == 1 and image.shape[:1] != (1,)
        array = image[None] if has_no_channels else image
        matrix = None if affine is None else np.asarray(affine, dtype=np.float64)
        sizes = None if spacing_mm is None else tuple(map(float, spacing_mm))
        if sizes is None and matrix is not None:
            sizes = tuple(np.linalg.norm(matrix[:3, :3], axis=0).tolist())
        label = np.zeros(array.shape[1:], np.uint8)
        return Case(image=array, label=label, affine=matrix, spacing_mm=sizes)

    def _one_case(self, files: Sequence[Path]) -> ImageCase:
        """Return the image that the files have.

        Raises:
            BenchbenchError: there is none, or there are several.
        """
        selection = find_images(files, self._trained)
        if selection.errors:
            raise selection.errors[0]
        if len(selection.cases) != 1:
            names = ", ".join(case.id for case in selection.cases) or "none"
            raise UsageError(
                f"{files[0]}: found images {names}, expected the files of one; predict them one by one"
            )
        return selection.cases[0]
