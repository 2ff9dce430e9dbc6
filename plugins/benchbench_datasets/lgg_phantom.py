"""Made-up patients in the layout of the LGG archive, to rehearse a benchmark without its files.

Source: counts, sizes and intensities as measured on the archive of doi:10.1016/j.compbiomed.2019.05.002
Differs: a head is a few ellipsoids and smooth random fields, a lesion one irregular blob.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from tifffile import imwrite

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

HEADER = (
    "Patient,RNASeqCluster,MethylationCluster,miRNACluster,CNCluster,RPPACluster,OncosignCluster,COCCluster,"
    "histological_type,neoplasm_histologic_grade,tumor_tissue_site,laterality,tumor_location,gender,"
    "age_at_initial_pathologic,race,ethnicity,death01"
)
# the lowest and the highest value of each column but the first; the first seven are molecular
LOWEST = (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 20, 1, 1, 0)
HIGHEST = (4, 5, 4, 3, 4, 3, 3, 3, 2, 1, 3, 6, 2, 75, 3, 2, 1)

AIR, FAT, BONE, MUSCLE, FLUID, GREY, WHITE, VESSEL = range(8)
# intensity of these tissues before contrast, in FLAIR and after contrast; SD of its logarithm between patients
MEANS = (
    (0, 110, 18, 48, 20, 55, 66, 40),
    (0, 110, 17, 42, 16, 62, 53, 50),
    (0, 100, 19, 52, 20, 53, 60, 110),
)
SPREADS = (0, 0.08, 0.08, 0.08, 0.08, 0.03, 0.03, 0.2)

# the brain at these heights of the head, from the cord to where it is widest
LEVELS = (0.0, 0.12, 0.24, 0.36, 0.5)
WIDTHS = (0.2, 0.25, 0.55, 0.82, 0.86)
LENGTHS = (0.2, 0.22, 0.42, 0.74, 0.87)
CENTRES = (0.2, 0.2, 0.36, 0.06, 0.0)


def write_phantom(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write root/kaggle_3m with slices size by size; the same bytes for the same seed.

    Of every twelve patients the fourth has three identical channels and no clinical data, the eighth has FLAIR in
    place of post-contrast, and the last a lesion that FLAIR hardly shows.
    """
    folder = root / "kaggle_3m"
    folder.mkdir(parents=True)
    rows = [_write_patient(folder, index=index, size=size, seed=seed) for index in range(patients)]
    (folder / "data.csv").write_bytes("".join(f"{line}\n" for line in [HEADER, *rows]).encode())
    (folder / "README.md").write_bytes(b"# Phantoms\n\nMade up by benchbench: nobody is shown here.\n")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def _write_patient(parent: Path, *, index: int, size: int, seed: int) -> str:
    """The patient's line of data.csv, once the slices are written."""
    rng = np.random.default_rng([seed, index])
    key = f"TCGA_{rng.choice(['CS', 'DU', 'EZ', 'FG', 'HT'])}_{index:04d}"
    folder = parent / f"{key}_{rng.integers(1990, 2010)}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    folder.mkdir()
    slices = round(rng.triangular(20, 27, 60) if size >= 256 else rng.triangular(17, 26, 28))
    image, label = _draw(rng, _Grid.of(slices, size=size), is_faint=index % 12 == 11)
    sources = {3: [1, 1, 1], 7: [0, 1, 1]}.get(index % 12, [0, 1, 2])
    for n, (page, mask) in enumerate(zip(image[..., sources], label, strict=True), start=1):
        stem = f"{folder.name}_{n}"
        imwrite(folder / f"{stem}.tif", page, photometric="rgb", metadata=None, software=False)
        imwrite(folder / f"{stem}_mask.tif", mask, photometric="minisblack", metadata=None, software=False)
    values = [str(value) for value in rng.integers(LOWEST, HIGHEST, endpoint=True)]
    molecular = ["" if rng.random() < 0.1 else value for value in values[:7]]
    clinical = ["" if index % 12 == 3 else value for value in values[7:]]
    return ",".join([key, *molecular, *clinical])


@dataclass(frozen=True)
class _Grid:
    """Voxel centres, shaped to broadcast: z in [0, 1] from neck to vertex, y to the back and x in [-1, 1]."""

    z: Floats
    y: Floats
    x: Floats

    @classmethod
    def of(cls, slices: int, *, size: int) -> _Grid:
        z, x = (np.arange(slices) + 0.5) / slices, (np.arange(size) + 0.5) / size * 2 - 1
        return cls(z=z[:, None, None], y=x[None, :, None], x=x[None, None, :])

    def distance(self, centre: tuple[float, ...], *, radii: tuple[float, ...], turn: float = 0.0) -> Floats:
        """From the centre of an ellipsoid, 1 on its surface; (z, y, x) both, turned in the plane of the slice."""
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
    rim = np.hypot(head.x / (wide - 0.12 * dome), (head.y - centre) / (long - 0.12 * dome)) / radius
    depth = np.where(out < 1 - scalp, np.clip(1 - rim, 0, 1), 0)
    inner = np.where(rim < 1.04, FLUID, _skull(rng, grid, head=head, rim=rim))
    inner = np.where(depth > 0, _brain(rng, grid, head=head, depth=depth), inner)
    return np.select([out >= 1, out >= 1 - scalp], [AIR, FAT], inner).astype(np.uint8), depth


def _skull(rng: Generator, grid: _Grid, *, head: _Grid, rim: Floats) -> NDArray[np.int_]:
    """Bone, and below it muscle, fat, air and the eyes, as if there were neither brain nor scalp."""
    blobs = _field(rng, grid, width=0.06)
    blobs = 0.6 * (blobs + blobs[..., ::-1]) + 0.3 * _field(rng, grid, width=0.04)
    face = np.select([blobs > 0.7, blobs < -1.1, blobs < -0.6], [FAT, AIR, BONE], MUSCLE)
    mirrored = _Grid(z=head.z, y=head.y, x=np.abs(head.x))
    eye = mirrored.distance((0.31, -0.74, 0.42), radii=(0.05, 0.17, 0.2))
    return np.select([eye < 1, eye < 1.5, (head.z < 0.42) & (rim > 1.1)], [FLUID, FAT, face], BONE)


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
    kinds = [horn < 1, is_sulcus & (patches > 1), is_sulcus | is_fissure, is_cortex | (nucleus < 1)]
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
    edge = 0.5 + rng.uniform(-0.12, 0.12, (slices, 1, 1)) + 0.15 * _field(rng, grid, width=0.12, depth=0.02)
    label = (weight > np.maximum(edge, 0.05)) & whole.any((1, 2), keepdims=True)
    return _Lesion(np.where(label.any((1, 2), keepdims=True), label, whole), weight, inwards)


def _spots(rng: Generator, grid: _Grid, *, where: Bools) -> Floats:
    """Bright white matter that nobody outlined: specks on a slice or two."""
    spots = np.zeros(where.shape)
    for _ in range(rng.integers(2, 8)):
        radius = rng.uniform(0.02, 0.07)
        radii = (1.2 / len(where), radius, radius * rng.uniform(0.6, 1.6))
        far = grid.distance(grid.draw_voxel(rng, where), radii=radii)
        spots += rng.uniform(0.1, 0.35) * np.exp(-0.5 * far**2)
    return spots


def _draw(rng: Generator, grid: _Grid, *, is_faint: bool) -> tuple[Bytes, Bytes]:
    """Image (S, H, W, 3) and mask (S, H, W) of a patient."""
    tissue, depth = _tissues(rng, grid)
    lesion = _lesion(rng, grid, depth=depth)
    ratio = rng.uniform(0.85, 1.2) if is_faint else np.clip(rng.normal(1.9, 0.22), 1.5, 2.4)
    added = _contrasts(rng, grid, lesion=lesion, ratio=ratio)
    added[1] += 50 * _spots(rng, grid, where=(tissue == WHITE) & (lesion.weight < 0.02)) * (depth > 0)
    means = MEANS * np.exp(_related(rng.normal(0, SPREADS, (3, len(SPREADS)))))
    gains = np.exp(_related(np.stack([_log_gain(rng, grid, is_fat=tissue == FAT) for _ in range(3)])))
    blur = 0.5 + 0.48 * depth.shape[1] / 256 * rng.uniform(0.7, 1.5)
    channels = [_scan(rng, means[c][tissue] * gains[c], added=added[c], blur=blur) for c in range(3)]
    return np.stack(channels, axis=-1), lesion.label.astype(np.uint8) * 255


def _related(draws: Floats) -> Floats:
    """Pre-contrast, FLAIR and post-contrast, where the last resembles the first."""
    draws[2] = 0.8 * draws[0] + 0.6 * draws[2]
    return draws


def _log_gain(rng: Generator, grid: _Grid, *, is_fat: Bools) -> Floats:
    """Coil shading, the grain of tissue, and fat that is anything from grey to dazzling."""
    gain = 0.07 * _field(rng, grid, width=0.6, depth=0.4) + 0.07 * _field(rng, grid, width=0.025, depth=0.03)
    gain[is_fat] += 0.4 * _field(rng, grid, width=0.1)[is_fat] - 0.08
    return gain


def _contrasts(rng: Generator, grid: _Grid, *, lesion: _Lesion, ratio: float) -> list[Floats]:
    """What the lesion adds before contrast, in FLAIR, where white matter times the ratio comes out, and after."""
    cyst = np.clip(6 * (lesion.inwards - rng.uniform(0.5, 0.9)), 0, 1) * lesion.weight * (rng.random() < 0.3)
    ring = np.exp(-(((lesion.inwards - 0.45) / 0.12) ** 2)) * lesion.weight * (rng.random() < 0.25)
    mottled = lesion.weight * (1 + 0.25 * _field(rng, grid, width=0.1))
    t1 = 60 * rng.uniform(-0.15, 0.1) * lesion.weight - 15 * cyst
    return [t1, 52 * (ratio - 1) * mottled - (52 * ratio - 25) * cyst, t1 + rng.uniform(30, 90) * ring]


def _scan(rng: Generator, signal: Floats, *, added: Floats, blur: float) -> Bytes:
    """The signal blurred, compressed below 255, with the noise of a magnitude image."""
    signal = (ndimage.gaussian_filter(signal, (0.3, blur, blur)) + added) * rng.uniform(0.8, 1.25)
    real, imaginary = rng.normal(0, rng.uniform(0.8, 1.7), (2, *signal.shape))
    scan: Floats = np.hypot(255 * np.tanh(signal / 255) + real, imaginary)
    return np.clip(scan, 0, 255).astype(np.uint8)
