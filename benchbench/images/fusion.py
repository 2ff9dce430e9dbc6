"""One label from those of several readers: by their majority, or by STAPLE of SimpleITK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchbench.errors import DataError
from benchbench.extras import require_extra

MAJORITY, STAPLE = "majority", "staple"


def fuse_labels(labels: Sequence[NDArray[Any]], method: str) -> NDArray[Any]:
    """Return one label (*space) for those of several readers, by "majority" or "staple".

    majority: the value that most readers gave a voxel; 0 where several values have the most votes. staple: the
    value that is most probable if every reader has error rates of his own, which are estimated; 0 where it is
    undecided.

    Source: STAPLE, Warfield et al. 2004, doi:10.1109/TMI.2004.828354, by MultiLabelSTAPLE of SimpleITK.

    Raises:
        DataError: SimpleITK is not installed, or the labels differ in shape.
    """
    if len({label.shape for label in labels}) > 1:
        shapes = ", ".join(str(label.shape) for label in labels)
        raise DataError(f"found labels of the shapes {shapes}, expected one shape for all readers; correct them")
    if len(labels) == 1:
        return labels[0]
    return _staple(labels) if method == STAPLE else _majority(labels)


def _majority(labels: Sequence[NDArray[Any]]) -> NDArray[Any]:
    fused = np.zeros(labels[0].shape, np.result_type(*labels))
    most = np.zeros(labels[0].shape, np.int64)
    values = sorted(set().union(*(np.unique(label).tolist() for label in labels)))
    for value in values:
        votes = sum((label == value).astype(np.int64) for label in labels)
        fused[votes > most] = value
        fused[(votes == most) & (votes > 0)] = 0
        most = np.maximum(most, votes)
    return fused


def _staple(labels: Sequence[NDArray[Any]]) -> NDArray[Any]:
    require_extra("readers", 'reference = "staple"', error=DataError)
    import SimpleITK as sitk  # noqa: N813, PLC0415 an extra

    images = [sitk.GetImageFromArray(label.astype(np.uint16)) for label in labels]
    fused: NDArray[Any] = sitk.GetArrayFromImage(sitk.MultiLabelSTAPLE(images, 0))
    return fused.astype(np.result_type(*labels))
