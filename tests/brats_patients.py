"""Small handmade patients in the layout of BraTS."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from benchbench import DataError
from benchbench_datasets.brats20 import Brats20
from benchbench_datasets.brats21 import Brats21

LPS = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
MODALITIES = ("flair", "t1", "t1ce", "t2")
SHAPE = (4, 5, 6)


def write_volume(path: Path, voxels: np.ndarray, *, affine: np.ndarray = LPS, sform_code: int = 1) -> None:
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine if sform_code else None, code=sform_code)
    nibabel.save(image, path)


def labels(*values: int) -> np.ndarray:
    """Return an empty mask with these values in the first voxel of each slice."""
    label = np.zeros(SHAPE, np.uint8)
    label[0, 0, : len(values)] = values
    return label


def write_patient(
    folder: Path,
    *,
    label: np.ndarray | None = None,
    suffix: str = ".nii.gz",
    separator: str = "_",
    names: tuple[str, ...] = MODALITIES,
) -> Path:
    """Write a patient whose modality c is c + 1 in the first slice, c + 2 in the second and so on."""
    folder.mkdir(parents=True)
    for c, name in enumerate(names):
        voxels = np.broadcast_to(np.arange(SHAPE[2]) + c + 1, SHAPE).astype(np.int16)
        write_volume(folder / f"{folder.name}{separator}{name}{suffix}", voxels)
    label = labels(1, 2, 4) if label is None else label
    write_volume(folder / f"{folder.name}{separator}seg{suffix}", label)
    return folder


def load_problems(dataset: Brats20 | Brats21, case_id: str) -> list[str]:
    """Return the problems of loading the case, without the folder of the patient that they begin with."""
    with pytest.raises(DataError) as caught:
        dataset.load(case_id)
    problems = caught.value.problems
    place = f"{type(dataset).__name__.lower()}: {dataset.cases()[0].id}"
    assert all(problem.startswith(place) for problem in problems), problems
    assert all("expected" in problem and "; " in problem and "\n" not in problem for problem in problems)
    return [problem.removeprefix(place).removeprefix("/") for problem in problems]


def case_ids(dataset: Brats20 | Brats21) -> list[str]:
    return [case.id for case in dataset.cases()]
