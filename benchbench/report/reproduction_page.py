"""The reproduction of printed tables as a page and as data."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchbench.report.text import plain_markdown, to_markdown
from benchbench.tables.reproduction import COLUMNS, Reproduction
from benchbench.tables.results import PHANTOM_NOTE, Results

_REHEARSED = "These numbers show the shape of the tables and are compared with nothing."
_READING = (
    "`reproduced`: the measured number lies within the tolerance of the printed one; `gap`: it does not;"
    " `not comparable`: the last column says why. Training numbers are of the batches of the chosen epoch as the"
    " network saw them, augmented and while it changed; validation is the inner validation, which chose the epoch,"
    " unless a line below says otherwise; scores without `train` or `validation` are of test cases that chose"
    " nothing."
)


def reproduction_page(results: Results, held: Sequence[Reproduction]) -> str:
    """Every printed table with the measured one beside it, and what is known to differ."""
    lines = [f"# Reproduction: {plain_markdown(results.manifest.title)}", ""]
    if results.manifest.phantom:
        lines += [f"**{PHANTOM_NOTE}.** {_REHEARSED}", ""]
    lines += [_READING, ""]
    for number, each in enumerate(held, start=1):
        lines += _section(number, each)
    lines += ["## Deviations", "", *_deviations(results, held)]
    return "\n".join(lines).rstrip() + "\n"


def reproduction_table(results: Results, held: Sequence[Reproduction]) -> pd.DataFrame:
    """A line for each printed number, with the number of its table."""
    frames = [
        each.frame.assign(table=number, tolerance=each.reported.tolerance) for number, each in enumerate(held, 1)
    ]
    whole = pd.concat(frames, ignore_index=True)
    return whole[["table", *COLUMNS[:5], "tolerance", *COLUMNS[5:]]].assign(data=results.data)


def _section(number: int, held: Reproduction) -> list[str]:
    reported = held.reported
    varied = "".join(f", {name} {value}" for name, value in reported.variant.items())
    lines = [f"## Table {number}: {plain_markdown(reported.document + varied)}", ""]
    if held.measured is None:
        lines += ["No measured table has these rows and columns.", ""]
    else:
        lines += [f"Measured: {plain_markdown(held.measured.title)} (`tables/{held.measured.name}.csv`).", ""]
    lines += [f"As printed: {plain_markdown(reported.protocol)}.", ""]
    if reported.metric:
        lines += [f"Printed is: {plain_markdown(reported.metric)}.", ""]
    lines += [to_markdown(held.frame), _count(held), ""]
    if reported.note:
        lines += [f"Error of the document: {plain_markdown(reported.note)}.", ""]
    return lines


def _count(held: Reproduction) -> str:
    counts = held.frame["verdict"].value_counts()
    said = ", ".join(
        f"{counts[name]} {name}" for name in ("reproduced", "gap", "not comparable") if name in counts
    )
    return f"Within {held.reported.tolerance:g}: {said}."


def _deviations(results: Results, held: Sequence[Reproduction]) -> list[str]:
    found = [*results.manifest.deviations, *(line for each in held for line in each.deviations)]
    if optimistic := sorted(filter(results.selects_on_test_set, results.manifest.scores)):
        found.append(
            f"optimistic selection, the checkpoint chosen on the cases that are scored: {', '.join(optimistic)}"
        )
    return [f"- {plain_markdown(line)}" for line in dict.fromkeys(found)] or ["None is known."]
