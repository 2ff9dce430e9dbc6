"""Made-up patients in the layout of the LGG archive, to rehearse a benchmark without its files.

Source: counts, sizes and intensities as measured on the archive of doi:10.1016/j.compbiomed.2019.05.002
Differs: a head is a few ellipsoids and smooth random fields, a lesion one irregular blob.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tifffile import imwrite

from benchbench import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

COLUMNS = (
    "RNASeqCluster,MethylationCluster,miRNACluster,CNCluster,RPPACluster,OncosignCluster,COCCluster,"
    "histological_type,neoplasm_histologic_grade,tumor_tissue_site,laterality,tumor_location,gender,"
    "age_at_initial_pathologic,race,ethnicity,death01"
).split(",")
LOWEST = (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 20, 1, 1, 0)
HIGHEST = (4, 5, 4, 3, 4, 3, 3, 3, 2, 1, 3, 6, 2, 75, 3, 2, 1)

AIR, FAT, BONE, MUSCLE, FLUID, GREY, WHITE, VESSEL = range(8)
# intensity of these tissues before contrast, in FLAIR and after contrast; SD of its logarithm between patients
MEANS = np.array([
    [0, 110, 18, 48, 20, 55, 66, 40],
    [0, 110, 17, 42, 16, 62, 53, 50],
    [0, 100, 19, 52, 20, 53, 60, 110],
])
SPREADS = np.array([0, 0.12, 0.12, 0.12, 0.12, 0.04, 0.04, 0.2])

# half-width, half-length and centre of the brain at these heights, from the cord to its widest
LEVELS = (0.0, 0.12, 0.24, 0.36, 0.5)
WIDTHS, LENGTHS, CENTRES = (0.2, 0.25, 0.55, 0.82, 0.86), (0.2, 0.22, 0.42, 0.74, 0.87), (0.2, 0.2, 0.36, 0.06, 0.0)


def write_phantom(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write root/kaggle_3m with slices size by size; the same bytes for the same seed.

    Of every twelve patients the fourth has three identical channels and no clinical data, and the eighth has FLAIR in
    place of post-contrast.
    """
    folder = root / "kaggle_3m"
    if folder.exists():
        raise DataError(f"lgg: {folder}: found a folder, expected none before phantoms are written; name another root")
    folder.mkdir(parents=True)
    rows = [_write_patient(folder, index=index, size=size, seed=seed) for index in range(patients)]
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["Patient", *COLUMNS], *rows])
    (folder / "README.md").write_bytes(b"# Phantoms\n\nMade up by benchbench: nobody is shown here.\n")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def _write_patient(parent: Path, *, index: int, size: int, seed: int) -> list[str]:
    """The row of data.csv, once the slices are written."""
    rng = np.random.default_rng([seed, index])
    key = f"TCGA_{rng.choice(['CS', 'DU', 'EZ', 'FG', 'HT'])}_{index:04d}"
    folder = parent / f"{key}_{rng.integers(1990, 2010)}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    folder.mkdir()
    slices = round(rng.triangular(20, 27, 60) if size >= 256 else rng.triangular(16, 20, 28))
    image, label = _draw(rng, _Grid.of(slices, size=size))
    if index % 12 == 3:
        image[..., 0] = image[..., 2] = image[..., 1]
    if index % 12 == 7:
        image[..., 2] = image[..., 1]
    for n, (page, mask) in enumerate(zip(image, label, strict=True), start=1):
        stem = f"{folder.name}_{n}"
        imwrite(folder / f"{stem}.tif", page, photometric="rgb", metadata=None, software=False)
        imwrite(folder / f"{stem}_mask.tif", mask, photometric="minisblack", metadata=None, software=False)
    values = [str(value) for value in rng.integers(LOWEST, HIGHEST, endpoint=True)]
    is_blank = [rng.random() < 0.1 if at < 7 else index % 12 == 3 for at in range(len(COLUMNS))]
    return [key, *("" if blank else value for value, blank in zip(values, is_blank, strict=True))]


@dataclass(frozen=True)
class _Grid:
    """Voxel centres, shaped to broadcast: z from neck to vertex in [0, 1], y backwards and x sideways in [-1, 1]."""

    z: Floats
    y: Floats
    x: Floats

    @classmethod
    def of(cls, slices: int, *, size: int) -> _Grid:
        z, x = (np.arange(slices) + 0.5) / slices, (np.arange(size) + 0.5) / size * 2 - 1
        return cls(z=z[:, None, None], y=x[None, :, None], x=x[None, None, :])

    def distance(self, centre: tuple[float, ...], *, radii: tuple[float, ...], turn: float = 0.0) -> Floats:
        """From an ellipsoid's centre, 1 on its surface; (z, y, x) both, turned in the plane of the slice."""
        z, y, x = self.z - centre[0], self.y - centre[1], self.x - centre[2]
        u, v = y * np.cos(turn) - x * np.sin(turn), x * np.cos(turn) + y * np.sin(turn)
        distance: Floats = np.sqrt((z / radii[0]) ** 2 + (u / radii[1]) ** 2 + (v / radii[2]) ** 2)
        return distance

    def draw_voxel(self, rng: Generator, where: Bools) -> tuple[float, ...]:
        """(z, y, x) of a voxel where this is true."""
        z, y, x = np.unravel_index(rng.choice(np.flatnonzero(where)), where.shape)
        return float(self.z[z, 0, 0]), float(self.y[0, y, 0]), float(self.x[0, 0, x])


def _field(rng: Generator, grid: _Grid, *, width: float, depth: float = 0.05) -> Floats:
    """Smooth noise of mean 0 and SD 1 that changes over this much of y and x, and of z."""
    scales = zip((grid.z, grid.y, grid.x), (depth, width, width), strict=True)
    z, y, x = (_bumps(axis.ravel(), scale=scale) for axis, scale in scales)
    weights = rng.standard_normal((z.shape[1], y.shape[1], x.shape[1]))
    field: Floats = np.einsum("zi,yj,xk,ijk->zyx", z, y, x, weights, optimize=True)
    return field


def _bumps(axis: Floats, *, scale: float) -> Floats:
    """(N, bumps) Gaussians one scale apart, of unit energy at every point."""
    knots = np.arange(axis[0] - 2 * scale, axis[-1] + 2.5 * scale, scale)
    bumps = np.exp(-0.5 * ((axis[:, None] - knots) / scale) ** 2)
    unit: Floats = bumps / np.linalg.norm(bumps, axis=1, keepdims=True)
    return unit


def _tissues(rng: Generator, grid: _Grid) -> tuple[Bytes, Floats]:
    """The tissue of every voxel, and how deep in the brain it is: 0 at the rim and outside, 1 in the middle."""
    width = rng.uniform(0.58, 0.76)
    height = min(width * rng.uniform(1.18, 1.32), 0.95)
    y, x = grid.y - rng.uniform(-0.04, 0.04), grid.x - rng.uniform(-0.04, 0.04)
    head = _Grid(z=grid.z / rng.uniform(0.93, 1.06), y=y / height, x=x / width)
    dome, face = np.clip(2 * head.z - 1, 0, 1), np.clip(1 - head.z / 0.36, 0, 1)
    nose = 0.15 * np.minimum(face, 0.6) * np.exp(-((np.arctan2(head.x, -head.y) / 0.2) ** 2))
    radius = np.maximum(np.sqrt(1 - dome**2.4) - 0.6 * np.clip(0.5 - head.z, 0, 1) ** 2, 1e-3)
    radius = radius * (1 + 0.02 * _field(rng, grid, width=0.5, depth=0.3) + nose)
    out = np.hypot(head.x, head.y) / radius
    scalp = (0.06 + 0.04 * face + 0.1 * dome**2) * (1 + 0.2 * _field(rng, grid, width=0.3, depth=0.2))
    wide, long, centre = (np.interp(head.z, LEVELS, values) for values in (WIDTHS, LENGTHS, CENTRES))
    shrink = 0.12 * dome
    rim = np.hypot(head.x / (wide - shrink), (head.y - centre) / (long - shrink)) / radius
    inside = out < 1 - scalp
    depth = np.where(inside, np.clip(1 - rim, 0, 1), 0)
    outer = np.where(rim < 1.04, FLUID, _face(rng, grid, head=head, rim=rim))
    outer = np.where(inside, outer, np.where(out < 1, FAT, AIR))
    return np.where(depth > 0, _brain(rng, grid, head=head, depth=depth), outer).astype(np.uint8), depth


def _face(rng: Generator, grid: _Grid, *, head: _Grid, rim: Floats) -> NDArray[np.int_]:
    """Skull, and below it muscle, fat, bone, air and the eyes."""
    blobs = _field(rng, grid, width=0.06)
    blobs = 0.6 * (blobs + blobs[..., ::-1]) + 0.3 * _field(rng, grid, width=0.04)
    soft = np.select([blobs > 0.7, blobs < -1.1, blobs < -0.6], [FAT, AIR, BONE], MUSCLE)
    eyes = [head.distance((0.31, -0.74, side), radii=(0.05, 0.17, 0.2)) for side in (-0.42, 0.42)]
    eye = np.minimum(*eyes)
    return np.select([eye < 1, eye < 1.5, (head.z < 0.42) & (rim > 1.1)], [FLUID, FAT, soft], BONE)


def _brain(rng: Generator, grid: _Grid, *, head: _Grid, depth: Floats) -> NDArray[np.int_]:
    """Cortex and sulci around white matter, ventricles and nuclei, as if the brain were everywhere."""
    folds, patches = _field(rng, grid, width=0.04, depth=0.04), _field(rng, grid, width=0.09, depth=0.06)
    is_sulcus = (np.abs(folds) < 0.16) & (depth < 0.28 + 0.1 * patches)
    is_cortex = (depth < 0.13 + 0.07 * patches) | ((folds > 0.9) & (depth < 0.45))
    is_fissure = (np.abs(head.x + 0.015 * patches) < 0.02) & (head.z > 0.42) & ((depth < 0.45) | (head.z > 0.7))
    bent = _Grid(z=head.z, y=head.y, x=np.abs(head.x) - 0.7 * (head.y + 0.05) ** 2)
    swelling = rng.uniform(0.6, 1.5)
    horn = bent.distance((0.57, -0.02, 0.1), radii=(0.11, 0.38 * swelling**0.5, 0.075 * swelling)) + 0.15 * patches
    nucleus = bent.distance((0.5, -0.02, 0.27), radii=(0.08, 0.22, 0.11))
    is_vessel = is_sulcus & (patches > 1)
    kinds = [horn < 1, is_vessel, is_sulcus | is_fissure, is_cortex | (nucleus < 1)]
    return np.select(kinds, [FLUID, VESSEL, FLUID, GREY], WHITE)


class _Lesion(NamedTuple):
    label: Bools
    weight: Floats
    """Share of the voxel that is tumour; soft at the border, where the label is a matter of taste."""
    inwards: Floats
    """0 at the border, 1 in the middle."""


def _lesion(rng: Generator, grid: _Grid, *, depth: Floats) -> _Lesion:
    """One connected lesion on at least three slices."""
    slices, size, _ = depth.shape
    radius = np.sqrt(np.clip(rng.lognormal(np.log(2700), 0.6), 600, 8000) / np.pi) / 128
    reach, stretch = max(rng.uniform(0.12, 0.23), 2.3 / slices), rng.uniform(1, 1.7) ** 0.5
    level = np.abs(grid.z - rng.uniform(0.40, 0.72)) < 0.6 / slices
    centre = grid.draw_voxel(rng, level & (depth > 0.15) & (depth < 0.75))
    radii, turn = (reach, radius / stretch, radius * stretch), rng.uniform(0, np.pi)
    far = grid.distance(centre, radii=radii, turn=turn)
    ragged = np.clip(_field(rng, grid, width=0.4 * radius, depth=0.5 * reach), -2, 2) * np.minimum(far, 1)
    inwards = 1 - far + 0.3 * ragged
    parts, _ = ndimage.label((inwards > 0) & (depth > 0))
    whole = parts == parts.flat[np.argmin(far)]
    blur = rng.uniform(0.04, 0.14) * radius * size / 2
    weight = ndimage.gaussian_filter(whole.astype(np.float64), (0, blur, blur)) * (depth > 0)
    taste = 0.15 * _field(rng, grid, width=0.12, depth=0.02) * (weight > 0.05) + rng.uniform(-0.12, 0.12, (slices, 1, 1))
    label = (weight + taste > 0.5) & whole.any((1, 2), keepdims=True)
    return _Lesion(np.where(label.any((1, 2), keepdims=True), label, whole), weight, inwards)


def _spots(rng: Generator, grid: _Grid, *, where: Bools) -> Floats:
    """Bright white matter that nobody outlined: specks of a slice or two."""
    spots = np.zeros(where.shape)
    for _ in range(rng.integers(3, 11)):
        radius = rng.uniform(0.02, 0.07)
        radii = (1.2 / len(where), radius, radius * rng.uniform(0.6, 1.6))
        spots += rng.uniform(0.1, 0.5) * np.exp(-0.5 * grid.distance(grid.draw_voxel(rng, where), radii=radii) ** 2)
    return spots


def _draw(rng: Generator, grid: _Grid) -> tuple[Bytes, Bytes]:
    """Image (S, H, W, 3) and mask (S, H, W) of a patient."""
    tissue, depth = _tissues(rng, grid)
    lesion = _lesion(rng, grid, depth=depth)
    spots = _spots(rng, grid, where=(tissue == WHITE) & (lesion.weight < 0.02)) * (depth > 0)
    pre, flair, post = rng.normal(0, 1, (3, len(SPREADS))) * SPREADS
    means = MEANS * np.exp([pre, flair, 0.7 * pre + 0.5 * post])
    gains = [_gain(rng, grid, is_fat=tissue == FAT) for _ in range(2)]
    blur = 0.5 + 0.48 * depth.shape[1] / 256 * rng.uniform(0.7, 1.5)
    channels = []
    for channel, added in enumerate(_contrasts(rng, grid, lesion=lesion, spots=spots)):
        signal = means[channel][tissue] * gains[channel % 2]  # shared by both T1 sequences
        signal = ndimage.gaussian_filter(signal, (0.3, blur, blur)) + added * rng.uniform(0.9,1.1)
        own = 0.12 * _field(rng, grid, width=0.5, depth=0.4) + 0.06 * _field(rng, grid, width=0.022, depth=0.03)
        signal *= rng.uniform(0.8, 1.25) * np.exp(own)
        real, imaginary = rng.normal(0, rng.uniform(0.8, 1.7), (2, *signal.shape))
        channels.append(np.hypot(255 * np.tanh(signal / 255) + real, imaginary))
    return np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8), lesion.label.astype(np.uint8) * 255


def _gain(rng: Generator, grid: _Grid, *, is_fat: Bools) -> Floats:
    """Coil shading, the grain of tissue, and fat that is anything from dark to dazzling."""
    gain = np.exp(0.08 * _field(rng, grid, width=0.6, depth=0.4) + 0.042 * _field(rng, grid, width=0.03, depth=0.03))
    gain[is_fat] *= np.exp(0.5 * _field(rng, grid, width=0.1)[is_fat] - 0.08)
    return gain


def _contrasts(rng: Generator, grid: _Grid, *, lesion: _Lesion, spots: Floats) -> tuple[Floats, Floats, Floats]:
    """What the lesion adds before contrast, in FLAIR and after contrast."""
    ratio = 0.8 if rng.random() < 0.05 else np.clip(rng.normal(1.85, 0.22), 1.3, 2.3)
    cyst = np.clip(6 * (lesion.inwards - rng.uniform(0.3, 0.8)), 0, 1) * lesion.weight * (rng.random() < 0.25)
    ring = np.exp(-(((lesion.inwards - 0.45) / 0.12) ** 2)) * lesion.weight * (rng.random() < 0.25) * rng.uniform(0.3, 1)
    mottled = lesion.weight * (1 + 0.25 * _field(rng, grid, width=0.1))
    flair = 52 * (ratio - 1) * mottled - (52 * ratio - 25) * cyst + 52 * spots
    pre = -60 * rng.uniform(0.0, 0.25) * lesion.weight - 15 * cyst
    post = -60 * rng.uniform(0.0, 0.25) * lesion.weight - 15 * cyst + 90 * ring
    return pre, flair, post
