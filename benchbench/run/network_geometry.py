"""The geometry that the network of a run is built for."""

from __future__ import annotations

from benchbench.contract import Geometry
from benchbench.engine.network.network import geometry_for
from benchbench.run.assignment import Assignment


def geometry_of(assignment: Assignment) -> Geometry:
    """Return channels, regions and patch of a run's network."""
    return geometry_for(assignment.protocol, channels=len(assignment.channels), regions=len(assignment.regions))


def describe_ends(built: Geometry) -> dict[str, float | str | None]:
    """Return the sizes of input and output as text like 256x256x3, for tables."""
    patch = "x".join(map(str, built.patch))
    return {"input": f"{patch}x{built.in_channels}", "output": f"{patch}x{built.out_channels}"}
