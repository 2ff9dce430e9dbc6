"""Scores predicted cases; where a GPU predicts, threads score them while it predicts the next ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import NamedTuple

import torch

from benchbench.engine.inference.predict import count_case
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import Integers, Mask
from benchbench.images.planes import Plane
from benchbench.run.assignment import Assignment
from benchbench.run.count_tables import Pair
from benchbench.run.gallery_pictures import further_rows, picture_rows
from benchbench.run.predictions import Distances, Row, measure_distances, pack_case
from benchbench.run.readers import count_readers
from benchbench.threads import case_threads

_MOST_THREADS = 4  # every case that is scored or waits takes the memory of its masks

Prediction = tuple[PreparedCase, Mask]
"""A case and its masks (S, K, H, W)."""


class CaseScores(NamedTuple):
    """Everything that the tables of a run have about a case."""

    counts: Integers
    """tp, fp, fn, tn of each slice and region (S, K, 4)."""
    distances: Distances
    readers: dict[Pair, Integers]
    packed: list[Row]
    pictures: list[Row]
    further: list[Row]
    """Pictures of further slices."""


def score_cases(
    assignment: Assignment, predictions: Iterable[Prediction]
) -> Iterator[tuple[PreparedCase, CaseScores]]:
    """Yield the scores of predicted cases, in their order."""
    threads = _free_threads(assignment)
    if not threads:
        for prepared, masks in predictions:
            yield prepared, score_case(assignment, prepared, masks)
        return
    waiting: deque[tuple[PreparedCase, Future[CaseScores]]] = deque()
    with case_threads(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for prepared, masks in predictions:
            waiting.append((prepared, pool.submit(score_case, assignment, prepared, masks)))
            if len(waiting) > threads:
                scored, future = waiting.popleft()
                yield scored, future.result()
        for scored, future in waiting:
            yield scored, future.result()


def score_case(assignment: Assignment, prepared: PreparedCase, masks: Mask) -> CaseScores:
    """Return the scores of a case for its masks (S, K, H, W)."""
    regions, colours = assignment.regions, assignment.colours
    pictures = list(picture_rows(prepared, regions, colours))
    return CaseScores(
        counts=count_case(prepared, masks),
        distances=measure_distances(prepared, masks, assignment.protocol.metrics),
        readers=count_readers(prepared, masks),
        packed=pack_case(prepared, regions, masks),
        pictures=pictures,
        further=list(further_rows(prepared, Plane.of(pictures[0]), regions, colours)),
    )


def _free_threads(assignment: Assignment) -> int:
    """Return the number of threads that score while the device predicts: none on a CPU, which predicts itself."""
    if torch.device(assignment.device).type == "cpu":
        return 0
    return min(_MOST_THREADS, max(1, assignment.threads - 1))
