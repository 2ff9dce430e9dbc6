"""The comparison with printed tables, as a page in Markdown and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from benchbench.report.text import plain_markdown, to_markdown
from benchbench.tables.reproduction import COLUMNS, Reproduction
from benchbench.tables.results import PHANTOM_NOTE, Results

_REHEARSAL = "These numbers only show the layout of the tables; nothing is compared."
_EXPLANATION = (
    "`reproduced`: the measured number is within the tolerance of the printed one. `gap`: it is not."
    " `not comparable`: the last column has the reason. Training numbers are computed on the augmented batches of"
    " the selected epoch, while the network is still changing. Validation numbers are those of the inner"
    " validation, which selected the epoch, unless a line below says otherwise. Scores without `train` or"
    " `validation` are those of test cases, which selected nothing."
)
_VERDICTS = ("reproduced", "gap", "not comparable")


def reproduction_page(results: Results, tables: Sequence[Reproduction]) -> str:
    """Return the page: every printed number next to the measured one, and the known deviations."""
    paragraphs = [f"# Reproduction: {plain_markdown(results.manifest.title)}"]
    if results.manifest.phantom:
        paragraphs.append(f"**{PHANTOM_NOTE}.** {_REHEARSAL}")
    paragraphs.append(_EXPLANATION)
    for number, table in enumerate(tables, start=1):
        paragraphs += _section(number, table)
    paragraphs += ["## Deviations", _list_deviations(results, tables)]
    return "\n\n".join(paragraphs) + "\n"


def reproduction_table(results: Results, tables: Sequence[Reproduction]) -> pd.DataFrame:
    """Return a line for each printed number, with the number of its table."""
    frames = []
    for number, table in enumerate(tables, start=1):
        frames.append(table.numbers.assign(table=number, tolerance=table.printed.tolerance))
    together = pd.concat(frames, ignore_index=True)
    place = COLUMNS.index("verdict")
    columns = ["table", *COLUMNS[:place], "tolerance", *COLUMNS[place:]]
    return together[columns].assign(data=results.data)


def _section(number: int, table: Reproduction) -> Iterator[str]:
    printed = table.printed
    title = printed.document
    for name, value in printed.variant.items():
        title += f", {name} {value}"
    yield f"## Table {number}: {plain_markdown(title)}"
    if table.measured is None:
        yield "No measured table has these rows and columns."
    else:
        yield f"Measured: {plain_markdown(table.measured.title)} (`tables/{table.measured.name}.csv`)."
    if printed.protocol:
        yield f"Protocol of the document: {plain_markdown(printed.protocol)}."
    if printed.metric:
        yield f"Metric of the document: {plain_markdown(printed.metric)}."
    yield to_markdown(table.numbers).rstrip("\n")
    yield _count_verdicts(table)
    if printed.note:
        yield f"Error of the document: {plain_markdown(printed.note)}."


def _count_verdicts(table: Reproduction) -> str:
    counts = table.numbers["verdict"].value_counts()
    parts = [f"{counts[verdict]} {verdict}" for verdict in _VERDICTS if verdict in counts]
    return f"Within {table.printed.tolerance:g}: {', '.join(parts)}."


def _list_deviations(results: Results, tables: Sequence[Reproduction]) -> str:
    deviations = dict.fromkeys(results.manifest.deviations)
    for table in tables:
        deviations.update(dict.fromkeys(table.deviations))
    on_test_set = sorted(filter(results.selects_on_test_set, results.manifest.scores))
    if on_test_set:
        deviations[f"checkpoints selected on the test set (optimistic selection): {', '.join(on_test_set)}"] = None
    if not deviations:
        return "None is known."
    return "\n".join(f"- {plain_markdown(deviation)}" for deviation in deviations)
