"""Galleries: of the best, median, worst and most disputed case the image, the truth and what each model found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.compute as pc

from benchbench.masks import Mask, unpack
from benchbench.plan import RunKey
from benchbench.planes import Plane
from benchbench.report.figures.canvas import Figure, listed, short
from benchbench.report.figures.chosen import MOST_DISPUTED, Chosen, choose
from benchbench.report.figures.rows import Row, datasets, name_for, rows_of
from benchbench.report.figures.scores import Measure, case_scores, cases_of, first_measure
from benchbench.report.figures.sheet import Cell, Line, Panel, Sheet
from benchbench.report.figures.tint import colours_of
from benchbench.store import ResultsFolder
from benchbench.tables import Results

MOST_MODELS = 5
_FILES = {"pictures.parquet", "predictions.parquet"}


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

    measure: Measure
    scores: pd.DataFrame
    """(cases, labels) by the measure, the best model first."""
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
    rows = [row for row in rows_of(results, dataset) if _has_pictures(results, row)]
    if not rows:
        return None
    measure = first_measure(results, rows)
    scores = pd.DataFrame({row.label: case_scores(results, _of_first_seed(row), measure) for row in rows}).dropna()
    if scores.empty:
        return None
    means = scores.mean()
    order = (means if measure.is_lower_better else -means).sort_values(kind="stable").index
    cases = cases_of(results, [run for row in rows for run in _of_first_seed(row)])
    referenced = cases[cases["tp"] + cases["fn"] > 0]["case"]
    return Choice(
        measure=measure,
        scores=scores[order],
        runs={row.label: dict(_runs_by_case(results, row)) for row in rows},
        chosen=choose(scores, is_lower_better=measure.is_lower_better, with_reference=set(referenced)),
        seeds=sorted({run.seed for row in rows for run in row.runs}),
    )


def _has_pictures(results: Results, row: Row) -> bool:
    return all(set(results.records[run].files) >= _FILES for run in _of_first_seed(row))


def _of_first_seed(row: Row) -> list[RunKey]:
    first = min(run.seed for run in row.runs)
    return [run for run in row.runs if run.seed == first]


def _runs_by_case(results: Results, row: Row) -> Iterator[tuple[str, RunKey]]:
    for run in _of_first_seed(row):
        for case in cases_of(results, [run])["case"].unique():
            yield case, run


def _draw(folder: ResultsFolder, results: Results, dataset: str, choice: Choice) -> Figure:
    lines, legend = [], {}
    for rule, case in choice.chosen:
        kept = [_kept(folder, results, choice.runs[label][case], case) for label in choice.shown]
        found = [_predicted(folder, results, choice.runs[label][case], case) for label in choice.shown]
        first = kept[0]
        legend |= {
            name: colour for plane in first for name, colour in zip(plane.regions, plane.colours, strict=True)
        }
        cells = [
            Cell(panels=tuple(_panel(each, ()) for each in first)),
            Cell(panels=tuple(_panel(each, each.truth) for each in first)),
        ]
        for label, planes, masks in zip(choice.shown, kept, found, strict=True):
            panels = tuple(_panel(each, [each.plane.cut(masks[name]) for name in each.regions]) for each in planes)
            cells.append(Cell(panels=panels, note=choice.measure.write(choice.scores.loc[case, label])))
        lines.append(Line(title=rule.capitalize(), note=_where(case, first), cells=cells))
    phantom = bool(results.manifest["phantom"])
    sheet = Sheet(columns=("image", "truth", *choice.shown), lines=lines, legend=legend)
    return sheet.draw(
        name=name_for("gallery", dataset, results),
        title=f"Predictions on {dataset}",
        caption=_caption(choice),
        alt=f"Image, truth and predictions of {listed(choice.shown)}, of the {_rules(choice)} case.",
        phantom=phantom,
    )


def _kept(folder: ResultsFolder, results: Results, run: RunKey, case: str) -> list[Kept]:
    table = folder.run(run).read_table("pictures.parquet", results.records[run])
    return [_as_kept(row) for row in table.filter(pc.field("case") == case).to_pylist()]


def _as_kept(row: Mapping[str, Any]) -> Kept:
    return Kept(
        plane=Plane.of(row),
        image=row["image"],
        regions=tuple(each["region"] for each in row["truth"]),
        colours=tuple(colours_of([each["colour"] for each in row["truth"]])),
        truth=tuple(unpack(each) for each in row["truth"]),
    )


def _predicted(folder: ResultsFolder, results: Results, run: RunKey, case: str) -> dict[str, Mask]:
    """Region -> mask (S, H, W)."""
    table = folder.run(run).read_table("predictions.parquet", results.records[run])
    return {row["region"]: unpack(row) for row in table.filter(pc.field("case") == case).to_pylist()}


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
    measure, models = choice.measure, choice.scores.columns
    over = f" and over {len(models)} models" if len(models) > 1 else ""
    parts = [
        f"The {_rules(choice)} of {len(choice.scores)} test cases by {measure.title} (mean over regions{over});"
        " a case stands under one rule only."
    ]
    if choice.chosen[-1].rule == MOST_DISPUTED:
        parts.append("The most disputed case is that on which the models differ most.")
    parts.append(f"Below each prediction is its {measure.title} of the whole case, not of the plane.")
    if len(models) > len(choice.shown):
        parts.append(f"Of {len(models)} models the {len(choice.shown)} with the best mean are shown.")
    if len(choice.seeds) > 1:
        parts.append(f"Runs of seed {choice.seeds[0]}, of {len(choice.seeds)} seeds.")
    return " ".join(parts)
