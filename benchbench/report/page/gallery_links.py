"""Links from the patients of a chart to the rows of a gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchbench.report.figures.canvas import Figure
from benchbench.report.figures.gallery_choice import choose_gallery
from benchbench.report.figures.gallery_slides import row_id
from benchbench.report.figures.svg import id_prefix
from benchbench.tables.results import Results
from benchbench.tables.rows import name_for

Links = Mapping[str, str]
"""Patient -> id of an element of the page."""


def gallery_links(results: Results, galleries: Sequence[Figure]) -> Mapping[str, Links]:
    """Return dataset -> patient -> id of the gallery's row of one of its cases, the best case first."""
    drawn = {figure.name for figure in galleries}
    links: dict[str, Links] = {}
    for dataset in results.manifest.datasets:
        name = name_for("gallery", dataset, results)
        links[dataset] = _links(results, dataset, id_prefix(name)) if name in drawn else {}
    return links


def _links(results: Results, dataset: str, prefix: str) -> Links:
    choice = choose_gallery(results, dataset)
    if choice is None:
        return {}
    cases = results.cases[results.cases["dataset"] == dataset]
    patients = dict(zip(cases["case"], cases["patient"], strict=True))
    links: dict[str, str] = {}
    for chosen in choice.cases:
        links.setdefault(patients[chosen.case], f"{prefix}-{row_id(chosen)}")
    return links
