"""A prediction as a label volume in a NIfTI file, on the case's own grid."""

from __future__ import annotations

import gzip
from collections.abc import Mapping

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from benchbench.engine.preparation.prepare import PreparedCase
from benchbench.images.arrays import Mask


def label_nifti(prepared: PreparedCase, masks: Mask, regions: Mapping[str, tuple[int, ...]]) -> bytes:
    """The content of a .nii.gz file: labels of 8 bits in the axes and with the affine of the case.

    masks (S, K, H, W) of the regions in their order. Where no affine is known it is the identity.
    """
    labels = prepared.frame.restore(region_labels(masks.swapaxes(0, 1), regions))
    affine = np.eye(4) if prepared.affine is None else prepared.affine
    image = nib.nifti1.Nifti1Image(np.ascontiguousarray(labels), affine)
    image.header.set_xyzt_units("mm" if prepared.affine is not None else "unknown")
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)


def region_labels(masks: Mask, regions: Mapping[str, tuple[int, ...]]) -> NDArray[np.uint8]:
    """(K, *space) -> (*space): the label value that is in exactly the regions that a voxel is in.

    Where there is none, as for a voxel predicted as enhancing but not as tumour, the value whose regions differ in
    the fewest; of equals the smaller.
    """
    values = sorted({0, *(value for each in regions.values() for value in each)})
    assert max(values) < 256, "labels of 8 bits"
    meaning = {value: sum(1 << k for k, each in enumerate(regions.values()) if value in each) for value in values}

    def nearest(bits: int) -> int:
        return min(values, key=lambda value: (meaning[value] ^ bits).bit_count())

    table = np.array([nearest(bits) for bits in range(2 ** len(regions))], dtype=np.uint8)
    weights = (1 << np.arange(len(regions))).reshape(-1, *[1] * (masks.ndim - 1)).astype(np.uint8)
    found: NDArray[np.uint8] = table[(masks * weights).sum(0, dtype=np.uint8)]
    return found
