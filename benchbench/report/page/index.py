"""The page over all benchmarks of a folder, from the card that each leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbench.comparison.board import Board
from benchbench.data.atomic import write_atomic
from benchbench.report.page.render import render
from benchbench.report.text import plain_markdown
from benchbench.results.folder import ResultsFolder, benchmark_folders
from benchbench.tables.results import PHANTOM_NOTE, Results
from benchbench.tables.rows import datasets

CARD = "card.json"


def card(results: Results, boards: Sequence[Board]) -> dict[str, Any]:
    """What the page over all benchmarks says of one."""
    done = sum(map(results.is_done, results.planned))
    models = results.manifest.values_of("model")
    return {
        "name": results.manifest.name,
        "title": results.manifest.title,
        "phantom": results.manifest.phantom,
        "datasets": datasets(results),
        "models": models,
        "done": done,
        "planned": len(results.planned),
        "verdicts": [str(board.verdict) for board in boards],
    }


def write_index(root: Path) -> None:
    """Links every benchmark of a folder, and of the rehearsals in it, as HTML and Markdown."""
    folders = [folder for folder in benchmark_folders(root) if (folder.path / CARD).exists()]
    found = [{**read_card(each), "folder": each.path.name, "place": each.path.parent} for each in folders]
    for place in (root, root / "rehearsal"):
        inside = [each for each in found if each["place"] == place]
        if inside or (place == root and found):
            more = len(inside) < len(found) and place == root
            title = "Rehearsals" if place != root else "Benchmarks"
            content = {"title": title, "cards": inside, "rehearsals": more, "phantom": PHANTOM_NOTE}
            write_atomic(place / "index.html", render("index.html", **content).encode())
            write_atomic(place / "index.md", _markdown(title, inside, more=more).encode())


def read_card(folder: ResultsFolder) -> dict[str, Any]:
    """What was last said of a benchmark."""
    return dict(json.loads((folder.path / CARD).read_bytes()))


def _markdown(title: str, cards: Sequence[Mapping[str, Any]], *, more: bool) -> str:
    lines = [f"# {title}", ""]
    for each in cards:
        note = f" ({PHANTOM_NOTE})" if each["phantom"] else ""
        page, board = (f"{each['folder']}/{name}" for name in ("index.html", "leaderboard.md"))
        lines += [f"## [{plain_markdown(each['title'])}]({page}){note}", ""]
        lines += [
            f"{each['done']} of {each['planned']} runs, {len(each['models'])} models: [{board}]({board})",
            "",
        ]
        lines += [line for verdict in each["verdicts"] for line in (f"- {plain_markdown(verdict)}", "")]
    if more:
        lines += ["[Rehearsals](rehearsal/index.md)", ""]
    return "\n".join(lines)
