"""The page of a benchmark: one HTML file, readable offline, with results, their uncertainty and their evidence."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchbench.comparison.controls import control_outcomes
from benchbench.records.folder import ResultsFolder
from benchbench.report.figures import Figure
from benchbench.report.page.compared import compared
from benchbench.report.page.evidence import facts, failures
from benchbench.report.page.gallery_links import gallery_links
from benchbench.report.page.meanings import MEANINGS
from benchbench.report.page.names import heading_of
from benchbench.report.page.readers import reader_tables
from benchbench.report.page.render import render
from benchbench.report.page.rerun import command_of, row_reruns
from benchbench.report.page.searched import searched_tables
from benchbench.report.page.sections import (
    RankedChoices,
    cost_tables,
    dataset_section,
    over_datasets,
    reproduction_sections,
    requested_tables,
    split_size_tables,
)
from benchbench.report.page.subgroups import subgroup_sections
from benchbench.report.page.tuned import tuned_tables
from benchbench.report.plain_verdict import plain_verdict
from benchbench.report.reproduction_page import known_deviations, means_over
from benchbench.tables.absent_regions import absent_region_notes
from benchbench.tables.cost_tables import total_gpu_hours
from benchbench.tables.reproduction import Reproduction
from benchbench.tables.results import PHANTOM_NOTE, Results

_FILES = (
    *("leaderboard.md", "leaderboard.csv", "leaderboard.tex"),
    *("standings.csv", "differences.csv", "ranks.csv", "sensitivity.csv", "subgroups.csv"),
    *("folds.csv", "split.csv", "split_sizes.csv", "summary.csv", "cost.csv", "cost_summary.csv"),
)
_REPRODUCTION_FILES = ("reproduction.md", "reproduction.csv")


def benchmark_page(
    folder: ResultsFolder,
    results: Results,
    ranked_choices: Sequence[RankedChoices],
    figures: Sequence[Figure],
    reproductions: Sequence[Reproduction],
    *,
    subgroups: Sequence[pd.DataFrame],
) -> str:
    """Return the page as HTML; `subgroups` has the table of each board."""
    boards = [board for board, _ in ranked_choices]
    datasets = [dataset_section(results, ranked_choices, name) for name in results.manifest.datasets]
    galleries = list(filter(_is_gallery, figures))
    tuned = tuned_tables(results)
    model_costs, run_costs = cost_tables(results)
    content = {
        "title": results.manifest.title,
        "phantom": PHANTOM_NOTE if results.manifest.phantom else "",
        "part": "" if results.manifest.phantom else results.note,
        "boards": [(board, plain_verdict(board)) for board in boards],
        "compared": compared(folder, results),
        "datasets": datasets,
        "over_datasets": over_datasets(boards),
        "subgroups": subgroup_sections(boards, subgroups),
        "searched": searched_tables(results),
        "tuned": tuned,
        "readers": reader_tables(results),
        "requested": requested_tables(results),
        "gallery_links": gallery_links(results, galleries),
        "figures": [figure for figure in figures if not _is_gallery(figure)],
        "galleries": galleries,
        "split_sizes": split_size_tables(folder, results),
        "facts": facts(results),
        "has_failed_control": any(outcome.has_failed for outcome in control_outcomes(results)),
        "failures": failures(results),
        "region_notes": absent_region_notes(results),
        "model_costs": model_costs,
        "run_costs": run_costs,
        "gpu_hours": total_gpu_hours(results),
        "reproductions": reproduction_sections(reproductions),
        "means_over": means_over(results),
        "deviations": known_deviations(results, reproductions),
        "command": command_of(results.manifest),
        "reruns": row_reruns(folder, results),
        "meanings": dict(zip(map(heading_of, MEANINGS), MEANINGS.values(), strict=True)),
        "files": _files(has_trials=bool(tuned), has_reproductions=bool(reproductions)),
    }
    return render("benchmark.html", content)


def _files(*, has_trials: bool, has_reproductions: bool) -> list[str]:
    """Return the files that the page links to."""
    files = [*_FILES]
    if has_trials:
        files.append("tuning.csv")
    if has_reproductions:
        files += _REPRODUCTION_FILES
    return [*files, "benchmark.json"]


def _is_gallery(figure: Figure) -> bool:
    return figure.name.startswith("gallery")
