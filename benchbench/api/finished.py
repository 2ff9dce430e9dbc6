"""The results of a benchmark in Python: its tables as DataFrames, comparisons, and its page in a notebook."""

from __future__ import annotations

import html
import sys
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchbench.comparison import compare_results
from benchbench.comparison.rows import comparison_rows
from benchbench.errors import UsageError
from benchbench.records.folder import ResultsFolder, benchmark_folders
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.results import Results, read_results
from benchbench.tables.summaries import case_values, columns_of
from benchbench.words import count

if TYPE_CHECKING:
    from benchbench.api.predictors import RowPredictor

_PAGE = "index.html"


def open_results(folder: str | Path) -> BenchmarkResults:
    """Return the results in the folder of a benchmark, or in one that holds the folder of a single benchmark.

    Raises:
        UsageError: there are no results in the folder, or those of several benchmarks.
    """
    path = Path(folder)
    folders = benchmark_folders(path)
    if not folders:
        raise UsageError(
            f"{path}: no benchmark.json here or in its folders; give the results folder of a benchmark"
        )
    if len(folders) > 1:
        names = ", ".join(str(other.path) for other in folders)
        raise UsageError(f"{path}: found the results of {len(folders)} benchmarks; give one of {names}")
    return BenchmarkResults(folders[0])


class BenchmarkResults:
    """The results of the runs that have ended so far; each table is computed when it is used."""

    def __init__(self, folder: ResultsFolder) -> None:
        self.path = folder.path
        self._folder = folder

    def __repr__(self) -> str:
        return f"<BenchmarkResults {str(self.path)!r}: {self._count()}>"

    @property
    def title(self) -> str:
        return self._results.manifest.title

    @property
    def leaderboard(self) -> pd.DataFrame:
        """One row per dataset, model and variant, best first, as in leaderboard.csv."""
        return leaderboard(self._results).assign(data=self._results.data)

    @property
    def folds(self) -> pd.DataFrame:
        """One row per run: status, reason, every metric by case, by slice and pooled, as in folds.csv."""
        return fold_table(self._results)

    @property
    def cases(self) -> pd.DataFrame:
        """One row per run, case and region: voxel counts, distances and each metric of the benchmark."""
        parts: list[pd.DataFrame] = []
        for variant, part in self._results.cases.groupby("variant", sort=False):
            parts.append(self._with_scores(part, str(variant)))
        return pd.concat(parts, ignore_index=True) if parts else self._results.cases.copy()

    def compare(
        self, first: str, second: str, *, metrics: Sequence[str] = (), dataset: str | None = None
    ) -> pd.DataFrame:
        """Return a row per dataset and metric with the difference, first minus second, its interval and tests.

        A model is written `unet` or `unet:variant`. A value that cannot be computed is missing. The sentences that
        `benchbench compare` prints are in `attrs` of the table: `verdicts` and `notes`.

        Raises:
            UsageError: a model or metric does not exist.
            IncompatibleError: the models did not use the same data in the same folds.
        """
        outcomes = compare_results(first, second, results=self.path, metrics=metrics, dataset=dataset)
        table = pd.DataFrame(comparison_rows(outcomes))
        table.attrs["verdicts"] = [outcome.verdict for outcome in outcomes]
        notes: dict[str, None] = {}
        for outcome in outcomes:
            notes.update(dict.fromkeys(outcome.notes))
        table.attrs["notes"] = list(notes)
        return table

    def predictor(self, model: str, **choice: Any) -> RowPredictor:
        """Return the predictor of a row of these results; the choice is that of `benchbench.predictor`."""
        from benchbench.api.predictors import predictor  # noqa: PLC0415 imports torch

        return predictor(model, results=self.path, **choice)

    def show(self, *, height: int = 800) -> None:
        """Display the page of the benchmark in a notebook, `height` pixels high; elsewhere, print the leaderboard.

        Raises:
            UsageError: in a notebook, the page has not been written.
        """
        shell = sys.modules.get("IPython")
        if shell is None or shell.get_ipython() is None:
            sys.stdout.write(f"{self.title}\n{self.leaderboard.to_string(index=False)}\n{self.path / _PAGE}\n")
            return
        page = self.path / _PAGE
        if not page.is_file():
            raise UsageError(f"{page}: not written yet; write it with benchbench report {self.path}")
        content = html.escape(page.read_text(encoding="utf-8"), quote=True)
        display = import_module("IPython.display")
        display.display(display.HTML(f'<iframe srcdoc="{content}" width="100%" height="{height}"></iframe>'))

    def _repr_html_(self) -> str:
        note = f" ({self._results.note})" if self._results.note else ""
        heading = f"<h3>{html.escape(self.title)}{note}</h3><p>{self._count()}</p>"
        return heading + str(leaderboard(self._results).to_html(index=False, na_rep=""))

    def _count(self) -> str:
        done = sum(map(self._results.is_done, self._results.planned))
        return f"{done} of {count(len(self._results.planned), 'run')} done"

    def _with_scores(self, cases: pd.DataFrame, variant: str) -> pd.DataFrame:
        scored = cases.copy()
        for metric in self._results.metrics(variant):
            for column in columns_of(metric, cases):
                scored[column] = case_values(column, cases, self._results.empty(variant))
        return scored

    @cached_property
    def _results(self) -> Results:
        return read_results(self._folder)
