"""The number of slices of a case, from the header of a file where that has it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchbench.contract import CaseRef, Dataset
from benchbench.data.case_checks import load_case
from benchbench.engine.preparation.frame import whole_frame
from benchbench.images.arrays import Floats
from benchbench.images.nifti import read_grid
from benchbench.spec.protocol import Protocol
from benchbench.threads import case_threads

_NIFTI = (".nii", ".nii.gz")


def count_slices(
    dataset: Dataset, cases: Sequence[CaseRef], protocol: Protocol, *, threads: int
) -> dict[str, int]:
    """Return case id -> its slices, as the network sees them in 2D, or axial slices in 3D.

    Raises:
        DataError: a case cannot be read.
    """
    with case_threads(threads) as pool:
        numbers = list(pool.map(partial(_count, dataset, protocol), cases))
    return {case.id: number for case, number in zip(cases, numbers, strict=True)}


def _count(dataset: Dataset, protocol: Protocol, case: CaseRef) -> int:
    shape, affine = _grid(dataset, case.id)
    if len(shape) == 2:
        return 1
    slice_axis = protocol.slice_axis if protocol.ndim == 2 else None
    return whole_frame(shape, affine, slice_axis=slice_axis).shape[0]


def _grid(dataset: Dataset, case_id: str) -> tuple[tuple[int, ...], Floats | None]:
    """Return shape and affine; files of another format than NIfTI are decoded for that."""
    for path in dataset.files(case_id):
        if path.name.lower().endswith(_NIFTI):
            layout = read_grid(path)
            return layout.shape[:3], layout.affine
    case = load_case(dataset, case_id)
    return case.label.shape, case.affine
