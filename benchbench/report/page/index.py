"""The page over all benchmarks of a folder, made from the card that each benchmark writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, ValidationError

from benchbench.comparison.board import Board
from benchbench.data.atomic import has_leftovers
from benchbench.errors import IntegrityError
from benchbench.records.folder import ResultsFolder, benchmark_folders
from benchbench.report.page.overview import Strip, overview
from benchbench.report.page.render import render
from benchbench.report.plain_verdict import plain_verdict
from benchbench.report.text import plain_markdown
from benchbench.spec.strict import Strict
from benchbench.tables.results import PHANTOM_NOTE, Results
from benchbench.words import count, natural_order

CARD = "card.json"
_MOST_LINES = 6  # of a small chart


class CardLine(Strict):
    """A row of a card's chart; places are in percent of its width."""

    label: str
    value: str
    mean: str
    low: str
    high: str
    colour: int
    """Number of the colour of the series, from 1."""


class Card(Strict):
    """The summary of a benchmark: the content of `card.json`."""

    name: str
    title: str
    phantom: bool
    note: str = ""
    """A note on the data: phantoms, or a part of the patients; '' for a whole dataset."""
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    done: int
    """Number of finished runs."""
    planned: int
    verdicts: tuple[str, ...]
    """The verdict of each board, with its statistics."""
    sentences: tuple[str, ...] = ()
    """The same in plain words."""
    patients: dict[str, int] = Field(default_factory=dict)
    """Dataset -> number of patients that were tested."""
    version: str = ""
    """The versions of benchbench that carried out the runs."""
    day: str = ""
    """The last day of a run, as YYYY-MM-DD."""
    lines: tuple[CardLine, ...] = ()
    """The small chart: the rows of the first board, the best mean first."""


class _Entry(NamedTuple):
    """A benchmark in the index."""

    card: Card
    folder: Path

    @property
    def href(self) -> str:
        """The folder of the benchmark, relative to the index."""
        return self.folder.name


def card(results: Results, boards: Sequence[Board]) -> Card:
    """Return the summary of a benchmark."""
    manifest = results.manifest
    provenances = [record.provenance for record in results.records.values()]
    versions = {str(provenance.get("versions", {}).get("benchbench", "")) for provenance in provenances}
    tested = results.cases.groupby("dataset")["patient"].nunique()
    return Card(
        name=manifest.name,
        title=manifest.title,
        phantom=manifest.phantom,
        note=results.note,
        datasets=tuple(manifest.datasets),
        models=tuple(str(model) for model in manifest.values_of("model")),
        done=sum(map(results.is_done, results.planned)),
        planned=len(results.planned),
        verdicts=tuple(str(board.verdict) for board in boards),
        sentences=tuple(map(plain_verdict, boards)),
        patients={str(name): int(number) for name, number in tested.items()},
        version=", ".join(sorted(versions - {""}, key=natural_order)),
        day=max((str(provenance.get("day", "")) for provenance in provenances), default=""),
        lines=_lines(results, boards[0]) if boards else (),
    )


def _lines(results: Results, board: Board) -> tuple[CardLine, ...]:
    """Return the ranked rows of a board for the small chart, at most as many as fit."""
    n_lines = min(_MOST_LINES, len(board.rows))
    strips = overview(results, board, number=1).strips[:n_lines]
    return tuple(map(_line, strips))


def _line(strip: Strip) -> CardLine:
    return CardLine(
        label=strip.label,
        value=strip.value,
        mean=strip.mean,
        low=strip.low,
        high=strip.high,
        colour=strip.colour,
    )


def read_card(folder: ResultsFolder) -> Card:
    """Read the summary that the last report of a benchmark wrote.

    Raises:
        IntegrityError: the file is damaged or from another version.
    """
    path = folder.path / CARD
    try:
        return Card.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(f"{path}: cannot be read; `benchbench report` writes it again") from error


def write_index(root: Path) -> None:
    """Write index.html and index.md with links to every benchmark of a folder; rehearsals have pages of their own.

    A page whose content would be the same is not written: a rehearsal leaves the index of real results as it is. A
    folder that is a benchmark keeps the index.html that it has: its own page.
    """
    if ResultsFolder(root).has_manifest:
        return
    folders = [folder for folder in benchmark_folders(root) if (folder.path / CARD).exists()]
    entries = [_Entry(read_card(folder), folder.path) for folder in folders]
    benchmarks = _entries_in(root, entries)
    rehearsals = _entries_in(root / "rehearsal", entries)
    if entries:
        _write_pages(root, "Benchmarks", benchmarks, has_rehearsals=bool(rehearsals) and not benchmarks)
    if rehearsals:
        _write_pages(root / "rehearsal", "Rehearsals", rehearsals, has_rehearsals=False)


def _entries_in(folder: Path, entries: Sequence[_Entry]) -> list[_Entry]:
    return [entry for entry in entries if entry.folder.parent == folder]


def _write_pages(folder: Path, title: str, entries: Sequence[_Entry], *, has_rehearsals: bool) -> None:
    content = {"title": title, "entries": entries, "has_rehearsals": has_rehearsals, "phantom": PHANTOM_NOTE}
    content["is_phantom"] = any(entry.card.phantom for entry in entries)
    page = render("index.html", content)
    lines = [f"# {title}", ""]
    for entry in entries:
        lines += _markdown_lines(entry)
    if has_rehearsals:
        lines += ["[Rehearsals](rehearsal/index.md)", ""]
    _write_changed(folder, {"index.html": page, "index.md": "\n".join(lines)})


def _write_changed(folder: Path, pages: Mapping[str, str]) -> None:
    """Write those pages of a folder whose content differs, and remove what a process that died left of them."""
    root = ResultsFolder(folder)
    changed = {name: content for name, content in pages.items() if not _has_content(folder / name, content)}
    if not changed and not has_leftovers(folder):
        return
    with root.writing():
        for name, content in changed.items():
            root.write(name, content)


def _has_content(path: Path, content: str) -> bool:
    return path.is_file() and path.read_bytes() == content.encode()


def _markdown_lines(entry: _Entry) -> Iterator[str]:
    summary = entry.card
    note = f" ({summary.note})" if summary.note else ""
    board = f"{entry.href}/leaderboard.md"
    yield f"## [{plain_markdown(summary.title)}]({entry.href}/index.html){note}"
    yield ""
    models = count(len(summary.models), "model")
    yield f"{summary.done} of {count(summary.planned, 'run')}, {models}: [{board}]({board})"
    yield ""
    for verdict in summary.verdicts:
        yield f"- {plain_markdown(verdict)}"
        yield ""
