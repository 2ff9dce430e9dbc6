"""The anatomy of cardiac phantoms: a heart of a few ellipsoids and tubes, and the trunk around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from benchbench.images.arrays import Floats, Mask
from benchbench_datasets.heart_grid import Grid, Numbers, Point

Bytes = NDArray[np.uint8]

# the first nine as HVSMR-2.0 numbers them
REST, LV, RV, LA, RA, AORTA, PULMONARY, UPPER_CAVA, LOWER_CAVA = range(9)
LV_WALL, RV_WALL, VEIN, AIR, LUNG, FAT, MUSCLE, LIVER, BONE, FLUID = range(9, 19)
TISSUES = np.arange(19)
IS_CHAMBER = (TISSUES >= LV) & (TISSUES <= LOWER_CAVA)
IS_WALL = np.isin(TISSUES, [LV_WALL, RV_WALL])

BASE = -34
"""Where the ventricles end, in mm from the middle of the heart towards its apex."""

# (posterior, inferior, right) in mm from the middle of the heart of an adult
AORTIC_COURSE = (
    (23, -20, 23),
    (10, -50, 25),
    (20, -84, 14),
    (44, -90, -4),
    (60, -70, -12),
    (64, 30, -9),
    (62, 190, 8),
)
LUNG_ARTERIES = (((-15, -36, 9), (-6, -50, 0), (20, -60, -2), (40, -62, -42)), ((20, -60, -2), (34, -56, 50)))
UPPER_COURSE = ((10, -110, 47), (10, -46, 50))
LOWER_COURSE = ((17, 2, 50), (30, 60, 40), (34, 190, 34))
LUNG_VEINS = (
    ((44, -35, -2), (58, -48, -52)),
    ((50, -12, -2), (62, 4, -48)),
    ((44, -35, 30), (54, -42, 80)),
    ((50, -15, 30), (62, -2, 76)),
)


def draw_heart_axes(rng: Generator) -> Floats:
    """Return the axes of a heart as rows: to the apex, from the left ventricle to the right, and across both."""
    apex = np.array([-0.6, 0.5, -0.6]) + rng.normal(0, 0.06, 3)
    apex /= np.linalg.norm(apex)
    septal = np.array([-0.7, 0.1, 0.7]) + rng.normal(0, 0.06, 3)
    septal -= apex * (apex @ septal)  # perpendicular to the first
    septal /= np.linalg.norm(septal)
    return np.stack([apex, septal, np.cross(apex, septal)])


def draw_tissues(rng: Generator, grid: Grid, *, axes: Floats, beat: float) -> tuple[Bytes, Bytes]:
    """Return the tissue of every voxel, and that of the heart alone, REST elsewhere.

    `beat` is the width of the left ventricle as a share of its widest.
    """
    trunk, heart = _trunk(rng, grid), np.zeros(grid.shape, np.uint8)
    is_chest = (grid.p > -80) & (grid.p < 95) & (grid.i > -125)
    box = ndimage.find_objects(np.broadcast_to(is_chest, grid.shape).astype(np.uint8))[0]
    heart[box] = _heart(rng, grid.part(box), axes=axes, beat=beat)
    spread = [6 / step for step in grid.steps_mm]
    is_heart = heart > REST
    is_near = ndimage.gaussian_filter(is_heart.astype(np.float32), spread) > 0.15
    is_fat = is_near & np.isin(trunk, (LUNG, VEIN))
    return np.select([is_heart, is_fat], [heart, np.uint8(FAT)], trunk), heart


def _heart(rng: Generator, grid: Grid, *, axes: Floats, beat: float) -> Bytes:
    """Return the heart and its vessels, REST elsewhere."""
    vessels = list(_vessels(grid, width=rng.uniform(0.88, 1.12)))
    chambers = list(_chambers(rng, grid, axes=axes, beat=beat))
    return _first_true([*vessels, *chambers], grid.shape, otherwise=REST)


def _vessels(grid: Grid, *, width: float) -> Iterator[tuple[Mask, int]]:
    """Yield the vessels of the chest.

    As in the archives, the veins of the lungs and the vessels below the heart have no label.
    """
    is_low = np.broadcast_to(grid.i > 58, grid.shape)
    aorta = grid.tube(AORTIC_COURSE, radius=12 * width)
    lower = grid.tube(LOWER_COURSE, radius=11 * width)
    arteries = np.min([grid.tube(course, radius=11 * width) for course in LUNG_ARTERIES], axis=0)
    veins = np.min([grid.tube(course, radius=5.5) for course in LUNG_VEINS], axis=0)
    yield is_low & ((aorta < 1) | (lower < 1)), VEIN
    yield aorta < 1, AORTA
    yield arteries < 1, PULMONARY
    yield grid.tube(UPPER_COURSE, radius=9 * width) < 1, UPPER_CAVA
    yield lower < 1, LOWER_CAVA
    yield veins < 1, VEIN


def _chambers(rng: Generator, grid: Grid, *, axes: Floats, beat: float) -> Iterator[tuple[Mask, int]]:
    """Yield chambers and walls; the wall of the left ventricle is some 9 mm thick, that of the right one 4."""
    u, v, w = (grid.along(axis) for axis in axes)
    bumps = 1 + 0.08 * grid.field(rng, width_mm=14)
    left, right, atria, wall = rng.uniform(0.88, 1.12, 4)

    def is_within(centre: Point, *radii: float) -> Mask:
        x, y, z = u - centre[0], v - centre[1], w - centre[2]
        squares = (x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2
        inside: Mask = squares * bumps < 1
        return inside

    width, length = 22 * left * beat, 44 * left * (1 + beat) / 2
    thickness = 9 * wall + 12 * left * (1 - beat)  # the wall keeps its volume
    wall_width = width + thickness
    right_radii = np.array([44, 33, 32]) * right * (1 + beat) / 2
    is_ventricle = u > BASE
    yield is_within((0, -18, 0), length, width, width) & is_ventricle, LV
    yield is_within((0, -18, 0), length + thickness, wall_width, wall_width) & is_ventricle, LV_WALL
    yield is_within((-4, 14, 0), *right_radii) & is_ventricle & (v > -12), RV
    yield is_within((-52, -16, 2), 25 * atria, 26 * atria, 27 * atria), LA
    yield is_within((-50, 32, 2), 26 * atria, 24 * atria, 25 * atria), RA
    yield is_within((-4, 14, 0), *(right_radii + 4)) & is_ventricle & (v > -15), RV_WALL


def _trunk(rng: Generator, grid: Grid) -> Bytes:
    """Return chest and belly as if there were no heart."""
    y, x = grid.p - 18, grid.r - 25
    roughness = 1 + 0.02 * grid.field(rng, width_mm=60)
    shoulder = 0.75 - 0.25 * np.tanh((-grid.i - 150) / 25)
    outwards = np.hypot(y / 108, x / 150) * roughness / shoulder  # 1 at the skin
    rim = np.hypot((y + 4) / 92, x / 126) * roughness  # 1 at the ribs
    patches, blobs = grid.field(rng, width_mm=12), grid.field(rng, width_mm=22)
    fatty = np.where(patches > 0.3, FAT, MUSCLE)
    bowel = np.select([blobs > 1.4, blobs > 0.4, blobs < -1.5], [FLUID, FAT, AIR], MUSCLE)
    is_liver = (x > -20 + 8 * blobs) & (grid.i < 140 + 20 * blobs)
    belly = np.where(is_liver, LIVER, bowel)
    is_spine, is_canal = np.hypot(grid.p - 84, x) < 18, np.hypot(grid.p - 107, x) < 6
    is_disc = np.abs(np.mod(grid.i + 300, 30) - 15) < 3.5
    is_chest_wall = (rim > 1) | (grid.i < -150 + 70 * rim**2 + 6 * blobs)
    is_mediastinum = (np.abs(x + 4 * blobs) < 22 + 8 * patches) & (grid.p > 4 * blobs)
    parts: list[tuple[Mask, int | Numbers]] = [
        (outwards >= 1, AIR),
        (is_canal, FLUID),
        (is_spine & is_disc, MUSCLE),
        (is_spine, BONE),
        (outwards > 0.93, FAT),
        (is_chest_wall, fatty),
        (grid.i > 42 + 55 * rim**2, belly),
        (is_mediastinum, fatty),
        (patches > 2.3, VEIN),
    ]
    return _first_true(parts, grid.shape, otherwise=LUNG)


def _first_true(parts: Sequence[tuple[Mask, int | Numbers]], shape: tuple[int, ...], *, otherwise: int) -> Bytes:
    """Return the tissue of the first part whose condition is true at a voxel."""
    conditions = [np.broadcast_to(condition, shape) for condition, _ in parts]
    tissue: Numbers = np.select(conditions, [np.asarray(kind) for _, kind in parts], otherwise)
    return tissue.astype(np.uint8)
