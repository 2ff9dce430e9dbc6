"""Predicts the test cases of a run, the only ones that nothing was chosen by, and writes what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from benchbench.engine.cost.timing import CaseClock
from benchbench.engine.inference.class_totals import ClassTotals
from benchbench.engine.inference.predict import Ensemble, Predictor, count_case
from benchbench.engine.inference.preview import draw_preview
from benchbench.engine.preparation.prepare import PreparedCase
from benchbench.images.arrays import Integers
from benchbench.metrics.masks import unpack
from benchbench.metrics.scores import Counts, overlap
from benchbench.run.assignment import Assignment
from benchbench.run.gallery_pictures import picture_rows
from benchbench.run.predictions import distances, even_table, pack_case
from benchbench.spec.inference import Postprocess


def score_test_cases(
    assignment: Assignment,
    predictor: Predictor | Ensemble,
    postprocess: Postprocess | None,
    *,
    clock: CaseClock,
) -> dict[str, float]:
    """Writes counts by case and by slice, the distances that are asked for, the masks, and pictures.

    The clock times every prediction. Returns the scores of classes, where the prediction is of classes; a record
    keeps them.
    """
    counts, far, packed = {}, {}, {}
    shown: list[dict[str, Any]] = []
    classes = ClassTotals(assignment.regions) if assignment.protocol.activation == "softmax" else None
    for prepared in assignment.test:
        with clock.case():
            probabilities = predictor.probabilities(prepared)
            masks = predictor.masks(prepared, probabilities, regions=assignment.regions, postprocess=postprocess)
        if classes:
            classes.add(prepared, probabilities, masks)
        counts[prepared] = count_case(prepared, masks)  # (S, K, 4)
        far[prepared] = distances(prepared, masks, assignment.protocol.metrics)
        packed[prepared] = pack_case(prepared, assignment.regions, masks)
        shown += picture_rows(prepared, assignment.regions, assignment.colours)
    assignment.folder.write_table("slices.parquet", count_table(assignment, counts, {}, by_slice=True))
    assignment.folder.write_table("cases.parquet", count_table(assignment, counts, far))
    kept = [row for rows in packed.values() for row in rows]
    assignment.folder.write_table("predictions.parquet", pa.Table.from_pylist(kept))
    assignment.folder.write_table("pictures.parquet", pa.Table.from_pylist(shown))
    _draw_previews(assignment, counts, packed)
    return classes.scores() if classes else {}


def _draw_previews(
    assignment: Assignment,
    counts: Mapping[PreparedCase, Integers],
    packed: Mapping[PreparedCase, Sequence[Mapping[str, Any]]],
) -> None:
    """Pictures of the best, the median and the worst case by Dice."""

    def dice(prepared: PreparedCase) -> tuple[float, str]:
        totals = counts[prepared].sum(0)  # (K, 4)
        return float(overlap("dice", Counts(*totals.T)).mean()), prepared.case.id

    ranked = sorted(counts, key=dice)
    for name, prepared in (("worst", ranked[0]), ("median", ranked[len(ranked) // 2]), ("best", ranked[-1])):
        masks = np.stack([unpack(row) for row in packed[prepared]], axis=1)
        assignment.folder.write(f"previews/{name}.png", draw_preview(prepared, masks))


def count_table(
    assignment: Assignment,
    counts: Mapping[PreparedCase, Integers],
    distances: Mapping[PreparedCase, Sequence[Mapping[str, float]]],
    *,
    by_slice: bool = False,
) -> pa.Table:
    """Counts (S, K, 4) of each case, and distances of its regions, as rows by case, or slice, and region."""
    rows: list[dict[str, Any]] = []
    for prepared, stack in counts.items():
        named = {**assignment.key._asdict(), "case": prepared.case.id, "patient": prepared.case.patient}
        far = distances.get(prepared, [{}] * len(assignment.regions))
        volumes = enumerate(stack) if by_slice else [(0, stack.sum(0))]
        for number, volume in volumes:
            place = {**named, "slice": number} if by_slice else named
            rows += [
                {
                    **place,
                    "region": region,
                    **dict(zip(("tp", "fp", "fn", "tn"), line.tolist(), strict=True)),
                    **more,
                }
                for region, line, more in zip(assignment.regions, volume, far, strict=True)
            ]
    return even_table(rows)
