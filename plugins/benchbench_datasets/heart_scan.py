"""Scans of made-up hearts: the views of HVSMR 2016 and the frames of ACDC, with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from benchbench.images.arrays import Floats
from benchbench_datasets.heart import (
    IS_CHAMBER,
    IS_WALL,
    REST,
    TISSUES,
    VEIN,
    Bytes,
    draw_heart_axes,
    draw_tissues,
)
from benchbench_datasets.heart_grid import Grid, Numbers

# intensity of each tissue, as a factor for blood and heart muscle and absolute for the others
MEANS = np.array([0, *[1.0] * 8, 1.0, 1.0, 0.9, 0, 1.5, 92, 31, 50, 35, 105])

# spacing in mm along the first two axes and along the last, of the ten patients of HVSMR 2016
SPACINGS_MM = (
    (0.885, 0.89),
    (0.833, 0.83),
    (0.885, 0.89),
    (1.146, 1.15),
    (1.055, 0.65),
    (1.055, 0.65),
    (0.731, 0.75),
    (0.731, 0.75),
    (0.885, 0.89),
    (0.885, 0.89),
)

# from (posterior, inferior, right) to the right, anterior and superior of NIfTI
TO_WORLD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


class Scan(NamedTuple):
    """An image of a heart and the tissues in it."""

    image: Numbers
    tissue: Bytes
    """The tissues as a rater would label them: with ragged outlines, and REST outside the heart."""
    affine: Floats
    axes: Floats
    """The axes of the heart, as rows."""


def scan_patient(index: int, *, size: int, seed: int) -> Scan:
    """Return the full view of a patient of HVSMR, with axes to posterior, inferior and right.

    A slice has 2 size by 2 size voxels.
    """
    rng = np.random.default_rng([seed, index])
    in_plane_mm, slice_mm = SPACINGS_MM[index % 10]
    spacing_mm = (in_plane_mm, in_plane_mm, slice_mm)
    step = 180 / size * rng.uniform(0.95, 1.1)
    ratio = slice_mm / in_plane_mm
    shape = (2 * size, 2 * size, round(0.8 * size / ratio))
    grid = Grid.of(shape, steps_mm=(step, step, step * ratio), axes=np.eye(3))
    axes = draw_heart_axes(rng)
    tissue, heart = draw_tissues(rng, grid, axes=axes, beat=1.0)
    blood = np.clip(rng.normal(127, 6), 113, 141)  # ragged outlines reduce the mean of the label
    image = _image(rng, tissue, grid=grid, blood=blood, wall=blood / rng.uniform(1.85, 2.1))
    affine = _affine(TO_WORLD * spacing_mm, shape=shape)
    return Scan(image.clip(0, 255).astype(np.int16), _ragged(rng, heart, reach=(0.35, 0.35, 0.35)), affine, axes)


def crop(scan: Scan, *, margin: int) -> Scan:
    """Return the heart with `margin` voxels around it, or fewer where the scan ends."""
    box = ndimage.find_objects((IS_CHAMBER | IS_WALL)[scan.tissue].astype(np.uint8))[0]
    cut = tuple(slice(max(extent.start - margin, 0), extent.stop + margin) for extent in box)
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [extent.start for extent in cut]
    return scan._replace(image=scan.image[cut], tissue=scan.tissue[cut], affine=affine)


def short_axis(scan: Scan) -> Scan:
    """Return the cropped heart, resampled so that the slices along the last axis cut across the ventricles."""
    spacing_mm = np.linalg.norm(scan.affine[:3, 0])
    shape = (round(0.8 * len(scan.image)),) * 3
    affine = _affine(TO_WORLD @ _short_axis_columns(scan.axes) * spacing_mm, shape=shape)
    to_voxel = np.linalg.inv(scan.affine) @ affine
    image = ndimage.affine_transform(scan.image, to_voxel, output_shape=shape, order=1)
    tissue = ndimage.affine_transform(scan.tissue, to_voxel, output_shape=shape, order=0)
    return crop(scan._replace(image=image, tissue=tissue, affine=affine), margin=2)


def scan_frame(seeds: Sequence[int], shape: tuple[int, int, int], *, spacing_mm: float, beat: float) -> Scan:
    """Return one frame of ACDC; the same seeds give the same patient at any beat."""
    patient_rng = np.random.default_rng(seeds)
    frame_rng = np.random.default_rng([*seeds, round(1000 * beat)])
    axes, brightness = draw_heart_axes(patient_rng), patient_rng.uniform(1.5, 6)
    step = max(spacing_mm, 165 / shape[0])
    columns = _short_axis_columns(axes)
    grid = Grid.of(shape, steps_mm=(step, step, 10.0), axes=columns)
    tissue, heart = draw_tissues(patient_rng, grid, axes=axes, beat=beat)
    wall = 121 * patient_rng.uniform(0.36, 0.46)
    image = brightness * _image(frame_rng, tissue, grid=grid, blood=121, wall=wall)
    affine = _affine(TO_WORLD @ columns * [spacing_mm, spacing_mm, 10.0], shape=shape)
    return Scan(image.astype(np.int16), _ragged(frame_rng, heart, reach=(0.3, 0.3, 0)), affine, axes)


def _image(rng: Generator, tissue: Bytes, *, grid: Grid, blood: float, wall: float) -> Floats:
    """Return the image: shaded by the coil, textured and blurred, with noise that is never negative."""
    others = np.exp(rng.normal(0, 0.2, len(MEANS)))
    is_blood = IS_CHAMBER | (TISSUES == VEIN)
    means = MEANS * np.select([is_blood, IS_WALL], [blood, wall], others)
    shading = 0.1 * grid.field(rng, width_mm=90) + 0.04 * grid.field(rng, width_mm=8)
    shading -= shading[IS_CHAMBER[tissue]].mean()
    signal = ndimage.gaussian_filter(means[tissue] * np.exp(shading), 0.4)
    signal *= 1 + 0.09 * rng.standard_normal(tissue.shape, np.float32)
    real, imaginary = 1.1 * rng.standard_normal((2, *tissue.shape), np.float32)
    image: Floats = np.hypot(signal + real, imaginary)
    return image


def _ragged(rng: Generator, tissue: Bytes, *, reach: tuple[float, ...]) -> Bytes:
    """Return the tissues with each voxel taken from one nearby, so that outlines are as uncertain as a rater's."""
    box = ndimage.find_objects((tissue > REST).astype(np.uint8))[0]
    inner, ragged = tissue[box], np.zeros_like(tissue)
    indices = np.meshgrid(*map(np.arange, inner.shape), indexing="ij", sparse=True)
    sources = []
    for index, count, distance in zip(indices, inner.shape, reach, strict=True):
        move = np.rint(distance * rng.standard_normal(inner.shape, np.float32)).astype(np.intp)
        sources.append(np.clip(index + move, 0, count - 1))
    ragged[box] = inner[tuple(sources)]
    return ragged


def _short_axis_columns(axes: Floats) -> Floats:
    """Return as columns two directions in the plane of a short-axis slice, and the one from slice to slice."""
    return axes[::-1].T


def _affine(directions: Floats, *, shape: Sequence[int]) -> Floats:
    """Return the matrix from voxel to world, with the origin in the middle of the array."""
    affine = np.eye(4)
    affine[:3, :3] = directions
    affine[:3, 3] = -directions @ ((np.array(shape) - 1) / 2)
    return affine
