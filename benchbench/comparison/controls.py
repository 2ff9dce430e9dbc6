"""The controls of a benchmark: rows whose outcome is known, and the reason not to believe it where they differ."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from benchbench.comparison.case_scores import case_scores, keep_common_cases
from benchbench.spec.controls import Control
from benchbench.spec.metric_names import is_lower_better, is_overlap
from benchbench.spec.statistics import delta_of
from benchbench.statistics import Panel, Unknown, make_panel, quick_test
from benchbench.tables.references import BACKGROUND
from benchbench.tables.results import Results
from benchbench.tables.rows import Row, rows_of
from benchbench.tables.summaries import columns_of

FOREGROUND = "all foreground"
_LEVEL = 0.01  # of a test that every sound benchmark repeats and that turns its page red


class ControlOutcome(NamedTuple):
    """The outcome of a control on a dataset, in a variant."""

    name: str
    dataset: str
    variant: str
    has_failed: bool | None
    """None where it is not known: runs are missing, or there are too few patients."""
    text: str
    """The outcome in words, with the numbers."""


def control_outcomes(results: Results) -> list[ControlOutcome]:
    """Return the outcomes of all controls, in the order of the benchmark file."""
    everything = results.with_controls
    if everything is None:
        return []
    outcomes: list[ControlOutcome] = []
    for control in everything.manifest.controls:
        for dataset in everything.manifest.datasets:
            rows = {row.group: row for row in rows_of(everything, dataset)}
            for group, row in rows.items():
                if group.model == control.name:
                    original = rows.get(group._replace(model=control.model))
                    outcomes.append(_outcome(everything, control, row, original))
    return outcomes


def failed_controls(results: Results, dataset: str) -> tuple[str, ...]:
    """Return a line for each control that failed on a dataset, or on all data of the benchmark."""
    failed = [outcome for outcome in control_outcomes(results) if outcome.has_failed]
    return tuple(outcome.text for outcome in failed if outcome.dataset == dataset)


def _outcome(results: Results, control: Control, row: Row, original: Row | None) -> ControlOutcome:
    has_failed, text = _judge(results, control, row, original)
    return ControlOutcome(control.name, row.group.dataset, row.group.variant, has_failed, f"{control.name} {text}")


def _judge(results: Results, control: Control, row: Row, original: Row | None) -> tuple[bool | None, str]:
    """Return True if the control failed, and what it shows in words."""
    if not row.is_complete or original is None or not original.is_complete:
        return None, "is not known, as runs are missing"
    panel = _panel_of(results, control, row, original)
    if panel is None:
        return None, "is not known, as no case has a score"
    metric = _metric(results, row, needs_overlap=control.kind == "shuffled_labels")
    first, second = panel.models
    p = quick_test(panel, first, second, delta=delta_of(metric, results.manifest.delta)).p
    if isinstance(p, Unknown):
        return None, f"is not known ({p.reason})"
    difference = float(panel.means[0] - panel.means[1])
    is_shown = p < _LEVEL and difference != 0
    numbers = f"({metric} {difference:+.4f}, p = {p:.4f})"
    if control.kind == "a_a_twin":
        return is_shown, f"{_verb(is_shown, 'differs', 'differ')} from {second} {numbers}"
    is_better = is_shown and (difference < 0) == is_lower_better(metric)
    return is_better, f"{_verb(is_better, 'scores', 'score')} more than {second}, which knows nothing {numbers}"


def _verb(is_true: bool, affirmed: str, denied: str) -> str:
    return affirmed if is_true else f"does not {denied}"


def _metric(results: Results, row: Row, *, needs_overlap: bool) -> str:
    """Return the column of the first metric; Dice where it is a distance and an overlap is needed."""
    first = results.metrics(row.group.variant)[0]
    if needs_overlap and not is_overlap(first):
        return "dice"
    columns = columns_of(first, results.cases_of(row.runs))
    return columns[0] if columns else "dice"


def _panel_of(results: Results, control: Control, row: Row, original: Row) -> Panel | None:
    """Return the scores of the control, and of what it must not be better than."""
    if control.kind == "shuffled_labels":
        return _chance_panel(results, row)
    metric = _metric(results, row, needs_overlap=False)
    scores = [_scores(results, row, metric, control.name), _scores(results, original, metric, control.model)]
    return _panel(scores, metric, [control.name, control.model])


def _chance_panel(results: Results, row: Row) -> Panel | None:
    """Return the scores of a row and those of the better of two predictions that know nothing of the image."""
    metric = _metric(results, row, needs_overlap=True)
    cases = results.cases_of(row.runs)
    positive, negative = cases["tp"] + cases["fn"], cases["fp"] + cases["tn"]
    nothing = cases.assign(tp=0, fp=0, fn=positive, tn=negative)
    everything = cases.assign(tp=positive, fp=negative, fn=0, tn=0)
    empty = results.empty(row.group.variant)
    of_control = case_scores(cases, metric=metric, empty=empty, model=row.label)
    panels: list[Panel] = []
    for name, table in ((BACKGROUND, nothing), (FOREGROUND, everything)):
        scores = [of_control, case_scores(table, metric=metric, empty=empty, model=name)]
        panel = _panel(scores, metric, [row.label, name])
        if panel is not None:
            panels.append(panel)
    if not panels:
        return None
    return max(panels, key=lambda panel: float(panel.means[1]))


def _scores(results: Results, row: Row, metric: str, name: str) -> pd.DataFrame:
    cases = results.cases_of(row.runs)
    return case_scores(cases, metric=metric, empty=results.empty(row.group.variant), model=name)


def _panel(scores: list[pd.DataFrame], metric: str, models: list[str]) -> Panel | None:
    common, _ = keep_common_cases(pd.concat(scores, ignore_index=True))
    if common["value"].isna().all():
        return None
    return make_panel(common, is_lower_better=is_lower_better(metric)).of(models)
