from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from benchbench.engine.preparation.frame import nonzero_box, whole_frame

SHAPE = (2, 3, 4)
CODES = ["LPS", "RAS", "PIR", "SAR", "ILA"]


def affine(codes: str) -> np.ndarray:
    """Voxel to world of an array whose axes run the way that the letters say."""
    return inv_ornt_aff(axcodes2ornt(codes), SHAPE)


@pytest.mark.parametrize("codes", CODES)
def test_a_volume_runs_to_superior_anterior_and_right_for_any_order_in_the_file(codes: str) -> None:
    world = affine(codes)
    frame = whole_frame(SHAPE, world, slice_axis=None)
    # the place of every voxel in mm, which must rise along the axes S, A and R
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1) @ world[:3, :3].T
    right, anterior, superior = np.moveaxis(frame.orient(np.moveaxis(places, -1, 0)), 0, 0)
    assert (np.diff(superior, axis=0) == 1).all()
    assert (np.diff(anterior, axis=1) == 1).all()
    assert (np.diff(right, axis=2) == 1).all()


@given(st.sampled_from(CODES), st.sampled_from([None, "axial", "coronal", "sagittal"]), st.integers(0, 2))
def test_restore_undoes_orient(codes: str, slice_axis: str | None, lead: int) -> None:
    frame = whole_frame(SHAPE, affine(codes), slice_axis=slice_axis)  # type: ignore[arg-type]
    array = np.random.default_rng(0).integers(0, 9, (*[2] * lead, *SHAPE))
    oriented = frame.orient(array)
    assert oriented.shape[lead:] == frame.shape
    assert np.array_equal(frame.restore(oriented), array)


def test_without_an_affine_the_axes_stay_as_stored() -> None:
    frame = whole_frame(SHAPE, None, slice_axis=None)
    assert (frame.axes, frame.flipped, frame.shape) == ((0, 1, 2), (False, False, False), SHAPE)


def test_the_box_ends_at_the_outermost_nonzero_voxels_of_any_channel() -> None:
    image = np.zeros((2, 5, 6, 7), np.int16)
    image[0, 1, 2, 3], image[1, 3, 2, 5] = -1, 4
    assert nonzero_box(image) == ((1, 4), (2, 3), (3, 6))
    assert nonzero_box(image * 0) == ((0, 5), (0, 6), (0, 7))


def test_a_cropped_part_is_pasted_back_between_zeros() -> None:
    frame = whole_frame((3, 4, 5), None, slice_axis=None)._replace(box=((1, 2), (0, 4), (2, 5)))
    whole = np.arange(60).reshape(3, 4, 5)
    pasted = frame.paste(frame.crop(whole))
    assert np.array_equal(frame.crop(pasted), frame.crop(whole))
    assert pasted.sum() == frame.crop(whole).sum()
