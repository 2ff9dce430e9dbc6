from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from benchbench.images.arrays import bounding_box, voxel_digest


def test_the_box_ends_at_the_outermost_voxels() -> None:
    mask = np.zeros((100, 100, 100), dtype=np.bool_)
    mask[10, 23, 98] = mask[11, 20, 97] = True
    assert bounding_box(mask) == (slice(10, 12), slice(20, 24), slice(97, 99))


def test_the_box_of_an_empty_mask_holds_nothing() -> None:
    mask = np.zeros((4, 5), dtype=np.bool_)
    assert mask[bounding_box(mask)].size == 0


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=3, max_side=6)))
def test_the_box_does_not_depend_on_the_order_in_memory(mask: np.ndarray) -> None:
    box = bounding_box(mask)
    assert bounding_box(np.asfortranarray(mask)) == box
    assert bounding_box(mask.T) == box[::-1]
    assert mask[box].sum() == mask.sum()


def test_the_digest_depends_on_type_shape_and_voxels_and_not_on_the_order_in_memory() -> None:
    image = np.arange(12, dtype=np.int16).reshape(3, 4)
    assert voxel_digest(np.asfortranarray(image)) == voxel_digest(image)
    others = (image.astype(np.int32), image.reshape(4, 3), image + np.int16(1))
    assert len({voxel_digest(image), *map(voxel_digest, others)}) == 4
