"""The anatomy of BraTS phantoms: a brain of a few ellipsoids and random fields, and the tumour in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from benchbench.images.arrays import Floats, Mask
from benchbench_datasets.smooth_noise import gaussian_bumps, smooth_noise

Bytes = NDArray[np.uint8]

FIELD_MM, HEIGHT_MM = 240, 155
"""Extent of a volume across and from slice to slice."""

FLUID, GREY, NUCLEUS, WHITE, VESSEL, NECROSIS, RIM = range(7)

# centre and half-axes in mm, to the left, backwards and upwards from the middle of the brain
CEREBRUM = ((0, 0, -4), (64, 78, 62))
TEMPORAL = (((-38, -10, -26), (24, 44, 22)), ((38, -10, -26), (24, 44, 22)))
CEREBELLUM = ((0, 44, -42), (46, 32, 23))
STEM = ((0, 12, -46), (13, 13, 34))


@dataclass(frozen=True)
class Grid:
    """Voxel centres in mm from the middle of the brain, shaped to broadcast: to left, backwards and upwards."""

    x: Floats
    y: Floats
    z: Floats
    spacing_mm: float

    @classmethod
    def of(cls, size: int) -> Grid:
        """Return the grid of a volume of size by size voxels over the whole field of view."""
        spacing_mm, slices = FIELD_MM / size, round(size * HEIGHT_MM / FIELD_MM)
        x = (np.arange(size, dtype=np.float64) + 0.5 - size / 2) * spacing_mm
        z = (np.arange(slices, dtype=np.float64) + 0.5 - slices / 2) * spacing_mm
        return cls(x=x[:, None, None], y=x[None, :, None], z=z[None, None, :], spacing_mm=spacing_mm)

    def distance(self, centre: tuple[float, ...], half_axes: tuple[float, ...]) -> Floats:
        """Return the distance from the centre of an ellipsoid, which is 1 on its surface."""
        x, y, z = self.x - centre[0], self.y - centre[1], self.z - centre[2]
        squares = (x / half_axes[0]) ** 2 + (y / half_axes[1]) ** 2 + (z / half_axes[2]) ** 2
        distance: Floats = np.sqrt(squares)
        return distance

    def mirrored(self) -> Grid:
        """Return the grid on which both halves of the head have the coordinates of the left one."""
        return replace(self, x=np.abs(self.x))

    def field(self, rng: Generator, *, width_mm: float) -> Floats:
        """Return smooth noise of mean 0 and SD 1 that changes over `width_mm`."""
        bases = [gaussian_bumps(axis.ravel(), width=width_mm) for axis in (self.x, self.y, self.z)]
        return smooth_noise(rng, bases)


@dataclass(frozen=True)
class Brain:
    """A head without its skull, on the grid of the volume."""

    head: Grid
    """The grid stretched to the size of this head."""
    folds: Floats
    """Random field whose zeros are the sulci."""
    mask: Mask
    cerebrum: Mask
    """The part of the mask that is neither cerebellum nor brain stem."""
    depth_mm: Floats
    """Distance from the surface, 0 outside."""


def draw_brain(rng: Generator, grid: Grid) -> Brain:
    """Return a brain of random size and shape."""
    a, b, c = (float(factor) for factor in rng.uniform(0.93, 1.05, 3))
    head = replace(grid, x=grid.x / a, y=grid.y / b, z=grid.z / c)
    folds = grid.field(rng, width_mm=max(3.6, 1.1 * grid.spacing_mm))
    roughness = 0.03 * head.field(rng, width_mm=25) + 0.025 * np.abs(folds)
    cerebellum, stem = head.distance(*CEREBELLUM), head.distance(*STEM)
    below = np.minimum(cerebellum, stem) + roughness / 2
    cerebrum = _cerebrum(head, roughness=roughness, below=below)
    parts, _ = ndimage.label(cerebrum | (below < 1))
    mask = parts == np.bincount(parts[parts > 0]).argmax()
    depth_mm = ndimage.distance_transform_edt(mask, sampling=grid.spacing_mm)
    return Brain(head=head, folds=folds, mask=mask, cerebrum=cerebrum & mask, depth_mm=depth_mm)


def _cerebrum(head: Grid, *, roughness: Floats, below: Floats) -> Mask:
    """Return the lobes without the fissure between them; `below` is 1 on the surface of cerebellum and stem."""
    is_lower_half = head.z < -4
    flattened = replace(head, z=np.where(is_lower_half, 1.7, 1.0) * (head.z + 4) - 4)
    dome = flattened.distance(*CEREBRUM)
    temporal = [head.distance(*lobe) for lobe in TEMPORAL]
    lobes = np.minimum.reduce([dome, *temporal]) + roughness
    is_frontal_gap = (head.z < -20) & (head.y < -10)
    is_fissure = (np.abs(head.x) < 2.5) & ((dome > 0.93) | is_frontal_gap)
    is_apart = (below > 1.06) | (head.z > -25)
    cerebrum: Mask = (lobes < 1) & ~is_fissure & is_apart
    return cerebrum


def draw_tissues(rng: Generator, brain: Brain) -> Bytes:
    """Return the tissue of every voxel: cortex and sulci around white matter, ventricles and nuclei.

    The cerebellum has finer folds.
    """
    patches, leaves = brain.head.field(rng, width_mm=14), brain.head.field(rng, width_mm=3.5)
    upper = _cerebrum_tissues(brain, patches, swelling=rng.uniform(0.7, 1.4))
    lower = _cerebellum_tissues(brain, leaves)
    return np.where(brain.cerebrum, upper, lower).astype(np.uint8)


def _cerebrum_tissues(brain: Brain, patches: Floats, *, swelling: float) -> NDArray[np.int_]:
    """Return the tissues as if the cerebrum were everywhere; `swelling` is the size of the ventricles."""
    head, depth_mm, fold = brain.head, brain.depth_mm, np.abs(brain.folds)
    half = head.mirrored()
    sulcus_width = 0.2 * np.clip(1.2 - depth_mm / (18 + 4 * patches), 0, 1)
    cortex_width = 1.1 * np.clip(1.35 - depth_mm / (22 + 4 * patches), 0, 1)
    is_sulcus = fold < sulcus_width
    is_cortex = (fold < cortex_width) | (depth_mm < 3.5)
    is_cortex |= (half.x < 4.5) & ((np.abs(head.y) > 36) | (head.z > 28))
    is_midline = (half.x < 1.2) & ((np.abs(head.y) > 30) | (head.z > 25))
    bent = replace(half, x=half.x - 0.006 * (head.y + 6) ** 2)
    horn_half_axes = (5 * swelling, 34 * swelling**0.5, 9)
    horn = bent.distance((7, 0, 12), horn_half_axes) + 0.1 * patches
    third_ventricle = head.distance((0, 4, -2), (2.5 * swelling, 14, 9))
    caudate = half.distance((14, -12, 10), (5, 13, 9))
    lentiform = half.distance((25, -2, 0), (8, 18, 12))
    thalamus = half.distance((9, 12, 2), (8, 14, 9))
    is_ventricle = np.minimum(horn, third_ventricle) < 1
    is_nucleus = np.minimum.reduce([caudate, lentiform, thalamus]) < 1
    is_sagittal_sinus = (half.x < 2) & (depth_mm < 4) & (head.z > 20)
    is_vessel = (is_sulcus & (patches > 1.9)) | is_sagittal_sinus
    conditions = [is_ventricle, is_vessel, is_sulcus | is_midline, is_nucleus, is_cortex]
    return np.select(conditions, [FLUID, VESSEL, FLUID, NUCLEUS, GREY], WHITE)


def _cerebellum_tissues(brain: Brain, leaves: Floats) -> NDArray[np.int_]:
    """Return the tissues as if cerebellum and brain stem were everywhere."""
    is_stem = brain.head.distance(*STEM) < 1
    is_gap = (np.abs(leaves) < 0.08) & (brain.depth_mm < 12)
    is_leaf = (np.abs(leaves) < 0.5) | (brain.depth_mm < 3)
    return np.select([is_stem, is_gap, is_leaf], [WHITE, FLUID, GREY], WHITE)


def draw_tumour(rng: Generator, grid: Grid, *, allowed: Mask, tissue: Bytes, is_enhancing: bool) -> Bytes:
    """Return the labels of a tumour: necrosis 1 in a rim 4 of uneven width, in oedema 2.

    Oedema spreads along white matter. All voxels of the tumour are in `allowed`.
    """
    voxel_ml = grid.spacing_mm**3 / 1000
    whole_ml = np.clip(rng.lognormal(np.log(85), 0.7), 15, 250)
    core_ml = whole_ml * np.clip(rng.normal(0.36, 0.12), 0.12, 0.7)
    radius = np.cbrt(3000 * core_ml / (4 * np.pi))
    distance, is_across = _distance_from_core(rng, grid, inner=allowed & (tissue == WHITE), radius=radius)
    core_noise = 1 + 0.12 * grid.field(rng, width_mm=0.5 * radius)
    core_cost = distance * core_noise + is_across
    core = _cheapest(core_cost, count=core_ml / voxel_ml, where=allowed)
    is_barrier = (tissue != WHITE).astype(np.float64)
    barriers = ndimage.gaussian_filter(is_barrier, 2.5 / grid.spacing_mm)
    oedema_noise = 1 + 0.15 * grid.field(rng, width_mm=12)
    oedema_cost = distance * oedema_noise + 0.8 * barriers + 0.5 * is_across
    free = allowed & ~core & (tissue != FLUID)
    whole = core | _cheapest(oedema_cost, count=(whole_ml - core_ml) / voxel_ml, where=free)
    parts, _ = ndimage.label(whole)
    whole &= parts == np.bincount(parts[core]).argmax()
    necrosis_noise = 1 + 0.2 * grid.field(rng, width_mm=0.6 * radius)
    necrosis_cost = core_cost * necrosis_noise
    share = rng.uniform(0.3, 0.6) if is_enhancing else 1.0
    necrosis = _cheapest(necrosis_cost, count=share * core_ml / voxel_ml, where=core)
    return np.where(whole, np.select([necrosis, core], [1, 4], 2), 0).astype(np.uint8)


def _distance_from_core(rng: Generator, grid: Grid, *, inner: Mask, radius: float) -> tuple[Floats, Mask]:
    """Return the distance from a random voxel of `inner`, and which voxels are across the midline from it.

    The distance is 1 at about `radius` mm.
    """
    lateral = inner & (np.abs(grid.x) > 14)
    x, y, z = np.unravel_index(rng.choice(np.flatnonzero(lateral)), inner.shape)
    centre = (float(grid.x[x, 0, 0]), float(grid.y[0, y, 0]), float(grid.z[0, 0, z]))
    distance = grid.distance(centre, tuple(radius * rng.uniform(0.8, 1.25, 3)))
    is_across = (grid.x > 0) != (centre[0] > 0)
    return distance, is_across


def _cheapest(cost: Floats, *, count: float, where: Mask) -> Mask:
    """Return the voxels of least cost: about `count` of them, at least one and at most all of `where`."""
    costs = cost[where]
    last = min(max(round(count), 1), costs.size) - 1
    cheapest: Mask = where & (cost <= np.partition(costs, last)[last])
    return cheapest
