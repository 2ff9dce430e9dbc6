"""Galleries: image, reference and predictions of the best, median, worst and most disputed case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchbench.images.arrays import Mask
from benchbench.records.folder import ResultsFolder
from benchbench.report.figures.canvas import Figure, join_names, shorten
from benchbench.report.figures.case_choice import MOST_DISPUTED, ChosenCase
from benchbench.report.figures.gallery_choice import GalleryChoice, choose_gallery
from benchbench.report.figures.gallery_files import CasePlane, Pictures, read_pictures
from benchbench.report.figures.gallery_slides import MOST_CHARACTERS, row_id, slides_of
from benchbench.report.figures.metric_text import axis_label, format_value, metric_name
from benchbench.report.figures.picture_grid import Cell, GridRow, Panel, PictureGrid
from benchbench.tables.results import Results
from benchbench.tables.rows import name_for
from benchbench.words import count


def draw_galleries(folder: ResultsFolder, results: Results) -> Iterator[Figure]:
    """Yield the gallery of each dataset whose runs stored pictures."""
    datasets = results.manifest.datasets
    for dataset in datasets:
        choice = choose_gallery(results, dataset)
        if choice is None:
            continue
        pictures = read_pictures(folder, results, choice)
        figure = _draw_gallery(results, dataset, choice, pictures)
        slides = slides_of(
            choice, pictures, legend=_legend(pictures), most_characters=MOST_CHARACTERS // len(datasets)
        )
        yield replace(figure, slides=slides)


def _draw_gallery(results: Results, dataset: str, choice: GalleryChoice, pictures: Pictures) -> Figure:
    grid = PictureGrid(
        columns=("image", "reference", *choice.models),
        rows=[_grid_row(choice, chosen, pictures) for chosen in choice.cases],
        legend=_legend(pictures),
    )
    return grid.draw(
        name=name_for("gallery", dataset, results),
        title=f"Predictions on {dataset}",
        caption=_caption(choice, has_sides=_has_sides(pictures)),
        alt=f"Image, reference and predictions of {join_names(choice.models)} on the {_rules(choice)} case.",
        note=results.note,
    )


def _grid_row(choice: GalleryChoice, chosen: ChosenCase, pictures: Pictures) -> GridRow:
    """Return image and reference as the best model's run stored them, and the prediction of every model."""
    case = chosen.case
    first = pictures.planes[choice.models[0], case]
    images = [_panel(plane, ()) for plane in first]
    references = [_panel(plane, plane.reference) for plane in first]
    cells = [Cell(images), Cell(references)]
    for model in choice.models:
        prediction = pictures.predictions[model, case]
        panels = []
        for plane in pictures.planes[model, case]:
            masks = [plane.plane.cut(prediction[region]) for region in plane.regions]
            panels.append(_panel(plane, masks))
        score = choice.scores.loc[case, model]
        cells.append(Cell(panels, note=f"{format_value(choice.metric, score)} (case)"))
    plane_names = ", ".join(plane.plane.name for plane in first)
    title = f"{chosen.rule.capitalize()}: {shorten(case, longest=40)} · {plane_names}"
    return GridRow(title, cells, name=row_id(chosen))


def _panel(plane: CasePlane, masks: Sequence[Mask]) -> Panel:
    rows, columns = plane.reference[0].shape
    ratio = rows * plane.plane.aspect / columns
    sides = plane.plane.sides
    return Panel(image=plane.image, masks=tuple(masks), colours=plane.colours, ratio=ratio, sides=sides)


def _has_sides(pictures: Pictures) -> bool:
    """Return True if the sides of the patient are known in any plane."""
    return any(any(plane.plane.sides) for planes in pictures.planes.values() for plane in planes)


def _legend(pictures: Pictures) -> dict[str, str]:
    colours: dict[str, str] = {}
    for planes in pictures.planes.values():
        for plane in planes:
            colours.update(zip(plane.regions, plane.colours, strict=True))
    return colours


def _rules(choice: GalleryChoice) -> str:
    *others, last = [chosen.rule for chosen in choice.cases]
    if others:
        return f"{', '.join(others)} and {last}"
    return last


def _caption(choice: GalleryChoice, *, has_sides: bool) -> str:
    n_models, n_shown = choice.scores.shape[1], len(choice.models)
    over_models = ""
    if n_models > 1:
        over_models = f" and over {n_models} models"
    n_cases = len(choice.scores)
    parts = [
        f"The {_rules(choice)} of {count(n_cases, 'test case')} by {metric_name(choice.metric)}.",
        f"Scores are means over regions{over_models}; each case is shown once.",
    ]
    if choice.cases[-1].rule == MOST_DISPUTED:
        parts.append("The most disputed case is the one on which the models differ most.")
    parts.append(f"Below each prediction is its {axis_label(choice.metric)} over the whole case, not the plane.")
    if has_sides:
        parts.append("R and L are the patient's right and left (radiological convention), A and P front and back.")
    if n_models > n_shown:
        parts.append(f"The {n_shown} of {n_models} models with the best mean are shown.")
    if len(choice.seeds) > 1:
        parts.append(f"Runs of seed {choice.seeds[0]} are shown, of {len(choice.seeds)} seeds.")
    return " ".join(parts)
