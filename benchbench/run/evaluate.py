"""Predicts and scores the test cases of a run, and writes counts, masks and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchbench.engine.cost.timing import CaseClock
from benchbench.engine.inference.class_totals import ClassTotals
from benchbench.engine.inference.predict import Ensemble, Predictor
from benchbench.engine.inference.preview import draw_preview
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import Integers
from benchbench.metrics.masks import unpack
from benchbench.metrics.scores import Counts, overlap
from benchbench.records.metadata import METADATA_NAME, write_metadata
from benchbench.records.run_folder import RunFolder
from benchbench.records.split import SPLIT_NAME, CountedCase, write_split
from benchbench.run.assignment import Assignment
from benchbench.run.case_scores import Prediction, score_cases
from benchbench.run.count_tables import Pair, case_table, reader_table, slice_table
from benchbench.run.predictions import Distances, Row
from benchbench.run.resampling_bound import write_resampling_bound
from benchbench.spec.inference import Postprocess

READERS_NAME = "readers.parquet"
PLANES_NAME = "planes.parquet"
SCORED_FILES = (
    *("cases.parquet", "slices.parquet", "predictions.parquet", "pictures.parquet", "ceiling.parquet"),
    PLANES_NAME,
    READERS_NAME,
    SPLIT_NAME,
    METADATA_NAME,
)
"""Files from which tables and pages are made."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The results of predicting the test cases that a record keeps."""

    class_scores: Mapping[str, float]
    """Scores of classes if the network predicts classes; otherwise empty."""
    postprocess: Postprocess | None
    """The post-processing, with thresholds and sizes that were searched for."""
    clock: CaseClock
    """The duration of every prediction."""

    def dump_postprocess(self) -> dict[str, Any] | None:
        if self.postprocess is None:
            return None
        return self.postprocess.model_dump(mode="json")


def evaluate(
    assignment: Assignment,
    predictor: Predictor | Ensemble,
    device: torch.device,
    postprocess: Postprocess | None,
) -> Evaluation:
    """Predict and score the test cases, and write their tables, pictures and metadata, and all splits."""
    clock = CaseClock(device)
    classes = ClassTotals(assignment.regions) if assignment.protocol.activation == "softmax" else None
    write_scores(assignment, _predictions(assignment, predictor, postprocess, clock, classes))
    write_resampling_bound(assignment)
    write_split_of(assignment)
    class_scores = classes.scores() if classes else {}
    return Evaluation(class_scores=class_scores, postprocess=postprocess, clock=clock)


def write_split_of(assignment: Assignment) -> None:
    """Write the split of all cases of a run, and the metadata of the tested patients."""
    write_split(
        assignment.folder,
        assignment.key.fold,
        {
            "train": list(map(_counted, assignment.train)),
            "validation": list(map(_counted, assignment.validation)),
            "test": list(map(_counted, assignment.test)),
        },
    )
    write_metadata(assignment.folder, assignment.metadata)


def _counted(prepared: PreparedCase) -> CountedCase:
    # the first axis of a frame is across the slices
    return CountedCase(prepared.case, prepared.frame.shape[0])


def _predictions(
    assignment: Assignment,
    predictor: Predictor | Ensemble,
    postprocess: Postprocess | None,
    clock: CaseClock,
    classes: ClassTotals | None,
) -> Iterator[Prediction]:
    """Yield each test case with its predicted masks (S, K, H, W), and add its classes to `classes`."""
    regions = assignment.regions
    for prepared in assignment.test:
        with clock.case():
            probabilities = predictor.probabilities(prepared)
            masks = predictor.masks(prepared, probabilities, regions=regions, postprocess=postprocess)
        if classes:
            classes.add(prepared, probabilities, masks)
        yield prepared, masks


def write_scores(assignment: Assignment, predictions: Iterable[Prediction]) -> None:
    """Write the tables and pictures of predicted cases, whose masks are (S, K, H, W)."""
    folder = assignment.folder
    counts: dict[PreparedCase, Integers] = {}
    distances: dict[PreparedCase, Distances] = {}
    readers: dict[PreparedCase, dict[Pair, Integers]] = {}
    packed: dict[PreparedCase, list[Row]] = {}
    pictures: list[Row] = []
    further: list[Row] = []
    for prepared, scored in score_cases(assignment, predictions):
        counts[prepared] = scored.counts
        distances[prepared] = scored.distances
        if scored.readers:
            readers[prepared] = scored.readers
        packed[prepared] = scored.packed
        pictures += scored.pictures
        further += scored.further
    folder.write_table("slices.parquet", slice_table(assignment, counts))
    folder.write_table("cases.parquet", case_table(assignment, counts, distances))
    if readers:
        folder.write_table(READERS_NAME, reader_table(assignment, readers))
    all_masks = [row for rows in packed.values() for row in rows]
    folder.write_table("predictions.parquet", pa.Table.from_pylist(all_masks))
    folder.write_table("pictures.parquet", pa.Table.from_pylist(pictures))
    if further:  # cases of one slice have none
        folder.write_table(PLANES_NAME, pa.Table.from_pylist(further))
    _draw_previews(folder, counts, packed)


def _draw_previews(
    folder: RunFolder, counts: Mapping[PreparedCase, Integers], packed: Mapping[PreparedCase, list[Row]]
) -> None:
    """Draw the best, the median and the worst case by Dice."""

    def mean_dice(prepared: PreparedCase) -> tuple[float, str]:
        totals = counts[prepared].sum(0)  # (K, 4)
        totals = totals[prepared.labelled(len(totals))]
        dice = overlap("dice", Counts(*totals.T))
        return float(dice.mean()), prepared.case.id

    ranked = sorted(counts, key=mean_dice)
    median = ranked[len(ranked) // 2]
    selected = {"worst": ranked[0], "median": median, "best": ranked[-1]}
    for name, prepared in selected.items():
        masks = np.stack([unpack(row) for row in packed[prepared]], axis=1)
        picture = draw_preview(prepared, masks)
        folder.write(f"previews/{name}.png", picture)
