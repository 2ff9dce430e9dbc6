"""The pictures and masks of the cases in a gallery, read from the files of their runs and checked."""

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
from benchbench.report.figures.gallery_choice import PICTURES, PLANES, PREDICTIONS, GalleryChoice
from benchbench.report.figures.mask_overlay import fill_colours
from benchbench.tables.integrity import check_masks
from benchbench.tables.results import Results

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
    further: Mapping[str, Sequence[CasePlane]]
    """Case -> further planes, parallel to the first one; empty where its run stored none."""


def read_pictures(folder: ResultsFolder, results: Results, choice: GalleryChoice) -> Pictures:
    """Return the images and masks of the chosen models and cases.

    Raises:
        IntegrityError: a file is missing, damaged or edited.
    """
    places = [(model, chosen.case) for model in choice.models for chosen in choice.cases]
    planes = _read_planes(folder, results, choice, PICTURES, places)
    predictions: dict[Place, dict[str, Mask]] = {}
    for place, row in _read_rows(folder, results, choice, PREDICTIONS, places):
        with _damage_named(folder, choice, place, PREDICTIONS):
            predictions.setdefault(place, {})[row["region"]] = unpack(row)
    for place in places:
        for name, tables in ((PICTURES, planes), (PREDICTIONS, predictions)):
            with _damage_named(folder, choice, place, name):
                tables[place]
    further = _read_planes(folder, results, choice, PLANES, _places_with_further_planes(results, choice))
    for name, tables in ((PICTURES, planes), (PLANES, further)):
        _try_to_cut(folder, choice, name, tables, predictions)
    _recount(folder, results, choice, predictions)
    return Pictures(planes, predictions, {case: of_case for (_, case), of_case in further.items()})


def _places_with_further_planes(results: Results, choice: GalleryChoice) -> list[Place]:
    """Return for each chosen case the best model whose run stored further planes of it; older runs did not."""
    places = []
    for chosen in choice.cases:
        for model in choice.models:
            if PLANES in results.records[choice.runs[model][chosen.case]].files:
                places.append((model, chosen.case))
                break
    return places


def _try_to_cut(
    folder: ResultsFolder,
    choice: GalleryChoice,
    name: str,
    planes: Mapping[Place, Sequence[CasePlane]],
    predictions: Mapping[Place, Mapping[str, Mask]],
) -> None:
    """Cut every plane from the masks of its model.

    Raises:
        IntegrityError: a plane is not one of its case.
    """
    for place, of_case in planes.items():
        with _damage_named(folder, choice, place, name):
            for plane in of_case:
                for region in plane.regions:
                    plane.plane.cut(predictions[place][region])


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


def _read_planes(
    folder: ResultsFolder, results: Results, choice: GalleryChoice, name: str, places: Sequence[Place]
) -> dict[Place, list[CasePlane]]:
    planes: dict[Place, list[CasePlane]] = {}
    for place, row in _read_rows(folder, results, choice, name, places):
        with _damage_named(folder, choice, place, name):
            planes.setdefault(place, []).append(_case_plane(row))
    return planes


def _read_rows(
    folder: ResultsFolder, results: Results, choice: GalleryChoice, name: str, places: Sequence[Place]
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the rows of models and cases from the file `name` of their runs, reading each file once."""
    cases_of_run: dict[tuple[str, RunKey], list[str]] = {}
    for model, case in places:
        cases_of_run.setdefault((model, choice.runs[model][case]), []).append(case)
    for (model, run), cases in cases_of_run.items():
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
