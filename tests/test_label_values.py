"""The values of a label map are found without sorting all of its voxels."""

from __future__ import annotations

import numpy as np
import pytest

from benchbench.images.label_values import distinct_values, has_value


@pytest.mark.parametrize("shape", [(0,), (1,), (5, 7), (6, 5, 4)])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_distinct_values_are_those_of_numpy(shape: tuple[int, ...], dtype: type, order: str) -> None:
    generator = np.random.default_rng(0)
    for highest in (1, 3, 200):
        voxels = generator.integers(0, highest, shape).astype(dtype, order=order)  # type: ignore[call-overload]
        assert distinct_values(voxels) == set(np.unique(voxels).tolist())
        assert distinct_values(voxels[..., ::2]) == set(np.unique(voxels[..., ::2]).tolist())


def test_a_value_of_the_first_or_the_last_voxel_alone_is_found() -> None:
    assert distinct_values(np.array([[7, 0], [0, 9]], np.uint8)) == {0, 7, 9}


@pytest.mark.parametrize("values", [(), (0,), (3,), (1, 2, 4), (2, 300)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_voxels_of_some_values_are_those_of_numpy(values: tuple[int, ...], dtype: type) -> None:
    voxels = np.random.default_rng(0).integers(0, 5, (4, 5, 6)).astype(dtype, order="F")
    np.testing.assert_array_equal(has_value(voxels, values), np.isin(voxels, list(values)))
