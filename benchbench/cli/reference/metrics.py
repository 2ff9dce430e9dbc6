"""Every metric with its formula, direction, rule for empty masks and source."""

from __future__ import annotations

from typing import NamedTuple

from benchbench.spec.metric_names import (
    DISTANCES,
    LESION_SCORES,
    OVERLAPS,
    SURFACE_OVERLAPS,
    is_lower_better,
)
from benchbench.spec.protocol import Protocol

_INTRODUCTION = """# Metrics

`metrics` in `[protocol]` takes these names. A case is scored as a whole volume on its own grid; the mean is over
cases, then over regions. A distance is in mm where the voxel size is known, in pixels otherwise, and its column
says which (`hd95_mm`, `hd95_px`). After `@` is a tolerance in mm, or the challenge by whose rules lesions are
counted (`gli`, `ssa`, `ped`, `men`, `men-rt`, `met`). The table has the rule `empty = "score"`; the others are
below it.

| name | definition | better | both masks empty | one mask empty | source |
| --- | --- | --- | --- | --- | --- |
"""
_VOXELS = "Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z"
_SURFACES = "Nikolov et al. 2021, doi:10.2196/26151"
_LESIONS = "BraTS 2023, `rachitsaluja/BraTS-2023-Metrics`"


class Metric(NamedTuple):
    """The cells of a metric in the table."""

    definition: str
    both_empty: str
    one_empty: str
    source: str


METRICS = {
    "dice": Metric("2 TP / (2 TP + FP + FN)", "1", "0", "Dice 1945, doi:10.2307/1932409"),
    "iou": Metric("TP / (TP + FP + FN)", "1", "0", "Jaccard 1912"),
    "accuracy": Metric("(TP + TN) / all voxels", "1", "as defined", _VOXELS),
    "precision": Metric("TP / (TP + FP)", "1", "0", _VOXELS),
    "sensitivity": Metric("TP / (TP + FN)", "left out", "0; left out if the reference is empty", _VOXELS),
    "specificity": Metric("TN / (TN + FP)", "1", "as defined", _VOXELS),
    "hd": Metric(
        "largest distance from either surface to the other", "0", "diagonal of the image", "Hausdorff 1914"
    ),
    "hd95": Metric("larger of the two directed 95th percentiles", "0", "diagonal of the image", _VOXELS),
    "hd95_pooled": Metric("95th percentile of both directions together", "0", "diagonal of the image", "MedPy"),
    "hd95_surfel": Metric(
        "larger of the two directed 95th percentiles of area", "0", "diagonal of the image", _SURFACES
    ),
    "assd": Metric("mean distance of both directions together", "0", "diagonal of the image", "MedPy, MONAI"),
    "masd": Metric("mean of the two directed mean distances", "0", "diagonal of the image", _VOXELS),
    "nsd": Metric("share of both surfaces' area within the tolerance of the other", "1", "0", _SURFACES),
    "nsd_voxel": Metric("share of both surfaces' voxels within the tolerance of the other", "1", "0", "MONAI"),
    "lesion_dice": Metric("Dice of each lesion, mean over lesions", "1", "0", _LESIONS),
    "lesion_hd95": Metric("`hd95_surfel` of each lesion, mean over lesions", "0", "374", _LESIONS),
}
_PARAMETERS: dict[str, str] = {
    **{str(name): "@2" for name in SURFACE_OVERLAPS},
    **{str(name): "@gli" for name in LESION_SCORES},
}


def metrics_page() -> str:
    """Return the page in Markdown."""
    from benchbench.registry.descriptions import field_docstrings  # noqa: PLC0415 only here

    rows = []
    for name in (*OVERLAPS, *DISTANCES, *SURFACE_OVERLAPS, *LESION_SCORES):
        metric = METRICS[name]
        better = "lower" if is_lower_better(name) else "higher"
        cells = [f"`{name}{_PARAMETERS.get(name, '')}`", metric.definition, better, *metric[1:]]
        rows.append(f"| {' | '.join(cells)} |\n")
    rules = field_docstrings(Protocol)["empty"]
    return f"{_INTRODUCTION}{''.join(rows)}\n## Rules for empty masks\n\n{rules}\n"
