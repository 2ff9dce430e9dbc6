"""Predicts images one after the other; a fault of one does not stop the others."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from benchbench.contract import Case, CaseRef
from benchbench.data.atomic import write_atomic
from benchbench.data.case_checks import check_case
from benchbench.engine.inference.export import case_labels
from benchbench.engine.inference.predict import Ensemble
from benchbench.engine.inference.preview import draw_prediction
from benchbench.engine.preparation.image_facts import difference_remarks
from benchbench.engine.preparation.prepare import write_prepared
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.errors import BenchbenchError, DataError, StorageError, UsageError
from benchbench.images.arrays import Mask
from benchbench.images.label_files import Labels
from benchbench.metrics.class_scores import BACKGROUND
from benchbench.prediction.inputs import ImageCase, find_images
from benchbench.prediction.label_output import Output, existing_files, write_labels, write_probabilities
from benchbench.prediction.trained import Trained
from benchbench.words import count

_MOST_NAMES = 3


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of one case."""

    case: ImageCase
    files: tuple[Path, ...] = ()
    """The label files that were written."""
    remarks: tuple[str, ...] = ()
    """Lines about the image that a user should read."""
    error: BenchbenchError | None = None
    """Why no label was written."""


def predict_images(cases: Sequence[ImageCase], trained: Trained, output: Output) -> Iterator[Outcome]:
    """Predict each case, write its files, and yield its outcome.

    Raises:
        StorageError: a file cannot be written, so that the other cases would fail too.
    """
    for case in cases:
        try:
            yield _predict(case, trained, output)
        except StorageError:
            raise
        except BenchbenchError as error:
            yield Outcome(case=case, error=error)
        except torch.OutOfMemoryError:
            problem = f"{case.id}: the device has too little memory for this image; use --device cpu"
            yield Outcome(case=case, error=BenchbenchError(problem))


def _predict(case: ImageCase, trained: Trained, output: Output) -> Outcome:
    loaded = _load(case, trained)
    paths = output.label_paths(case, loaded.label.shape)
    planned = [*paths, *output.other_paths(case)]
    present = existing_files(planned, case, output.existing)
    if output.existing == "skip" and len(present) == len(planned):
        return Outcome(case=case, remarks=("its files exist, so it is skipped",))
    with tempfile.TemporaryDirectory(prefix="benchbench-") as scratch:
        prepared, probabilities = mean_probabilities(case.id, loaded, trained, Path(scratch))
        labels = _labels(case, prepared, probabilities, trained, output)
        remarks = (*difference_remarks(prepared, trained.image_facts, trained.protocol), *prepared.remarks)
    labels = labels.reshape(loaded.label.shape)  # an image of two axes was one slice
    write_labels(paths, case, labels, affine=loaded.affine)
    return Outcome(case=case, files=tuple(paths), remarks=remarks)


def _load(case: ImageCase, trained: Trained) -> Case:
    """Read and check an image.

    Raises:
        DataError: it cannot be read, has other channels, or has values that are no numbers.
    """
    loaded = case.load()
    check_image(loaded, trained, case.id, place=str(case.files[0]))
    return loaded


def check_image(loaded: Case, trained: Trained, name: str, *, place: str) -> None:
    """Check that the networks can predict an image.

    Raises:
        DataError: the image has other channels, values that are no numbers, or too few axes.
    """
    problems = check_case(loaded, trained.task, name)
    if problems:
        raise DataError(*problems)
    if loaded.label.ndim < trained.protocol.ndim:
        raise DataError(
            f"{place}: found an image of shape {loaded.label.shape}, expected a volume: the network was"
            " trained on volumes; give all slices as one"
        )


def load_one_image(paths: Sequence[Path], trained: Trained) -> tuple[ImageCase, Case]:
    """Return the one image in some files, and its values.

    Raises:
        BenchbenchError: the files are not those of one image that the networks can predict.
    """
    selection = find_images(paths, trained)
    if selection.errors:
        raise selection.errors[0]
    if len(selection.cases) != 1:
        raise UsageError(f"--image: found {len(selection.cases)} images, expected one; give the files of one")
    (chosen,) = selection.cases
    case = chosen.load()
    check_image(case, trained, chosen.id, place=str(chosen.files[0]))
    return chosen, case


def mean_probabilities(name: str, loaded: Case, trained: Trained, scratch: Path) -> tuple[PreparedCase, Tensor]:
    """Return the prepared image and the mean probabilities (K, *cropped) of all networks.

    Networks whose folds have other voxel sizes or intensities get the image prepared by these.
    """
    total: Tensor | None = None
    n_networks = 0
    for number, (statistics, predictor) in enumerate(trained.predictors.items()):
        folder = scratch / f"case{number}"
        write_prepared(loaded, trained.task, trained.protocol, folder, statistics=statistics)
        prepared = PreparedCase(CaseRef(name, name), folder)
        probabilities = predictor.probabilities(prepared)
        if len(trained.predictors) == 1:
            return prepared, probabilities
        weight = len(predictor.members) if isinstance(predictor, Ensemble) else 1
        total = probabilities * weight if total is None else total + probabilities * weight
        n_networks += weight
    assert total is not None, "a row has a network"
    return prepared, total / n_networks


def _labels(
    case: ImageCase, prepared: PreparedCase, probabilities: Tensor, trained: Trained, output: Output
) -> Labels:
    """Return the labels in the axes of the case, after the other files of the case are written."""
    masks = masks_of(prepared, probabilities, trained)
    labels = case_labels(prepared, masks, trained.task.regions)
    if output.pictures:
        write_atomic(output.picture_path(case), draw_prediction(prepared, masks))
    if output.probabilities:
        write_probabilities(
            output.probability_path(case), probabilities_by_region(prepared, probabilities, trained)
        )
    return labels


def masks_of(prepared: PreparedCase, probabilities: Tensor, trained: Trained) -> Mask:
    """Return the masks (S, K, H, W) of the regions, post-processed as the run was."""
    predictor = next(iter(trained.predictors.values()))  # all make masks by the same protocol
    regions = tuple(trained.task.regions)
    return predictor.masks(prepared, probabilities, regions=regions, postprocess=trained.postprocess)


def probabilities_by_region(
    prepared: PreparedCase, probabilities: Tensor, trained: Trained
) -> dict[str, NDArray[Any]]:
    """Return the probabilities of each region on the grid of the case; 0 outside of the cropped part."""
    names = list(trained.task.regions)
    if trained.protocol.activation == "softmax":
        names = [BACKGROUND, *names]
    whole = prepared.frame.restore(prepared.frame.paste(probabilities.cpu().numpy()))
    return dict(zip(names, whole, strict=True))


def known_case_remark(cases: Sequence[ImageCase], trained: Trained) -> str:
    """Return a line if the runs used some of the cases for training; '' where there are none."""
    known = [case.id for case in cases if case.is_of_dataset and case.id in trained.part_of_case]
    if not known:
        return ""
    listed = ", ".join(f"{name} ({trained.part_of_case[name]})" for name in known[:_MOST_NAMES])
    if len(known) > _MOST_NAMES:
        listed += " and others"
    return (
        f"{len(known)} of {count(len(cases), 'image')} took part in training, so a score of them is not one of"
        f" test cases: {listed}"
    )
