from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from benchbench.metrics.masks import pack, unpack


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(max_dims=3, max_side=6)))
def test_an_unpacked_mask_equals_the_packed_one(mask: np.ndarray) -> None:
    assert np.array_equal(unpack(pack(mask)), mask)


def test_only_the_bounding_box_is_stored() -> None:
    mask = np.zeros((100, 100, 100), dtype=np.bool_)
    mask[10:12, 20:24, 97:99] = True
    assert len(pack(mask)["bits"]) == 2
    assert pack(np.zeros((100, 100), dtype=np.bool_))["bits"] == b""
