from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from benchbench.metrics.masks import pack, unpack


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(max_dims=3, max_side=6)))
def test_an_unpacked_mask_equals_the_packed_one(mask: np.ndarray) -> None:
    assert np.array_equal(unpack(pack(mask)), mask)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [-1, 4]},
        {"shape": [2**40, 2**40]},
        {"shape": [4]},
        {"start": [0]},
        {"stop": [9, 9]},
        {"start": [3, 3]},
        {"bits": b""},
    ],
)
def test_columns_that_contradict_each_other_are_refused(change: dict[str, object]) -> None:
    mask = np.zeros((4, 4), dtype=np.bool_)
    mask[1:3, 1:3] = True
    with pytest.raises(ValueError, match="found"):
        unpack({**pack(mask), **change})


def test_only_the_bounding_box_is_stored() -> None:
    mask = np.zeros((100, 100, 100), dtype=np.bool_)
    mask[10:12, 20:24, 97:99] = True
    assert len(pack(mask)["bits"]) == 2
    assert pack(np.zeros((100, 100), dtype=np.bool_))["bits"] == b""
