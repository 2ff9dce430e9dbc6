"""Galleries: image, reference and predictions of the best, median, worst and most disputed case."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow.compute as pc
from PIL import Image

from benchbench.errors import IntegrityError
from benchbench.images.arrays import Mask
from benchbench.images.planes import Plane
from benchbench.metrics.masks import unpack
from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.table_columns import read_checked
from benchbench.report.figures.canvas import Figure, join_names, shorten
from benchbench.report.figures.case_choice import MOST_DISPUTED, ChosenCase
from benchbench.report.figures.gallery_choice import PICTURES, PREDICTIONS, GalleryChoice, choose_gallery
from benchbench.report.figures.mask_overlay import fill_colours
from benchbench.report.figures.metric_text import axis_label, format_value, metric_name
from benchbench.report.figures.picture_grid import Cell, GridRow, Panel, PictureGrid
from benchbench.report.figures.svg import ROW
from benchbench.tables.integrity import check_masks
from benchbench.tables.results import Results
from benchbench.tables.rows import name_for
from benchbench.words import count

Place = tuple[str, str]
"""A model's label and a case."""


class CasePlane(NamedTuple):
    """A plane of a case as a run stored it, with the reference on it."""

    plane: Plane
    image: bytes
    regions: tuple[str, ...]
    colours: tuple[str, ...]
    """The colour of each region."""
    reference: tuple[Mask, ...]
    """The mask of each region, (rows, columns)."""


class Pictures(NamedTuple):
    """The images and masks of the chosen models and cases."""

    planes: Mapping[Place, Sequence[CasePlane]]
    predictions: Mapping[Place, Mapping[str, Mask]]
    """The predicted mask of each region, over the whole case."""


def draw_galleries(folder: ResultsFolder, results: Results) -> Iterator[Figure]:
    """Yield the gallery of each dataset whose runs stored pictures."""
    for dataset in results.manifest.datasets:
        choice = choose_gallery(results, dataset)
        if choice is not None:
            yield _draw_gallery(folder, results, dataset, choice)


def _draw_gallery(folder: ResultsFolder, results: Results, dataset: str, choice: GalleryChoice) -> Figure:
    pictures = _read_pictures(folder, results, choice)
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


def row_id(chosen: ChosenCase) -> str:
    """Return the id of the row of a case in the SVG of its gallery, without the beginning that is the figure's."""
    return ROW + chosen.rule.replace(" ", "-")


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


def _read_pictures(folder: ResultsFolder, results: Results, choice: GalleryChoice) -> Pictures:
    planes: dict[Place, list[CasePlane]] = {}
    predictions: dict[Place, dict[str, Mask]] = {}
    for place, row in _read_rows(folder, results, choice, PICTURES):
        with _damage_named(folder, choice, place, PICTURES):
            planes.setdefault(place, []).append(_case_plane(row))
    for place, row in _read_rows(folder, results, choice, PREDICTIONS):
        with _damage_named(folder, choice, place, PREDICTIONS):
            predictions.setdefault(place, {})[row["region"]] = unpack(row)
    for model in choice.models:
        for chosen in choice.cases:
            place = (model, chosen.case)
            for name, tables in ((PICTURES, planes), (PREDICTIONS, predictions)):
                with _damage_named(folder, choice, place, name):
                    tables[place]
    for place, of_case in planes.items():
        with _damage_named(folder, choice, place, PICTURES):
            for plane in of_case:
                for region in plane.regions:
                    plane.plane.cut(predictions[place][region])
    _recount(folder, results, choice, predictions)
    return Pictures(planes, predictions)


@contextlib.contextmanager
def _damage_named(folder: ResultsFolder, choice: GalleryChoice, place: Place, name: str) -> Iterator[None]:
    """Turn what a damaged row of a file raises into a line with the file and the case.

    Raises:
        IntegrityError: the row was changed together with the digest of its file.
    """
    model, case = place
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
        path = folder.run(choice.runs[model][case]).path / name
        problem = f"case {case}: damaged ({type(error).__name__}: {error})"
        raise IntegrityError(f"{path}: {problem}; delete the folder to run again") from error


def _recount(
    folder: ResultsFolder,
    results: Results,
    choice: GalleryChoice,
    predictions: Mapping[Place, Mapping[str, Mask]],
) -> None:
    """Compare the voxels of the masks with the counts from which the scores are computed.

    Raises:
        IntegrityError: they differ.
    """
    for (model, case), masks in predictions.items():
        run = choice.runs[model][case]
        slices = results.slices_of([run])
        of_case = {(case, region): mask for region, mask in masks.items()}
        check_masks(folder.run(run).path / PREDICTIONS, of_case, slices)


def _read_rows(
    folder: ResultsFolder, results: Results, choice: GalleryChoice, name: str
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the rows of the chosen models and cases from the file `name` of their runs, reading each file once."""
    for model in choice.models:
        cases_of_run: dict[RunKey, list[str]] = {}
        for chosen in choice.cases:
            run = choice.runs[model][chosen.case]
            cases_of_run.setdefault(run, []).append(chosen.case)
        for run, cases in cases_of_run.items():
            table = read_checked(folder.run(run), name, results.records[run])
            for row in table.filter(pc.field("case").isin(cases)).to_pylist():
                yield (model, row["case"]), row


def _case_plane(row: Mapping[str, Any]) -> CasePlane:
    regions = row["truth"]
    with Image.open(io.BytesIO(row["image"])) as picture:
        picture.verify()
    return CasePlane(
        plane=Plane.of(row),
        image=row["image"],
        regions=tuple(region["region"] for region in regions),
        colours=tuple(fill_colours([region["colour"] for region in regions])),
        reference=tuple(unpack(region) for region in regions),
    )


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
