"""A prediction as a label volume in a NIfTI file, on the case's own grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import Mask
from benchbench.images.label_files import new_nifti


def label_nifti(prepared: PreparedCase, masks: Mask, regions: Mapping[str, tuple[int, ...]]) -> bytes:
    """Return the content of a .nii.gz file: 8-bit labels with the axes and the affine of the case.

    masks (S, K, H, W), in the order of the regions. The affine is the identity where none is known.
    """
    labels = case_labels(prepared, masks, regions)
    return new_nifti(labels, prepared.affine)


def case_labels(prepared: PreparedCase, masks: Mask, regions: Mapping[str, tuple[int, ...]]) -> NDArray[np.uint8]:
    """Return label values in the axes of the case, (X, Y, Z) or (1, H, W), for masks (S, K, H, W) of its frame."""
    return prepared.frame.restore(region_labels(masks.swapaxes(0, 1), regions))


def region_labels(masks: Mask, regions: Mapping[str, tuple[int, ...]]) -> NDArray[np.uint8]:
    """Return label values (*space) for the masks (K, *space) of the regions.

    A voxel gets the value that is in exactly its regions. Where no value is, as for a voxel predicted as enhancing
    but not as tumour, it gets the value whose regions differ in the fewest, and the smaller of two that do.
    """
    bits_of = {0: 0}
    for number, region_values in enumerate(regions.values()):
        for value in region_values:
            bits_of[value] = bits_of.get(value, 0) | (1 << number)
    values = sorted(bits_of)
    assert values[-1] < 256, "a label has 8 bits"

    table = np.zeros(2 ** len(regions), dtype=np.uint8)
    for bits in range(len(table)):
        table[bits] = min(values, key=lambda value: (bits_of[value] ^ bits).bit_count())
    voxel_bits = np.zeros(masks.shape[1:], dtype=np.uint8)
    for number, mask in enumerate(masks):
        voxel_bits |= mask.view(np.uint8) << number
    labels: NDArray[np.uint8] = table[voxel_bits]
    return labels
