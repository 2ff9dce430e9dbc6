"""The comparison with printed tables, as a page in Markdown and as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from benchbench.report.text import pipe_table, plain_markdown
from benchbench.spec.reported import PrintedTable
from benchbench.tables.claims import ASSUMED_CORRELATION, claims_of
from benchbench.tables.listings import as_text
from benchbench.tables.reproduction import COLUMNS, Reproduction, Verdict
from benchbench.tables.results import PHANTOM_NOTE, Results
from benchbench.tables.side_by_side import ComparedCell, SideBySide, side_by_side
from benchbench.words import count

_REHEARSAL = "These numbers only show the layout of the tables; nothing is compared."
_MARKS: Mapping[Verdict, str] = {
    "reproduced": "\N{WHITE HEAVY CHECK MARK}",
    "gap": "\N{CROSS MARK}",
    "not comparable": "\N{MEDIUM WHITE CIRCLE}",
}
_EXPLANATION = (
    "A cell is `measured (printed)`. {reproduced} reproduced: the measured number is within the tolerance of the"
    " printed one. {gap} gap: it is not. {not_comparable} not comparable: the reason is below the table."
    " Training numbers are computed on the augmented batches of the selected epoch, while the network is still"
    " changing."
    " Validation numbers are those of the inner validation, which selected the epoch, unless a line below says"
    " otherwise. Scores without `train` or `validation` are those of test cases, which selected nothing."
    " `reproduction.csv` has every number with its difference and tolerance."
)
_MOST_CELLS = 12  # named after a reason


def reproduction_page(results: Results, tables: Sequence[Reproduction]) -> str:
    """Return the page: every printed table with the measured numbers, and the known deviations."""
    paragraphs = [f"# Reproduction: {plain_markdown(results.manifest.title)}"]
    if results.manifest.phantom:
        paragraphs.append(f"**{PHANTOM_NOTE}.** {_REHEARSAL}")
    paragraphs.append(
        _EXPLANATION.format(
            reproduced=_MARKS["reproduced"], gap=_MARKS["gap"], not_comparable=_MARKS["not comparable"]
        )
    )
    paragraphs.append(means_over(results))
    for number, (table, about) in enumerate(zip(tables, new_sentences(tables), strict=True), start=1):
        paragraphs += _section(number, table, about)
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


def title_of(printed: PrintedTable) -> str:
    """Return the title of a printed table with the settings that the document varied."""
    title = printed.title or printed.document
    for name, value in printed.variant.items():
        title += f", {name} {as_text(value)}"
    return title


def about_document(printed: PrintedTable) -> str:
    """Return the document of a printed table, its protocol and its metric, in sentences."""
    sentences = []
    if printed.title:
        sentences.append(f"Document: {printed.document}.")
    if printed.protocol:
        sentences.append(f"Protocol of the document: {printed.protocol}.")
    if printed.metric:
        sentences.append(f"Metric of the document: {printed.metric}.")
    return " ".join(sentences)


def new_sentences(tables: Sequence[Reproduction]) -> list[str]:
    """Return `about_document` for each table; '' where the table before has the same sentences."""
    sentences = [about_document(table.printed) for table in tables]
    before = ["", *sentences]
    return ["" if text == last else text for text, last in zip(sentences, before, strict=False)]


def means_over(results: Results) -> str:
    """Return a sentence about the runs that a measured number is the mean of."""
    folds = len(results.manifest.values_of("fold"))
    seeds = len(results.manifest.values_of("seed"))
    if folds == seeds == 1:
        return "A measured number is that of one run."
    parts = [count(number, noun) for number, noun in ((folds, "fold"), (seeds, "seed")) if number > 1]
    return f"A measured number is the mean over {' and '.join(parts)}, unless its row or column is one of them."


def reason_lines(table: SideBySide) -> Iterator[str]:
    """Yield a line for each reason why numbers are not compared."""
    for why, cells in table.reasons.items():
        listed = "; ".join(cells[:_MOST_CELLS])
        if len(cells) > _MOST_CELLS:
            listed += f" and {len(cells) - _MOST_CELLS} more"
        yield f"Not comparable: {why} ({listed or 'the whole table'})."


def count_verdicts(table: Reproduction) -> str:
    """Return the number of cells of each verdict, with the tolerance."""
    counts = table.numbers["verdict"].value_counts()
    parts = [f"{counts[verdict]} {verdict}" for verdict in _MARKS if verdict in counts]
    return f"Within {table.printed.tolerance:g}: {', '.join(parts)}."


def _section(number: int, table: Reproduction, about: str) -> Iterator[str]:
    printed = table.printed
    yield f"## Table {number}: {plain_markdown(title_of(printed))}"
    if about:
        yield plain_markdown(about)
    if table.measured is None:
        yield "No measured table has these rows and columns."
    else:
        yield f"Measured: {plain_markdown(table.measured.title)} (`tables/{table.measured.name}.csv`)."
    compared = side_by_side(table)
    headings = [plain_markdown(name) for name in compared.columns]
    rows = [list(map(_markdown_cell, row)) for row in compared.rows]
    yield pipe_table(headings, rows).rstrip("\n")
    yield count_verdicts(table)
    yield from map(plain_markdown, reason_lines(compared))
    for claim in claims_of(printed, correlation=ASSUMED_CORRELATION):
        yield f"Best row of the document: {plain_markdown(str(claim))}."
    if printed.note:
        yield f"Error of the document: {plain_markdown(printed.note)}."


def _markdown_cell(cell: ComparedCell) -> str:
    if cell.verdict is None:
        return plain_markdown(cell.text)
    measured = plain_markdown(cell.measured)
    if cell.is_best:
        measured = f"**{measured}**"
    return f"{measured} ({plain_markdown(cell.printed)}) {_MARKS[cell.verdict]}"


def known_deviations(results: Results, tables: Sequence[Reproduction]) -> list[str]:
    """Return the deviations of the benchmark file, of the tables' settings and of the selection of checkpoints."""
    deviations = dict.fromkeys(results.manifest.deviations)
    for table in tables:
        deviations.update(dict.fromkeys(table.deviations))
    on_test_set = sorted(filter(results.selects_on_test_set, results.manifest.scores))
    if on_test_set:
        deviations[f"checkpoints selected on the test set (optimistic selection): {', '.join(on_test_set)}"] = None
    return list(deviations)


def _list_deviations(results: Results, tables: Sequence[Reproduction]) -> str:
    deviations = known_deviations(results, tables)
    if not deviations:
        return "None is known."
    return "\n".join(f"- {plain_markdown(deviation)}" for deviation in deviations)
