"""The anatomy of LGG phantoms: a head of a few ellipsoids and random fields, and the lesion in its brain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from benchbench.images.arrays import Floats, Mask
from benchbench_datasets.smooth_noise import gaussian_bumps, smooth_noise

Bytes = NDArray[np.uint8]

AIR, FAT, BONE, MUSCLE, FLUID, GREY, WHITE, VESSEL = range(8)

# half-widths, half-lengths and centres of the brain at these heights of the head, from the neck upwards
LEVELS = (0.0, 0.12, 0.24, 0.36, 0.5)
WIDTHS = (0.2, 0.25, 0.55, 0.82, 0.86)
LENGTHS = (0.2, 0.22, 0.42, 0.74, 0.87)
CENTRES = (0.2, 0.2, 0.36, 0.06, 0.0)


@dataclass(frozen=True)
class Grid:
    """Voxel centres, shaped to broadcast: z in [0, 1] from neck to vertex, y to the back and x in [-1, 1]."""

    z: Floats
    y: Floats
    x: Floats

    @classmethod
    def of(cls, slices: int, *, size: int) -> Grid:
        z = (np.arange(slices) + 0.5) / slices
        x = (np.arange(size) + 0.5) / size * 2 - 1
        return cls(z=z[:, None, None], y=x[None, :, None], x=x[None, None, :])

    def distance(self, centre: tuple[float, ...], *, radii: tuple[float, ...], angle: float = 0.0) -> Floats:
        """Return the distance from the centre of an ellipsoid, which is 1 on its surface.

        Centre and radii are in the order z, y, x; `angle` rotates the ellipsoid within the slice.
        """
        z, y, x = self.z - centre[0], self.y - centre[1], self.x - centre[2]
        u = y * np.cos(angle) - x * np.sin(angle)
        v = x * np.cos(angle) + y * np.sin(angle)
        squares = (z / radii[0]) ** 2 + (u / radii[1]) ** 2 + (v / radii[2]) ** 2
        distance: Floats = np.sqrt(squares)
        return distance

    def draw_voxel(self, rng: Generator, where: Mask) -> tuple[float, ...]:
        """Return (z, y, x) of a random voxel at which `where` is true."""
        index = rng.choice(np.flatnonzero(where))
        z, y, x = np.unravel_index(index, where.shape)
        return float(self.z[z, 0, 0]), float(self.y[0, y, 0]), float(self.x[0, 0, x])


def field(rng: Generator, grid: Grid, *, width: float, depth: float = 0.05) -> Floats:
    """Return smooth noise of mean 0 and SD 1 that changes over `width` of y and x, and over `depth` of z."""
    across_slices = gaussian_bumps(grid.z.ravel(), width=depth)
    down = gaussian_bumps(grid.y.ravel(), width=width)
    across = gaussian_bumps(grid.x.ravel(), width=width)
    return smooth_noise(rng, [across_slices, down, across])


def draw_tissues(rng: Generator, grid: Grid) -> tuple[Bytes, Floats]:
    """Return the tissue of every voxel and its depth in the brain: 0 outside and at the rim, 1 in the middle."""
    head = _draw_head_grid(rng, grid)
    dome, face = np.clip(2 * head.z - 1, 0, 1), np.clip(1 - head.z / 0.36, 0, 1)
    radius = _skin_radius(head, dome=dome, face=face, bumps=field(rng, grid, width=0.5, depth=0.3))
    outwards = np.hypot(head.x, head.y) / radius  # 1 at the skin
    scalp = (0.06 + 0.04 * face + 0.1 * dome**2) * (1 + 0.2 * field(rng, grid, width=0.3, depth=0.2))
    rim = _brain_rim(head, dome=dome) / radius  # 1 at the rim of the brain
    depth = np.where(outwards < 1 - scalp, np.clip(1 - rim, 0, 1), 0)
    skull = _skull(rng, grid, head=head, rim=rim)
    brain = _brain(rng, grid, head=head, depth=depth)
    inner = np.select([depth > 0, rim < 1.04], [brain, FLUID], skull)
    tissue = np.select([outwards >= 1, outwards >= 1 - scalp], [AIR, FAT], inner)
    return tissue.astype(np.uint8), depth


def _draw_head_grid(rng: Generator, grid: Grid) -> Grid:
    """Return the grid stretched to the size of a random head, and moved to its middle."""
    width = rng.uniform(0.58, 0.76)
    length = min(width * rng.uniform(1.18, 1.32), 0.95)
    y = grid.y - rng.uniform(-0.04, 0.04)
    x = grid.x - rng.uniform(-0.04, 0.04)
    return Grid(z=grid.z / rng.uniform(0.93, 1.06), y=y / length, x=x / width)


def _skin_radius(head: Grid, *, dome: Floats, face: Floats, bumps: Floats) -> Floats:
    """Return the distance of the skin from the middle of a slice, in each direction."""
    is_ahead = np.exp(-((np.arctan2(head.x, -head.y) / 0.2) ** 2))
    nose = 0.15 * np.minimum(face, 0.6) * is_ahead
    neck = 0.6 * np.clip(0.5 - head.z, 0, 1) ** 2
    radius = np.maximum(np.sqrt(1 - dome**2.4) - neck, 1e-3)
    result: Floats = radius * (1 + 0.02 * bumps + nose)
    return result


def _brain_rim(head: Grid, *, dome: Floats) -> Floats:
    """Return the distance from the middle of the brain, which is 1 at its rim in a slice of radius 1."""
    half_width = np.interp(head.z, LEVELS, WIDTHS)
    half_length = np.interp(head.z, LEVELS, LENGTHS)
    centre = np.interp(head.z, LEVELS, CENTRES)
    across = head.x / (half_width - 0.12 * dome)
    along = (head.y - centre) / (half_length - 0.12 * dome)
    rim: Floats = np.hypot(across, along)
    return rim


def _skull(rng: Generator, grid: Grid, *, head: Grid, rim: Floats) -> NDArray[np.int_]:
    """Return bone, and below it muscle, fat, air and the eyes, as if there were neither brain nor scalp."""
    blobs = field(rng, grid, width=0.06)
    symmetric = blobs + blobs[..., ::-1]
    blobs = 0.6 * symmetric + 0.3 * field(rng, grid, width=0.04)
    face = np.select([blobs > 0.7, blobs < -1.1, blobs < -0.6], [FAT, AIR, BONE], MUSCLE)
    mirrored = replace(head, x=np.abs(head.x))
    eye = mirrored.distance((0.31, -0.74, 0.42), radii=(0.05, 0.17, 0.2))
    is_face = (head.z < 0.42) & (rim > 1.1)
    return np.select([eye < 1, eye < 1.5, is_face], [FLUID, FAT, face], BONE)


def _brain(rng: Generator, grid: Grid, *, head: Grid, depth: Floats) -> NDArray[np.int_]:
    """Return cortex and sulci around white matter, ventricles and nuclei, as if the brain were everywhere."""
    folds = field(rng, grid, width=0.04, depth=0.04)
    patches = field(rng, grid, width=0.09, depth=0.06)
    is_sulcus = (np.abs(folds) < 0.16) & (depth < 0.28 + 0.1 * patches)
    is_cortex = (depth < 0.13 + 0.07 * patches) | ((folds > 0.9) & (depth < 0.45))
    is_midline = np.abs(head.x + 0.015 * patches) < 0.02
    is_fissure = is_midline & (head.z > 0.42) & ((depth < 0.45) | (head.z > 0.7))
    bent = replace(head, x=np.abs(head.x) - 0.7 * (head.y + 0.05) ** 2)
    swelling = rng.uniform(0.6, 1.5)
    horn_radii = (0.11, 0.38 * swelling**0.5, 0.075 * swelling)
    horn = bent.distance((0.57, -0.02, 0.1), radii=horn_radii) + 0.15 * patches
    nucleus = bent.distance((0.5, -0.02, 0.27), radii=(0.08, 0.22, 0.11))
    is_vessel = is_sulcus & (patches > 1)
    conditions = [horn < 1, is_vessel, is_sulcus | is_fissure, is_cortex | (nucleus < 1)]
    return np.select(conditions, [FLUID, VESSEL, FLUID, GREY], WHITE)


class Lesion(NamedTuple):
    """The one lesion of a patient, each array (S, H, W)."""

    label: Mask
    weight: Floats
    """Share of the voxel that is tumour; soft at the border, where raters would disagree about the label."""
    inwards: Floats
    """0 at the border, 1 in the middle."""


def draw_lesion(rng: Generator, grid: Grid, *, depth: Floats) -> Lesion:
    """Return one connected lesion on at least three slices."""
    slices, size, _ = depth.shape
    area = np.clip(rng.lognormal(np.log(2700), 0.6), 600, 8000)  # in pixels of 1/256 of the slice
    radius = np.sqrt(area / np.pi) / 128
    half_height = max(rng.uniform(0.12, 0.23), 2.3 / slices)
    stretch = rng.uniform(1, 1.7) ** 0.5
    is_level = np.abs(grid.z - rng.uniform(0.40, 0.72)) < 0.6 / slices
    centre = grid.draw_voxel(rng, is_level & (depth > 0.15) & (depth < 0.75))
    radii = (half_height, radius / stretch, radius * stretch)
    distance = grid.distance(centre, radii=radii, angle=rng.uniform(0, np.pi))
    noise = np.clip(field(rng, grid, width=0.4 * radius, depth=0.5 * half_height), -2, 2)
    inwards = 1 - distance + 0.3 * (noise * np.minimum(distance, 1))
    parts, _ = ndimage.label((inwards > 0) & (depth > 0))
    whole = parts == parts.flat[np.argmin(distance)]
    blur = rng.uniform(0.04, 0.14) * radius * size / 2
    weight = ndimage.gaussian_filter(whole.astype(np.float64), (0, blur, blur)) * (depth > 0)
    slice_offset = rng.uniform(-0.12, 0.12, (slices, 1, 1))
    threshold = 0.5 + slice_offset + 0.15 * field(rng, grid, width=0.12, depth=0.02)
    label = (weight > np.maximum(threshold, 0.05)) & whole.any((1, 2), keepdims=True)
    is_labelled_slice = label.any((1, 2), keepdims=True)
    return Lesion(np.where(is_labelled_slice, label, whole), weight, inwards)
