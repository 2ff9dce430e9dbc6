"""The JSON of a benchmark that was carried out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchbench.comparison.floor import Floor
from benchbench.records.folder import ResultsFolder
from benchbench.report.page.index import read_card
from benchbench.tables.absent_regions import absent_region_notes
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.results import read_results


def run_content(folder: ResultsFolder, floors: Sequence[Floor]) -> dict[str, Any]:
    """Return the rows of the leaderboard, the runs, the verdicts and where the files are."""
    results = read_results(folder)
    return {
        "title": results.manifest.title,
        "is_phantom": results.manifest.phantom,
        "folder": folder.path,
        "page": folder.path / "index.html",
        "leaderboard": leaderboard(results),
        "runs": fold_table(results),
        "verdicts": read_card(folder).verdicts,
        "notes": list(absent_region_notes(results)),
        "floors": floor_rows(floors),
    }


def floor_rows(floors: Sequence[Floor]) -> list[dict[str, Any]]:
    """Return the smallest difference that the design shows for each dataset and metric."""
    return [{"dataset": floor.dataset, "metric": floor.metric, "difference": floor.difference} for floor in floors]
