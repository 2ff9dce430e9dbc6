from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbench import Case, CaseRef, Task
from benchbench.engine.preparation.image_facts import (
    difference_remarks,
    image_facts,
    merged_facts,
    orientation_of,
)
from benchbench.engine.preparation.prepare import write_prepared
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.spec.protocol import Protocol

SETTINGS: dict[str, Any] = {"epochs": 1, "batch": 1, "optimizer": {"name": "adam", "lr": 1.0}, "loss": "bce"}
SLICES = Protocol.model_validate({**SETTINGS, "patch": (32, 32)})
VOLUMES = Protocol.model_validate({**SETTINGS, "ndim": 3, "patch": (4, 4, 4)})
LPS = np.diag([-1.0, -1, 1, 1])


def prepare(folder: Path, affine: np.ndarray | None, protocol: Protocol) -> PreparedCase:
    spacing = None if affine is None else tuple(np.abs(affine[:3, :3]).sum(0).tolist())
    case = Case(
        image=np.ones((1, 4, 5, 6), np.int16),
        label=np.zeros((4, 5, 6), np.uint8),
        affine=affine,
        spacing_mm=spacing,
    )
    task = Task(channels=("x",), regions={"region": (1,)})
    path = folder / f"case{len(list(folder.iterdir()))}"
    write_prepared(case, task, protocol, path)
    return PreparedCase(CaseRef("case", "patient"), path)


def remarks(
    folder: Path, new: np.ndarray | None, *trained: np.ndarray | None, protocol: Protocol = VOLUMES
) -> list[str]:
    facts = image_facts([prepare(folder, affine, protocol) for affine in trained])
    return list(difference_remarks(prepare(folder, new, protocol), facts, protocol))


def test_facts_are_the_extremes_of_the_sizes_along_the_axes_of_the_frame(tmp_path: Path) -> None:
    cases = [prepare(tmp_path, LPS @ np.diag([1.0, 2, 3, 1]), VOLUMES), prepare(tmp_path, LPS, VOLUMES)]
    facts = image_facts(cases)  # a volume has the axes (superior, anterior, right)
    assert facts == {"least_mm": [1, 1, 1], "most_mm": [3, 2, 1], "orientations": ["SAR"]}
    unknown = image_facts([prepare(tmp_path, None, VOLUMES)])
    assert unknown == {"least_mm": None, "most_mm": None, "orientations": [""]}
    assert merged_facts([facts, unknown]) == {**facts, "orientations": ["", "SAR"]}
    assert merged_facts([facts, {}]) == {}


def test_a_stack_of_slices_keeps_the_directions_of_its_file(tmp_path: Path) -> None:
    assert orientation_of(prepare(tmp_path, LPS, SLICES)) == "SLP"
    assert orientation_of(prepare(tmp_path, np.eye(4), SLICES)) == "SRA"
    assert orientation_of(prepare(tmp_path, np.eye(4), VOLUMES)) == "SAR"


@pytest.mark.parametrize(("size", "is_far"), [(1.5, False), (1.51, True), (0.67, False), (0.66, True)])
def test_a_size_is_far_beyond_one_and_a_half_times_those_of_training(
    tmp_path: Path, size: float, *, is_far: bool
) -> None:
    lines = remarks(tmp_path, np.diag([size, 1, 1, 1]), np.eye(4))
    assert bool(lines) == is_far
    if is_far:
        expected = f"found voxels of 1 x 1 x {size} mm, far from the 1 x 1 x 1 mm of the training images"
        assert lines == [f"{expected} (more than 1.5 times); resample the image if the prediction is wrong"]


def test_the_thickness_of_a_slice_does_not_matter_in_2d(tmp_path: Path) -> None:
    assert remarks(tmp_path, np.diag([1.0, 1, 9, 1]), np.eye(4), protocol=SLICES) == []
    (line,) = remarks(tmp_path, np.diag([1.0, 9, 1, 1]), np.eye(4), np.diag([2.0, 1, 1, 1]), protocol=SLICES)
    assert line.startswith("found voxels of 1 x 9 mm, far from the 1 to 2 x 1 mm of the training images")


def test_slices_that_run_in_other_directions_are_named(tmp_path: Path) -> None:
    assert remarks(tmp_path, np.eye(4), LPS, protocol=SLICES) == [
        "found axes that run to R, A, expected L, P as in the training images; turn the image"
    ]
    upside_down = np.diag([-1.0, -1, -1, 1])  # the order of slices does not matter
    assert remarks(tmp_path, upside_down, LPS, protocol=SLICES) == []


def test_volumes_are_turned_so_their_orientation_matters_only_where_it_is_unknown(tmp_path: Path) -> None:
    assert remarks(tmp_path, np.eye(4), LPS) == []
    assert remarks(tmp_path, None, LPS) == [
        "found no voxel size, and the training images have 1 x 1 x 1 mm; the sizes are not compared",
        "found no orientation, and the axes of the training images run to S, A, R; the axes are used as stored",
    ]
    assert remarks(tmp_path, None, None) == []
    assert remarks(tmp_path, LPS, None) == []


def test_nothing_is_compared_with_unknown_facts(tmp_path: Path) -> None:
    assert list(difference_remarks(prepare(tmp_path, np.eye(4), VOLUMES), {}, VOLUMES)) == []
