"""Galleries: of the best, median, worst and most disputed case the image, the truth and what each model found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.compute as pc

from benchbench.comparison.values import scores_of
from benchbench.images.arrays import Mask
from benchbench.images.planes import Plane
from benchbench.metrics.masks import unpack
from benchbench.plan.run import KEYS, RunKey
from benchbench.report.figures.canvas import Figure, listed, short
from benchbench.report.figures.chosen import MOST_DISPUTED, Chosen, choose
from benchbench.report.figures.measure import axis_of, name_of, written
from benchbench.report.figures.sheet import Cell, Line, Panel, Sheet
from benchbench.report.figures.tint import colours_of
from benchbench.results.folder import ResultsFolder
from benchbench.spec.metric_names import is_lower_better
from benchbench.tables.results import Results, mixed_data
from benchbench.tables.rows import Row, datasets, name_for, rows_of
from benchbench.tables.summaries import columns_of

MOST_MODELS = 5
_FILES = {"pictures.parquet", "predictions.parquet"}
Place = tuple[str, str]
"""A model's label and a case."""


class Kept(NamedTuple):
    """A plane of a case as a run keeps it."""

    plane: Plane
    image: bytes
    regions: tuple[str, ...]
    colours: tuple[str, ...]
    truth: tuple[Mask, ...]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a gallery shows of a dataset."""

    metric: str
    """As a column has it, with the unit of a distance."""
    scores: pd.DataFrame
    """(cases, labels) by the metric, the best model first."""
    runs: Mapping[str, Mapping[str, RunKey]]
    """Label -> case -> the run that tested it."""
    chosen: Sequence[Chosen]
    seeds: Sequence[int]
    """Of all runs; the first is shown."""

    @property
    def shown(self) -> list[str]:
        """The labels of the models that have a column."""
        return list(self.scores.columns[:MOST_MODELS])


def draw_galleries(folder: ResultsFolder, results: Results) -> Iterator[Figure]:
    """One of each dataset of which pictures were kept."""
    for dataset in datasets(results):
        if (choice := choice_of(results, dataset)) is not None:
            yield _draw(folder, results, dataset, choice)


def choice_of(results: Results, dataset: str) -> Choice | None:
    """Models and cases by rule, over those cases that every model has a score and a picture of."""
    mixed = mixed_data(results)
    rows = [
        row
        for row in rows_of(results, dataset)
        if _has_pictures(results, row) and (dataset, row.group.variant) not in mixed
    ]
    if not rows:
        return None
    by_run = {RunKey(*key): table for key, table in results.cases.groupby(KEYS, sort=False)}
    runs = {row.label: _of_first_seed(row) for row in rows}
    cases = {label: pd.concat([by_run[key] for key in keys]) for label, keys in runs.items()}
    metric = _metric(results, rows[0], pd.concat(cases.values()))
    scores = pd.DataFrame({row.label: _scores(results, row, cases[row.label], metric) for row in rows}).dropna()
    if scores.empty:
        return None
    means = scores.mean()
    order = (means if is_lower_better(metric) else -means).sort_values(kind="stable").index
    referenced = {case for each in cases.values() for case in each[each["tp"] + each["fn"] > 0]["case"]}
    return Choice(
        metric=metric,
        scores=scores[order],
        runs={
            label: {case: key for key in keys for case in by_run[key]["case"].unique()}
            for label, keys in runs.items()
        },
        chosen=choose(scores, is_lower_better=is_lower_better(metric), with_reference=referenced),
        seeds=sorted({run.seed for row in rows for run in row.runs}),
    )


def _metric(results: Results, row: Row, cases: pd.DataFrame) -> str:
    """The first of the row; Dice where that is not known of every case in one unit."""
    names = columns_of(results.metrics(row.group.variant)[0], cases)
    return names[0] if len(names) == 1 else "dice"


def _scores(results: Results, row: Row, cases: pd.DataFrame, metric: str) -> pd.Series:
    """Case -> its score."""
    found = scores_of(cases, metric=metric, empty=results.empty(row.group.variant), model=row.label)
    return found.set_index("case")["value"]


def _has_pictures(results: Results, row: Row) -> bool:
    return all(set(results.records[run].files) >= _FILES for run in _of_first_seed(row))


def _of_first_seed(row: Row) -> list[RunKey]:
    first = min(run.seed for run in row.runs)
    return [run for run in row.runs if run.seed == first]


def _draw(folder: ResultsFolder, results: Results, dataset: str, choice: Choice) -> Figure:
    pictures = _read(folder, results, choice, "pictures.parquet")
    masks = _read(folder, results, choice, "predictions.parquet")
    kept = {at: [_as_kept(row) for row in rows] for at, rows in pictures.items()}
    found = {at: {row["region"]: unpack(row) for row in rows} for at, rows in masks.items()}
    planes = [plane for of_case in kept.values() for plane in of_case]
    sheet = Sheet(
        columns=("image", "truth", *choice.shown),
        lines=[_line(choice, chosen, kept, found) for chosen in choice.chosen],
        legend={name: colour for each in planes for name, colour in zip(each.regions, each.colours, strict=True)},
    )
    return sheet.draw(
        name=name_for("gallery", dataset, results),
        title=f"Predictions on {dataset}",
        caption=_caption(choice),
        alt=f"Image, truth and predictions of {listed(choice.shown)}, of the {_rules(choice)} case.",
        phantom=results.manifest.phantom,
    )


def _line(
    choice: Choice, chosen: Chosen, kept: Mapping[Place, Sequence[Kept]], found: Mapping[Place, Mapping[str, Mask]]
) -> Line:
    """Image and truth as the best model has them, and what each model found, on the planes of its own run."""
    case = chosen.case
    first = kept[choice.shown[0], case]
    cells = [Cell([_panel(each, ()) for each in first]), Cell([_panel(each, each.truth) for each in first])]
    for label in choice.shown:
        masks = found[label, case]
        panels = [
            _panel(each, [each.plane.cut(masks[name]) for name in each.regions]) for each in kept[label, case]
        ]
        cells.append(Cell(panels, note=written(choice.metric, choice.scores.loc[case, label])))
    return Line(title=chosen.rule.capitalize(), note=_where(case, first), cells=cells)


def _read(folder: ResultsFolder, results: Results, choice: Choice, name: str) -> dict[Place, list[dict[str, Any]]]:
    """The rows of a table of the runs, by label and case, of those that are shown; each file is read once."""
    found: dict[Place, list[dict[str, Any]]] = {}
    for label in choice.shown:
        by_run: dict[RunKey, list[str]] = {}
        for _, case in choice.chosen:
            by_run.setdefault(choice.runs[label][case], []).append(case)
        for run, cases in by_run.items():
            table = folder.run(run).read_table(name, results.records[run])
            for row in table.filter(pc.field("case").isin(cases)).to_pylist():
                found.setdefault((label, row["case"]), []).append(row)
    return found


def _as_kept(row: Mapping[str, Any]) -> Kept:
    return Kept(
        plane=Plane.of(row),
        image=row["image"],
        regions=tuple(each["region"] for each in row["truth"]),
        colours=tuple(colours_of([each["colour"] for each in row["truth"]])),
        truth=tuple(unpack(each) for each in row["truth"]),
    )


def _panel(kept: Kept, masks: Sequence[Mask]) -> Panel:
    rows, columns = kept.truth[0].shape
    return Panel(
        image=kept.image, masks=tuple(masks), colours=kept.colours, ratio=rows * kept.plane.aspect / columns
    )


def _where(case: str, planes: Sequence[Kept]) -> str:
    return f"{short(case, longest=40)} · {', '.join(each.plane.name for each in planes)}"


def _rules(choice: Choice) -> str:
    *others, last = [rule for rule, _ in choice.chosen]
    return f"{', '.join(others)} and {last}" if others else last


def _caption(choice: Choice) -> str:
    models = choice.scores.columns
    over = f" and over {len(models)} models" if len(models) > 1 else ""
    parts = [
        (
            f"The {_rules(choice)} of {len(choice.scores)} test cases by {name_of(choice.metric)} (mean over"
            f" regions{over}); a case stands under one rule only."
        )
    ]
    if choice.chosen[-1].rule == MOST_DISPUTED:
        parts.append("The most disputed case is that on which the models differ most.")
    parts.append(f"Below each prediction is its {axis_of(choice.metric)} of the whole case, not of the plane.")
    if len(models) > len(choice.shown):
        parts.append(f"Of {len(models)} models the {len(choice.shown)} with the best mean are shown.")
    if len(choice.seeds) > 1:
        parts.append(f"Runs of seed {choice.seeds[0]}, of {len(choice.seeds)} seeds.")
    return " ".join(parts)
