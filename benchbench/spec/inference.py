"""Inference of a protocol: sliding window, test-time augmentation, thresholds and components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from benchbench.spec.document import nearest
from benchbench.spec.strict import NonNegativeCount, Probability, Strict

_MOST_SEARCHED = 6  # each nested region takes ten times the memory and time


class Postprocess(Strict):
    """How probabilities become masks, and which doubtful parts of these are removed.

    Region by region, in the task's order: where the probability is not below the threshold; then without small
    components, face to face; then without the whole region, if what remains is small. Only what is unsure is
    removed: what has a mean probability below `sure`.
    """

    nested: bool = False
    """The task's regions lie one in the other, the outermost first: a voxel is in none that an outer one lacks."""
    thresholds: dict[str, Probability] = Field(default_factory=dict)
    """Region -> probability; 0.5 where none is given."""
    components: dict[str, NonNegativeCount] = Field(default_factory=dict)
    """Region -> voxels; smaller components are removed from it, and with it from those inside it."""
    totals: dict[str, NonNegativeCount] = Field(default_factory=dict)
    """Region -> voxels; if fewer are left of it, all of it is removed."""
    sure: Probability = 0.9
    search: bool = False
    """Thresholds of all regions from 0.3 to 0.7, then sizes of the `components` named from 0 to 100, are chosen by
    their Dice on the inner validation; what is given here decides between equals."""

    def check_regions(self, regions: Mapping[str, Sequence[int]]) -> list[str]:
        """A line for each thing that cannot be said of a task's regions, region -> label values."""
        named = [(key, region) for key in ("thresholds", "components", "totals") for region in getattr(self, key)]
        problems = [
            f"{key}.{region}: no such region; {nearest(region, list(regions))}"
            for key, region in named
            if region not in regions
        ]
        if not self.nested:
            return problems
        problems += [
            f"nested: found '{inner}', which is not inside '{outer}'; list regions from outside to inside"
            for outer, inner in pairwise(regions)
            if not set(regions[inner]) <= set(regions[outer])
        ]
        if self.search and len(regions) > _MOST_SEARCHED:
            problems.append(f"search: found {len(regions)} nested regions, expected {_MOST_SEARCHED} at most")
        return problems


class Inference(Strict):
    """How a case is predicted from what the network sees at a time."""

    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Of neighbouring windows, as a share of the patch; 3D only."""
    importance: Literal["gaussian", "constant"] = "gaussian"
    """How much a window counts from its centre to its border."""
    flips: bool = False
    """Test-time augmentation: the mean over all flips of the spatial axes."""
    average: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over flips, windows and checkpoints."""
