"""What the truth itself scores once it is scaled to the network's input and back: all that resizing takes away."""

from __future__ import annotations

from benchbench.engine.inference.predict import count_case, resized_truth
from benchbench.run.assignment import Assignment
from benchbench.run.evaluate import count_table
from benchbench.run.predictions import distances


def write_ceiling(assignment: Assignment) -> None:
    """Writes counts and distances of the resized truth by case; nothing where no test case is resized."""
    if not any(prepared.is_resized for prepared in assignment.test):
        return
    counts, far = {}, {}
    for prepared in assignment.test:
        masks = resized_truth(prepared, assignment.protocol, regions=len(assignment.regions))
        counts[prepared] = count_case(prepared, masks)
        far[prepared] = distances(prepared, masks, assignment.protocol.metrics)
    assignment.folder.write_table("ceiling.parquet", count_table(assignment, counts, far))
