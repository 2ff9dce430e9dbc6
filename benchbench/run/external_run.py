"""Scores the predictions of another tool: the same metrics on the same cases, read from label maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchbench.engine.preparation.image_facts import image_facts
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.errors import DataError
from benchbench.images.arrays import Mask
from benchbench.images.label_maps import LabelMap, read_label_map
from benchbench.images.label_values import distinct_values
from benchbench.records.record import Record
from benchbench.run.assignment import Assignment
from benchbench.run.environment import provenance_of
from benchbench.run.evaluate import SCORED_FILES, write_scores, write_split_of
from benchbench.spec.file_names import slug

_TOLERANCE_MM = 1e-3  # between affines of the same grid
_MOST_NAMES = 5  # in a message


def run_external(assignment: Assignment) -> Record:
    """Score the predictions of the test cases and return the record.

    Raises:
        DataError: a prediction is missing, or is not one of its case.
    """
    assignment.folder.clear(keep_resume=False)
    write_scores(assignment, _predictions(assignment))
    write_split_of(assignment)
    assert assignment.external is not None, "only external rows are scored here"
    spec = assignment.external.spec
    return assignment.record(
        status="done",
        provenance=provenance_of(assignment),
        seconds=0.0,
        parameters=spec.parameters,
        images=image_facts(assignment.train),
        cost={} if spec.gmacs is None else {"gmacs": spec.gmacs},
        files=assignment.folder.digests(SCORED_FILES),
    )


def check_external(assignment: Assignment) -> list[str]:
    """Return every problem of the predictions of an external row: missing cases, other folds, grids and labels."""
    problems: list[str] = []
    files, choice_problems = _choose_files(assignment)
    problems += choice_problems
    for prepared in assignment.test:
        path = files.get(prepared.case.id)
        if path is None:
            continue
        try:
            _masks(assignment, prepared, path)
        except DataError as error:
            problems += error.problems
    return problems


def _predictions(assignment: Assignment) -> Iterator[tuple[PreparedCase, Mask]]:
    """Yield each test case with its masks (S, K, H, W) of the regions."""
    files, problems = _choose_files(assignment)
    if problems:
        raise DataError(*problems)
    for prepared in assignment.test:
        yield prepared, _masks(assignment, prepared, files[prepared.case.id])


def _choose_files(assignment: Assignment) -> tuple[dict[str, Path], list[str]]:
    """Return the file of each test case, and what is wrong with the choice of files."""
    external = assignment.external
    assert external is not None, "only external rows have files"
    fold = assignment.key.fold
    found_files = external.files(fold)
    where = f"external.{external.spec.name}, fold {fold}"
    files: dict[str, Path] = {}
    problems: list[str] = []
    for prepared in assignment.test:
        case = prepared.case.id
        paths = found_files.get(case) or found_files.get(slug(case)) or []
        if not paths:
            pattern = external.pattern.replace("{fold}", str(fold)).replace("{case}", case)
            problems.append(f"{where}: case {case}: no prediction {pattern}; predict it, or correct the pattern")
        elif len(paths) > 1:
            names = ", ".join(path.name for path in paths[:_MOST_NAMES])
            problems.append(
                f"{where}: case {case}: found {names}, expected one file; make the pattern more precise"
            )
        else:
            files[case] = paths[0]
    if external.has_folds:
        problems += _other_folds(assignment, found_files, where)
    return files, problems


def _other_folds(assignment: Assignment, found_files: Mapping[str, list[Path]], where: str) -> Iterator[str]:
    """Yield a line for each prediction of a case that this fold does not test."""
    for part, cases in (("trained on", assignment.train), ("in the inner validation", assignment.validation)):
        for prepared in cases:
            case = prepared.case.id
            paths = found_files.get(case) or found_files.get(slug(case))
            if paths:
                yield (
                    f"{where}: case {case}: found {paths[0].name}, expected the tested cases alone, but it is"
                    f" {part} in this fold; train the tool on the folds of `benchbench split`"
                )


def _masks(assignment: Assignment, prepared: PreparedCase, path: Path) -> Mask:
    """Return the masks (S, K, H, W) of a label map, in the axes of the case's frame.

    Raises:
        DataError: the map is not on the grid of the case, or has labels of no region.
    """
    external = assignment.external
    assert external is not None, "only external rows have files"
    label_map = read_label_map(path)
    where = f"external.{external.spec.name}, fold {assignment.key.fold}: case {prepared.case.id}: {path}"
    voxels = label_map.voxels
    if voxels.ndim == 2:
        voxels = voxels[None]
    problems = list(_grid_problems(prepared, label_map._replace(voxels=voxels)))
    label_values = {**assignment.label_values, **external.spec.labels}
    known = {0}.union(*label_values.values())
    unknown = sorted(distinct_values(voxels) - known)
    if unknown:
        listed = ", ".join(map(str, unknown[:_MOST_NAMES]))
        expected = ", ".join(map(str, sorted(known)))
        problems.append(f"found label {listed}, expected {expected}; give the labels of its regions as `labels`")
    if problems:
        raise DataError(*[f"{where}: {problem}" for problem in problems])
    oriented = prepared.frame.orient(voxels)
    masks = [np.isin(oriented, label_values[region]) for region in assignment.regions]
    return np.stack(masks, axis=1)


def _grid_problems(prepared: PreparedCase, label_map: LabelMap) -> Iterator[str]:
    frame = prepared.frame
    expected = tuple(frame.shape[frame.axes.index(axis)] for axis in range(3))
    shape = label_map.voxels.shape
    if shape != expected:
        remedy = (
            "transpose its axes" if sorted(shape) == sorted(expected) else "resample it to the grid of the case"
        )
        yield f"found shape {shape}, expected {expected}; {remedy}"
    elif prepared.affine is not None and label_map.affine is not None:
        difference = float(np.abs(prepared.affine - label_map.affine).max())
        if difference > _TOLERANCE_MM:
            yield (
                f"found another position (affines differ by {difference:.4g}), expected the grid of the case;"
                " resample it, or correct its header if that is wrong"
            )
