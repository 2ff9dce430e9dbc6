"""A prepared case made by hand: arrays small enough to work out every batch from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchbench import CaseRef
from benchbench.engine.preparation.frame import whole_frame
from benchbench.engine.preparation.labels import sample_foreground
from benchbench.engine.preparation.placement import place
from benchbench.engine.preparation.prepared_case import PreparedCase, write_description


def keep_with_affine(
    folder: Path, label: np.ndarray, affine: np.ndarray, *, slice_axis: str | None
) -> PreparedCase:
    """A case of one channel with bit masks (X, Y, Z) in the axes of its affine; a volume without `slice_axis`."""
    frame = whole_frame(label.shape, affine, slice_axis=slice_axis)  # type: ignore[arg-type]
    oriented = np.ascontiguousarray(frame.orient(label))
    image = oriented * np.uint8(200)
    described = {"frame": frame._asdict(), "affine": affine.tolist(), "spacing_mm": [1.0, 1.0, 1.0]}
    if slice_axis is None:
        return _keep(folder, {"image": image[None], "label": oriented}, placement=None, **described)
    placement = place(oriented.shape[1:], oriented.shape[1:])._asdict()
    return _keep(folder, {"image": image[:, None], "label": oriented}, placement=placement, **described)


def keep_slices(folder: Path, image: np.ndarray, label: np.ndarray, **more: np.ndarray) -> PreparedCase:
    """Slices (S, C, H, W) and bit masks (S, H, W), as large as the patch."""
    placement = place(label.shape[1:], label.shape[1:])
    return _keep(folder, {"image": image, "label": label, **more}, placement=placement._asdict())


def keep_volume(folder: Path, image: np.ndarray, label: np.ndarray, **more: np.ndarray) -> PreparedCase:
    """A volume (C, D, H, W) and bit masks (D, H, W), nothing cropped."""
    places = sample_foreground(label, regions=int(label.max()).bit_length())
    return _keep(folder, {"image": image, "label": label, "foreground": places, **more}, placement=None)


def _keep(
    folder: Path, arrays: dict[str, np.ndarray], *, placement: dict[str, object] | None, **described: object
) -> PreparedCase:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    frame = whole_frame(arrays["label"].shape, None, slice_axis="axial")
    usual = {
        "arrays": sorted(arrays),
        "frame": frame._asdict(),
        "placement": placement,
        "affine": None,
        "spacing_mm": None,
    }
    write_description(folder, {**usual, **described})
    return PreparedCase(CaseRef(folder.name, folder.name), folder)
