"""Adds the results of predicting the test cases to the record of a trained network or an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from benchbench.contract import Geometry
from benchbench.engine.inference.predict import Ensemble, Predictor
from benchbench.records.record import Record
from benchbench.records.run_folder import CANDIDATES_NAME
from benchbench.records.weights import trial_weights, weight_files
from benchbench.run.assignment import Assignment
from benchbench.run.environment import provenance_of
from benchbench.run.evaluate import SCORED_FILES, evaluate
from benchbench.run.run_cost import prediction_cost
from benchbench.run.threshold_search import search_on_own_fold, write_own_candidates
from benchbench.spec.inference import Postprocess

_OF_STEPS = ("compiled", "memory_layout")
"""The keys of the provenance that describe the training steps."""


def score_or_wait(
    record: Record,
    assignment: Assignment,
    predictor: Predictor | Ensemble,
    counted: Sequence[Mapping[str, Any]],
    *,
    built: Geometry,
) -> Record:
    """Return the record with the scores of the test cases; it waits if other folds choose thresholds as well.

    `counted` holds the `NetworkCost` of each network.
    """
    if not assignment.siblings or record.status != "done":
        rules = search_on_own_fold(assignment, predictor)
        return add_scores(record, assignment, predictor, counted, built=built, rules=rules)
    write_own_candidates(assignment, predictor)
    provenance = _with_steps(record, provenance_of(assignment))
    return replace(record, status="waiting", provenance=provenance, files=_digests(assignment))


def add_scores(
    record: Record,
    assignment: Assignment,
    predictor: Predictor | Ensemble,
    counted: Sequence[Mapping[str, Any]],
    *,
    built: Geometry,
    rules: Postprocess | None,
) -> Record:
    """Return the record with the scores and costs of predicting the test cases by these rules."""
    device = torch.device(assignment.device)
    evaluation = evaluate(assignment, predictor, device, rules)
    provenance = provenance_of(assignment)  # with the memory of predicting, but not that of measuring the cost
    predictors = predictor.members if isinstance(predictor, Ensemble) else [predictor]
    cost = prediction_cost(assignment, predictors, counted, channels=built.in_channels, clock=evaluation.clock)
    return replace(
        record,
        provenance={
            **_with_steps(record, provenance),
            "peak_memory_bytes": _larger(record.provenance, provenance),
        },
        shown={**record.shown, **evaluation.class_scores},
        cost={**record.cost, **cost},
        postprocess=evaluation.dump_postprocess(),
        files=_digests(assignment),
    )


def _with_steps(trained: Record, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance of scoring with that of the training steps; an ensemble has none."""
    of_steps = {key: trained.provenance[key] for key in _OF_STEPS if key in trained.provenance}
    return {**provenance, **of_steps}


def _larger(*provenances: Mapping[str, Any]) -> int | None:
    """Return the largest peak memory: training and scoring can be in different processes."""
    peaks = [provenance.get("peak_memory_bytes") for provenance in provenances]
    return max((peak for peak in peaks if peak is not None), default=None)


def _digests(assignment: Assignment) -> dict[str, str]:
    names = [*SCORED_FILES, CANDIDATES_NAME, *weight_files(assignment.folder)]
    names += trial_weights(assignment.folder)
    return assignment.folder.digests(names)
