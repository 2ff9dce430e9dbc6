"""The resampling upper bound: the scores of the reference itself, resized to the network's input and back."""

from __future__ import annotations

from benchbench.engine.inference.predict import count_case, resized_reference
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import Integers
from benchbench.run.assignment import Assignment
from benchbench.run.count_tables import case_table
from benchbench.run.predictions import Distances, measure_distances


def write_resampling_bound(assignment: Assignment) -> None:
    """Write counts and distances of the resized reference by case, if any test case is resized."""
    protocol = assignment.protocol
    if not any(prepared.is_resized for prepared in assignment.test):
        return
    counts: dict[PreparedCase, Integers] = {}
    distances: dict[PreparedCase, Distances] = {}
    for prepared in assignment.test:
        masks = resized_reference(prepared, protocol, regions=len(assignment.regions))
        counts[prepared] = count_case(prepared, masks)
        distances[prepared] = measure_distances(prepared, masks, protocol.metrics)
    table = case_table(assignment, counts, distances)
    assignment.folder.write_table("ceiling.parquet", table)
