"""Inference of a protocol: sliding window, test-time augmentation, thresholds and removal of components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_serializer, field_validator

from benchbench.spec.document import nearest
from benchbench.spec.strict import NonNegativeCount, Probability, Strict

_MOST_SEARCHED_REGIONS = 6  # each further nested region multiplies memory and time by ten


class SearchSpec(Strict):
    """The search for thresholds and sizes on the inner validation: `search` of [protocol.postprocess]."""

    over: Literal["fold", "folds"] = "fold"
    """Validation cases that choose the values. fold: those of a fold, for this fold alone. folds: those of all
    folds of a row together, for all folds, each case predicted by the network of which it is the inner validation.
    A case that one fold tests can be in the inner validation of another; its prediction as a test case never
    chooses a value."""
    totals: bool = False
    """True to choose the sizes of the regions in `totals` too (0 to 100 voxels). The size of components and that
    of the whole region are then chosen together, from all pairs."""


class Postprocess(Strict):
    """The rules that turn probabilities into masks and remove uncertain parts of the masks.

    For each region, in the order of the task: voxels whose probability reaches the threshold are foreground; then
    small connected components (face neighbours) are removed; then the whole region is removed if few voxels
    remain. A component or region is kept, whatever its size, if its mean probability is `sure` or more.
    """

    nested: bool = False
    """True if each region of the task is inside the previous one, listed from the outermost inwards. A voxel
    outside a region is then removed from all regions inside it."""
    thresholds: dict[str, Probability] = Field(default_factory=dict)
    """Region -> lowest probability of a foreground voxel; 0.5 for a region that is not listed."""
    components: dict[str, NonNegativeCount] = Field(default_factory=dict)
    """Region -> voxels; components with fewer voxels are removed from it, and from the regions inside it if
    `nested`. A region that is not listed keeps all components."""
    totals: dict[str, NonNegativeCount] = Field(default_factory=dict)
    """Region -> voxels; a region with fewer voxels in the whole case is removed. A region that is not listed is
    always kept."""
    sure: Probability = 0.9
    """Mean probability from which a component or region is never removed."""
    search: SearchSpec | None = None
    """The search for thresholds of all regions (0.3 to 0.7 in steps of 0.05), then for the sizes of the regions in
    `components` (0 to 100 voxels), by the mean Dice on the inner validation: true, or a table such as { over =
    "folds", totals = true }. Among equally good candidates the one nearest to the values given here is chosen.
    Without it, or with false, the values given here are used."""

    @field_validator("search", mode="before", json_schema_input_type=bool | SearchSpec | None)
    @classmethod
    def _from_bool(cls, value: Any) -> Any:
        if value is True:
            return {}
        return None if value is False else value

    @field_serializer("search")
    def _shortest(self, search: SearchSpec | None) -> bool | dict[str, Any]:
        """Return true for a search with the defaults and false for none: both forms are the same protocol."""
        if search is None or search == SearchSpec():
            return search is not None
        return search.model_dump()

    @property
    def searches_totals(self) -> bool:
        """True if the sizes in `totals` are chosen too."""
        return self.search is not None and self.search.totals

    def check_regions(self, regions: Mapping[str, Sequence[int]]) -> list[str]:
        """Return a line for each rule that does not fit the regions of a task, region -> label values."""
        return list(_region_problems(self, regions))


class Inference(Strict):
    """The rules that combine predictions of slices or patches into the prediction of a whole case."""

    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """3D only. Smallest overlap of neighbouring sliding windows, as a fraction of the patch size."""
    importance: Literal["gaussian", "constant"] = "gaussian"
    """3D only. Weights of the voxels of a window: gaussian falls from the window's centre to its border, with a
    standard deviation of 1/8 of the patch size; constant weighs all voxels equally."""
    flips: bool = False
    """True for test-time augmentation: the mean over all combinations of flips of the spatial axes."""
    average: Literal["probabilities", "logits"] = "probabilities"
    """Values that are averaged over flips, windows and checkpoints: probabilities, or logits before the sigmoid
    or softmax."""


def _region_problems(rules: Postprocess, regions: Mapping[str, Sequence[int]]) -> Iterator[str]:
    for key in ("thresholds", "components", "totals"):
        for region in getattr(rules, key):
            if region not in regions:
                yield f"{key}.{region}: no such region; {nearest(region, list(regions))}"
    if rules.searches_totals and not rules.totals:
        yield "search.totals: found true, but no region in totals; add totals = { region = 0 } or remove the key"
    if rules.nested:
        yield from _nesting_problems(rules, regions)


def _nesting_problems(rules: Postprocess, regions: Mapping[str, Sequence[int]]) -> Iterator[str]:
    for outer, inner in pairwise(regions):
        if not set(regions[inner]) <= set(regions[outer]):
            yield f"nested: found '{inner}', which is not inside '{outer}'; list regions from outside to inside"
    if rules.search and len(regions) > _MOST_SEARCHED_REGIONS:
        yield f"search: found {len(regions)} nested regions, expected {_MOST_SEARCHED_REGIONS} at most"
