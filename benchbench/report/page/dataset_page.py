"""The page that describes a dataset: tables of its cases, and a small histogram of each quantity."""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.report.dataset_sections import DatasetSection
from benchbench.report.page.cells import Cell, Heading, PageTable
from benchbench.report.page.histogram import histogram
from benchbench.report.page.render import render


def dataset_page(
    name: str, summary: str, sections: Sequence[DatasetSection], *, protocol: str, is_phantom: bool
) -> str:
    """Return a page in one file that needs no network; `protocol` is the TOML that nnU-Net's rules give."""
    pages = []
    for section in sections:
        charts = [histogram(quantity) for quantity in section.quantities]
        pages.append({"title": section.title, "table": _table(section), "charts": charts})
    content = {"title": name, "summary": summary, "sections": pages, "protocol": protocol, "phantom": is_phantom}
    return render("dataset.html", content)


def _table(section: DatasetSection) -> PageTable:
    """Return a table whose first column has names, and all others numbers."""
    headings = []
    for position, column in enumerate(section.columns):
        text = f"{column[0].upper()}{column[1:]}"
        headings.append(Heading(name=column, text=text, meaning="", is_number=position > 0))
    rows = []
    for name, *texts in section.rows:
        numbers = [Cell(text, _sort_key(text), is_number=True) for text in texts]
        rows.append([Cell(name, name.lower()), *numbers])
    return PageTable(caption=section.caption, headings=headings, rows=rows)


def _sort_key(text: str) -> str:
    """Return the first number of a text, such as 3 of "3 of 10"; empty where there is none."""
    return text.split(" ", maxsplit=1)[0].replace(",", "").removesuffix("-")
