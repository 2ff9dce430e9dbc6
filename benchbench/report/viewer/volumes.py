"""Image, reference and predictions of a case as NIfTI volumes, inside a script that a page loads from the disk."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchbench.data.case_checks import load_case
from benchbench.data.folder import open_dataset
from benchbench.engine.preparation.frame import Frame, whole_frame
from benchbench.engine.preparation.labels import region_bits
from benchbench.images.arrays import Floats, Mask
from benchbench.images.label_files import new_nifti
from benchbench.plan.run import Chosen
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import discover
from benchbench.report.figures.gallery_files import CasePlane

_BRIGHTEST = 0.999  # quantile that is white, as in pictures


class CaseVolumes(NamedTuple):
    """A case in its own axes, (X, Y, Z)."""

    image: NDArray[np.uint8]
    """The first channel in 8 bits."""
    reference: Mapping[str, Mask]
    """The mask of each region."""
    affine: Floats | None
    frame: Frame
    """The relation to the axes of saved predictions."""

    def matches(self, plane: CasePlane) -> bool:
        """Return True if the reference is the one that a run stored for a plane."""
        for region, stored in zip(plane.regions, plane.reference, strict=True):
            oriented = self.frame.orient(self.reference[region])
            if oriented.ndim != 3 or not np.array_equal(plane.plane.cut(oriented), stored):
                return False
        return True


class CaseReader:
    """Reads cases of a dataset from the folder of the data."""

    def __init__(self, chosen: Chosen, data_root: Path) -> None:
        plugin = discover().named_dataset(chosen)
        params = resolve_params(plugin.open, chosen.params)
        self._dataset = open_dataset(plugin, params, data_root=data_root)

    def read(self, case_id: str, protocol: Mapping[str, Any]) -> CaseVolumes | None:
        """Return the volumes of a case; None for one of a single slice.

        Raises:
            DataError: the case cannot be read.
        """
        case = load_case(self._dataset, case_id)
        if case.label.ndim != 3:
            return None
        task = self._dataset.task
        bits = region_bits(case.label, task, labelled=case.labelled_regions)
        reference = {region: (bits >> number) & 1 > 0 for number, region in enumerate(task.regions)}
        slice_axis = protocol["slice_axis"] if protocol["ndim"] == 2 else None
        frame = whole_frame(case.label.shape, case.affine, slice_axis=slice_axis)
        return CaseVolumes(_in_bytes(case.image[0]), reference, case.affine, frame)


def case_script(
    volumes: CaseVolumes, predictions: Mapping[str, Mapping[str, Mask]], regions: Sequence[str]
) -> str:
    """Return a script that hands over a case: its image, and label maps of the reference and of predictions.

    `predictions` has masks (S, H, W) of each region, in the axes of the frame. The label of a voxel is the
    number, from 1, of the last region that it is in.
    """
    maps = {"reference": _label_map(volumes.reference, regions)}
    for name, masks in predictions.items():
        maps[name] = volumes.frame.restore(_label_map(masks, regions))
    encoded = {name: _nifti(labels, volumes.affine) for name, labels in maps.items()}
    content = {
        "image": _nifti(volumes.image, volumes.affine),
        "maps": encoded,
        "centre_mm": _centre_mm(maps["reference"], volumes.affine),
    }
    return f"receiveCase({json.dumps(content)});\n"


def _centre_mm(labels: NDArray[np.uint8], affine: Floats | None) -> list[float]:
    """Return the centre of the labelled voxels in the world of the affine; that of the volume where none is."""
    voxels = np.argwhere(labels)
    centre = voxels.mean(0) if len(voxels) else np.array(labels.shape) / 2
    if affine is None:
        return [float(value) for value in centre]
    return [float(value) for value in affine[:3, :3] @ centre + affine[:3, 3]]


def _label_map(masks: Mapping[str, Mask], regions: Sequence[str]) -> NDArray[np.uint8]:
    first = masks[regions[0]]
    labels = np.zeros(first.shape, np.uint8)
    for number, region in enumerate(regions, start=1):
        labels[masks[region]] = number
    return labels


def _nifti(array: NDArray[np.uint8], affine: Floats | None) -> str:
    return base64.b64encode(new_nifti(array, affine)).decode()


def _in_bytes(channel: NDArray[Any]) -> NDArray[np.uint8]:
    values = np.asarray(channel, np.float32)
    low, high = float(values.min()), float(np.quantile(values, _BRIGHTEST))
    scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 255
    picture: NDArray[np.uint8] = scaled.astype(np.uint8)
    return picture
