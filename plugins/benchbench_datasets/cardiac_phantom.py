"""Made-up hearts in the layouts of HVSMR 2016, HVSMR-2.0 and ACDC, to rehearse a benchmark without their files.

Source: sizes, spacings, labels and intensities as measured on HVSMR 2016, doi:10.1007/978-3-319-24574-4_10
Differs: a heart is a few ellipsoids and tubes, and beats by shrinking; a trunk is smooth shapes around it. Spacing
    is the real one at any size, so that a small phantom is a small patient.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from benchbench import DataError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Numbers = NDArray[Any]
Bytes = NDArray[np.uint8]
Point = tuple[float, float, float]

# the first nine as HVSMR-2.0 numbers them
REST, LV, RV, LA, RA, AORTA, PULMONARY, UPPER_CAVA, LOWER_CAVA = range(9)
LV_WALL, RV_WALL, VEIN, AIR, LUNG, FAT, MUSCLE, LIVER, BONE, FLUID = range(9, 19)
# intensities, those of blood and of heart muscle being 1
MEANS = np.array([0, *[1.0] * 8, 1.0, 1.0, 0.9, 0, 1.5, 92, 31, 50, 35, 105])
IS_CHAMBER = np.isin(np.arange(len(MEANS)), np.arange(LV, LOWER_CAVA + 1))
IS_WALL = np.isin(np.arange(len(MEANS)), [LV_WALL, RV_WALL])

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

BASE = -34  # where the ventricles end, in mm from the middle of the heart towards its apex

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


def write_hvsmr_2016(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write the three views of each patient into root, the crop about size voxels long; same bytes for same seed.

    One patient more has an image for testing, without a label.
    """
    _refuse(root, "*_pat*.nii*", dataset="cardiac")
    root.mkdir(parents=True, exist_ok=True)
    for index in range(patients):
        scan = _scan_patient(index, size=size, seed=seed)
        crop = _cropped(scan, margin=round(size / 180 * (index * 5 % 13)))
        for view, each in (("axial_full", scan), ("axial_crop", crop), ("sa_crop", _short_axis(scan))):
            label = np.where(IS_WALL, 1, np.where(IS_CHAMBER, 2, 0)).astype(np.uint16)[each.tissue]
            _write(root / f"training_{view}_pat{index}.nii.gz", each.image, affine=each.affine)
            _write(root / f"training_{view}_pat{index}-label.nii.gz", label, affine=each.affine)
    scan = _cropped(_scan_patient(patients, size=size, seed=seed), margin=0)
    _write(root / f"testing_axial_crop_pat{patients + 10}.nii.gz", scan.image, affine=scan.affine)


def write_hvsmr2(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write root/cropped and root/cropped_norm, crops about size voxels long; the same bytes for the same seed."""
    _refuse(root, "cropped*", dataset="hvsmr2")
    for folder in ("cropped", "cropped_norm"):
        (root / folder).mkdir(parents=True)
    for index in range(patients):
        scan = _cropped(_scan_patient(index, size=size, seed=seed), margin=round(size / 30))
        label = np.where(IS_CHAMBER, np.arange(len(MEANS)), REST).astype(np.uint16)[scan.tissue]
        ends = np.where(ndimage.binary_dilation(label == LV), label, 0)
        norm = (scan.image / np.percentile(scan.image, 99.5)).clip(0, 1).astype(np.float32)
        for folder, image in (("cropped", scan.image), ("cropped_norm", norm)):
            _write(root / folder / f"pat{index}_{folder}.nii.gz", image, affine=scan.affine)
            _write(root / folder / f"pat{index}_cropped_seg.nii.gz", label, affine=scan.affine)
            _write(root / folder / f"pat{index}_cropped_seg_endpoints.nii.gz", ends, affine=scan.affine)


def write_acdc(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write root/database/training, slices size by size; the same bytes for the same seed.

    The _4d files hold the two frames alone, whatever NbFrame says.
    """
    _refuse(root, "database", dataset="acdc")
    for index in range(patients):
        folder = root / "database" / "training" / f"patient{index + 1:03d}"
        folder.mkdir(parents=True)
        _write_cine(folder, index=index, size=size, seed=seed)


def _write_cine(folder: Path, *, index: int, size: int, seed: int) -> None:
    rng = np.random.default_rng([seed, index, 1])
    shape, spacing_mm = (size, size, int(rng.integers(8, 11))), rng.uniform(1.37, 1.68)
    beats = {1: 1.0, int(rng.integers(7, 16)): rng.uniform(0.66, 0.8)}
    scans = [_cine_frame([seed, index], shape, spacing_mm=spacing_mm, beat=beat) for beat in beats.values()]
    for frame, scan in zip(beats, scans, strict=True):
        stem = f"{folder.name}_frame{frame:02d}"
        label = np.select([scan.tissue == RV, scan.tissue == LV_WALL, scan.tissue == LV], [1, 2, 3], 0)
        _write(folder / f"{stem}.nii.gz", scan.image, affine=scan.affine)
        _write(folder / f"{stem}_gt.nii.gz", label.astype(np.uint8), affine=scan.affine)
    cine = np.stack([scan.image for scan in scans], axis=-1)
    _write(folder / f"{folder.name}_4d.nii.gz", cine, affine=scans[0].affine)
    group, height, weight = (
        ("DCM", "HCM", "MINF", "NOR", "RV")[index % 5],
        rng.integers(150, 195),
        rng.integers(50, 110),
    )
    info = f"ED: 1\nES: {max(beats)}\nGroup: {group}\nHeight: {height}.0\nNbFrame: 30\nWeight: {weight}.0\n"
    (folder / "Info.cfg").write_bytes(info.encode())


class _Scan(NamedTuple):
    image: Numbers
    tissue: Bytes
    """As someone would label it: ragged, and only what belongs to the heart."""
    affine: Floats
    axes: Floats
    """Of the heart, as rows."""


@dataclass(frozen=True)
class _Grid:
    """Where voxels lie: (posterior, inferior, right) in mm from the middle of an adult's heart, to broadcast."""

    p: Floats
    i: Floats
    r: Floats
    steps_mm: tuple[float, ...]

    @classmethod
    def of(cls, shape: Sequence[int], *, steps_mm: tuple[float, ...], axes: Floats) -> _Grid:
        """Around the middle of the heart, the array's axes along the columns of these axes."""
        lines = [(np.arange(count) - (count - 1) / 2) * step for count, step in zip(shape, steps_mm, strict=True)]
        ways = np.meshgrid(*lines, indexing="ij", sparse=True)
        p, i, r = (sum(way * part for way, part in zip(ways, row, strict=True) if part) for row in axes)
        return cls(p=np.asarray(p), i=np.asarray(i), r=np.asarray(r), steps_mm=steps_mm)

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(self.p.shape, self.i.shape, self.r.shape)

    def part(self, box: tuple[slice, ...]) -> _Grid:
        p, i, r = (
            axis[tuple(cut if count > 1 else slice(None) for cut, count in zip(box, axis.shape, strict=True))]
            for axis in (self.p, self.i, self.r)
        )
        return _Grid(p=p, i=i, r=r, steps_mm=self.steps_mm)

    def along(self, way: Floats) -> Floats:
        where: Floats = self.p * way[0] + self.i * way[1] + self.r * way[2]
        return where

    def tube(self, course: Sequence[Point], *, radius: float) -> Floats:
        """Distance from a line through these points, 1 on the tube's surface."""
        near = np.full(self.shape, np.inf)
        for start, end in zip(np.array(course[:-1], float), np.array(course[1:], float), strict=True):
            way = end - start
            share = np.clip((self.along(way) - start @ way) / (way @ way), 0, 1)
            p, i, r = (
                axis - at - share * step
                for axis, at, step in zip((self.p, self.i, self.r), start, way, strict=True)
            )
            near = np.minimum(near, p * p + i * i + r * r)
        far: Floats = np.sqrt(near) / radius
        return far


def _field(rng: Generator, grid: _Grid, *, width_mm: float) -> Floats:
    """Smooth noise of mean 0 and SD 1 that changes over this distance."""
    z, y, x = (
        _bumps(count, scale=max(width_mm / step, 1.0))
        for count, step in zip(grid.shape, grid.steps_mm, strict=True)
    )
    weights = rng.standard_normal((z.shape[1], y.shape[1], x.shape[1]))
    field: Floats = np.einsum("zi,yj,xk,ijk->zyx", z, y, x, weights, optimize=True)
    return field


def _bumps(count: int, *, scale: float) -> Floats:
    """(N, bumps) Gaussians one scale apart, of unit energy at every point."""
    knots = np.arange(-2 * scale, count + 2.5 * scale, scale)
    bumps = np.exp(-0.5 * ((np.arange(count)[:, None] - knots) / scale) ** 2)
    unit: Floats = bumps / np.linalg.norm(bumps, axis=1, keepdims=True)
    return unit


def _heart_axes(rng: Generator) -> Floats:
    """Rows: unit vectors to the apex, from the left ventricle to the right, and across both."""
    apex = np.array([-0.6, 0.5, -0.6]) + rng.normal(0, 0.06, 3)
    apex /= np.linalg.norm(apex)
    septal = np.array([-0.7, 0.1, 0.7]) + rng.normal(0, 0.06, 3)
    septal -= apex * (apex @ septal)
    septal /= np.linalg.norm(septal)
    return np.stack([apex, septal, np.cross(apex, septal)])


def _heart(rng: Generator, grid: _Grid, *, axes: Floats, beat: float) -> Bytes:
    """The heart and its vessels, REST elsewhere; beat is the cavity's width as a share of that at its widest."""
    kinds = [*_vessels(grid, width=rng.uniform(0.88, 1.12)), *_chambers(rng, grid, axes=axes, beat=beat)]
    tissue: Numbers = np.select([where for where, _ in kinds], [np.asarray(each) for _, each in kinds], REST)
    return tissue.astype(np.uint8)


def _vessels(grid: _Grid, *, width: float) -> Iterator[tuple[Bools, int]]:
    """Those of the chest; nobody labels the veins of the lungs, nor what lies below the heart."""
    is_low = np.broadcast_to(grid.i > 58, grid.shape)
    aorta, lower = grid.tube(AORTIC_COURSE, radius=12 * width), grid.tube(LOWER_COURSE, radius=11 * width)
    arteries, veins = (
        np.min([grid.tube(course, radius=radius) for course in courses], axis=0)
        for courses, radius in ((LUNG_ARTERIES, 11 * width), (LUNG_VEINS, 5.5))
    )
    yield is_low & ((aorta < 1) | (lower < 1)), VEIN
    yield aorta < 1, AORTA
    yield arteries < 1, PULMONARY
    yield grid.tube(UPPER_COURSE, radius=9 * width) < 1, UPPER_CAVA
    yield lower < 1, LOWER_CAVA
    yield veins < 1, VEIN


def _chambers(rng: Generator, grid: _Grid, *, axes: Floats, beat: float) -> Iterator[tuple[Bools, int]]:
    """The wall of the left ventricle is some 9 mm thick and that of the right 4."""
    where = [grid.along(axis) for axis in axes]
    u, v, _ = where
    bumps = 1 + 0.08 * _field(rng, grid, width_mm=14)
    left, right, atria, wall = rng.uniform(0.88, 1.12, 4)

    def is_within(centre: Point, *radii: float) -> Bools:
        parts = zip(where, centre, radii, strict=True)
        inside: Bools = sum(((each - at) / radius) ** 2 for each, at, radius in parts) * bumps < 1
        return inside

    wide, long = 22 * left * beat, 44 * left * (1 + beat) / 2
    thick = 9 * wall + 12 * left * (1 - beat)  # the wall keeps its volume
    reach = np.array([44, 33, 32]) * right * (1 + beat) / 2
    yield is_within((0, -18, 0), long, wide, wide) & (u > BASE), LV
    yield is_within((0, -18, 0), long + thick, wide + thick, wide + thick) & (u > BASE), LV_WALL
    yield is_within((-4, 14, 0), *reach) & (u > BASE) & (v > -12), RV
    yield is_within((-52, -16, 2), 25 * atria, 26 * atria, 27 * atria), LA
    yield is_within((-50, 32, 2), 26 * atria, 24 * atria, 25 * atria), RA
    yield is_within((-4, 14, 0), *(reach + 4)) & (u > BASE) & (v > -15), RV_WALL


def _trunk(rng: Generator, grid: _Grid) -> Bytes:
    """Chest and belly as if there were no heart."""
    y, x = grid.p - 18, grid.r - 25
    rough = 1 + 0.02 * _field(rng, grid, width_mm=60)
    shoulder = 0.75 - 0.25 * np.tanh((-grid.i - 150) / 25)
    out = np.hypot(y / 108, x / 150) * rough / shoulder
    rim = np.hypot((y + 4) / 92, x / 126) * rough
    patches, blobs = _field(rng, grid, width_mm=12), _field(rng, grid, width_mm=22)
    fatty = np.where(patches > 0.3, FAT, MUSCLE)
    belly = np.select([blobs > 1.4, blobs > 0.4, blobs < -1.5], [FLUID, FAT, AIR], MUSCLE)
    below = np.where((x > -20 + 8 * blobs) & (grid.i < 140 + 20 * blobs), LIVER, belly)
    is_spine, is_canal = np.hypot(grid.p - 84, x) < 18, np.hypot(grid.p - 107, x) < 6
    is_disc = np.abs(np.mod(grid.i + 300, 30) - 15) < 3.5
    kinds: list[tuple[Bools, int | Numbers]] = [
        (out >= 1, AIR),
        (is_canal, FLUID),
        (is_spine & is_disc, MUSCLE),
        (is_spine, BONE),
        (out > 0.93, FAT),
        ((rim > 1) | (grid.i < -150 + 70 * rim**2 + 6 * blobs), fatty),
        (grid.i > 42 + 55 * rim**2, below),
        ((np.abs(x + 4 * blobs) < 22 + 8 * patches) & (grid.p > 4 * blobs), fatty),
        (patches > 2.3, VEIN),
    ]
    conditions = [np.broadcast_to(where, grid.shape) for where, _ in kinds]
    tissue: Numbers = np.select(conditions, [np.asarray(each) for _, each in kinds], LUNG)
    return tissue.astype(np.uint8)


def _tissue(rng: Generator, grid: _Grid, *, axes: Floats, beat: float) -> tuple[Bytes, Bytes]:
    """Of every voxel, and the heart's alone."""
    tissue, heart = _trunk(rng, grid), np.zeros(grid.shape, np.uint8)
    reach = (grid.p > -80) & (grid.p < 95) & (grid.i > -125)
    box = ndimage.find_objects(np.broadcast_to(reach, grid.shape).astype(np.uint8))[0]
    heart[box] = _heart(rng, grid.part(box), axes=axes, beat=beat)
    spread = [6 / step for step in grid.steps_mm]
    is_near = ndimage.gaussian_filter((heart > REST).astype(np.float32), spread) > 0.15
    wrapped = np.where(is_near & np.isin(tissue, (LUNG, VEIN)), FAT, tissue)
    return np.where(heart > REST, heart, wrapped).astype(np.uint8), heart


def _image(rng: Generator, tissue: Bytes, *, grid: _Grid, blood: float, wall: float) -> Floats:
    """What a scanner makes of it: shaded by the coil, grained, blurred, with noise that is never negative."""
    others = np.exp(rng.normal(0, 0.2, len(MEANS)))
    means = MEANS * np.where(IS_CHAMBER | (np.arange(len(MEANS)) == VEIN), blood, np.where(IS_WALL, wall, others))
    shade = 0.1 * _field(rng, grid, width_mm=90) + 0.04 * _field(rng, grid, width_mm=8)
    shade -= shade[IS_CHAMBER[tissue]].mean()
    signal = ndimage.gaussian_filter(means[tissue] * np.exp(shade), 0.4)
    signal *= 1 + 0.09 * rng.standard_normal(tissue.shape, np.float32)
    real, imaginary = 1.1 * rng.standard_normal((2, *tissue.shape), np.float32)
    image: Floats = np.hypot(signal + real, imaginary)
    return image


def _ragged(rng: Generator, tissue: Bytes, *, reach: tuple[float, ...]) -> Bytes:
    """Each voxel taken from one nearby, so that outlines are as uncertain as a hand's."""
    box = ndimage.find_objects((tissue > REST).astype(np.uint8))[0]
    inner, ragged = tissue[box], np.zeros_like(tissue)
    indices = np.meshgrid(*map(np.arange, inner.shape), indexing="ij", sparse=True)
    moves = [np.rint(each * rng.standard_normal(inner.shape, np.float32)).astype(np.intp) for each in reach]
    wanted = zip(indices, moves, inner.shape, strict=True)
    ragged[box] = inner[tuple(np.clip(index + move, 0, count - 1) for index, move, count in wanted)]
    return ragged


def _scan_patient(index: int, *, size: int, seed: int) -> _Scan:
    """The full view of a patient of HVSMR: 2 size by 2 size voxels, on axes to posterior, inferior and right."""
    rng = np.random.default_rng([seed, index])
    spacing_mm = (SPACINGS_MM[index % 10][0], *SPACINGS_MM[index % 10])
    step = 180 / size * rng.uniform(0.95, 1.1)
    ratio = spacing_mm[2] / spacing_mm[0]
    shape = (2 * size, 2 * size, round(0.8 * size / ratio))
    grid = _Grid.of(shape, steps_mm=(step, step, step * ratio), axes=np.eye(3))
    axes = _heart_axes(rng)
    tissue, heart = _tissue(rng, grid, axes=axes, beat=1.0)
    blood = np.clip(rng.normal(127, 6), 113, 141)  # the outlines cost some of it
    image = _image(rng, tissue, grid=grid, blood=blood, wall=blood / rng.uniform(1.85, 2.1))
    affine = _affine(TO_WORLD * spacing_mm, shape=shape)
    return _Scan(image.clip(0, 255).astype(np.int16), _ragged(rng, heart, reach=(0.35, 0.35, 0.35)), affine, axes)


def _cropped(scan: _Scan, *, margin: int) -> _Scan:
    """The heart with so many voxels around it."""
    box = ndimage.find_objects((IS_CHAMBER | IS_WALL)[scan.tissue].astype(np.uint8))[0]
    cut = tuple(slice(max(each.start - margin, 0), each.stop + margin) for each in box)
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [each.start for each in cut]
    return scan._replace(image=scan.image[cut], tissue=scan.tissue[cut], affine=affine)


def _short_axis(scan: _Scan) -> _Scan:
    """The crop, resampled so that the slices along the last axis cut across the ventricles."""
    spacing_mm = np.linalg.norm(scan.affine[:3, 0])
    shape = (round(0.8 * len(scan.image)),) * 3
    affine = _affine(TO_WORLD @ _across(scan.axes) * spacing_mm, shape=shape)
    to_voxel = np.linalg.inv(scan.affine) @ affine
    image = ndimage.affine_transform(scan.image, to_voxel, output_shape=shape, order=1)
    tissue = ndimage.affine_transform(scan.tissue, to_voxel, output_shape=shape, order=0)
    return _cropped(scan._replace(image=image, tissue=tissue, affine=affine), margin=2)


def _cine_frame(seeds: Sequence[int], shape: tuple[int, int, int], *, spacing_mm: float, beat: float) -> _Scan:
    """One frame of ACDC; the same patient for the same seeds, at any beat."""
    rng, own = np.random.default_rng(seeds), np.random.default_rng([*seeds, round(1000 * beat)])
    axes, bright = _heart_axes(rng), rng.uniform(1.5, 6)
    step = max(spacing_mm, 165 / shape[0])
    grid = _Grid.of(shape, steps_mm=(step, step, 10.0), axes=_across(axes))
    tissue, heart = _tissue(rng, grid, axes=axes, beat=beat)
    image = bright * _image(own, tissue, grid=grid, blood=121, wall=121 * rng.uniform(0.36, 0.46))
    affine = _affine(TO_WORLD @ _across(axes) * [spacing_mm, spacing_mm, 10.0], shape=shape)
    return _Scan(image.astype(np.int16), _ragged(own, heart, reach=(0.3, 0.3, 0)), affine, axes)


def _across(axes: Floats) -> Floats:
    """Columns: two in the plane of a short-axis slice, and the one from slice to slice."""
    return axes[::-1].T


def _affine(directions: Floats, *, shape: Sequence[int]) -> Floats:
    """Voxel to world, the origin in the middle of the array."""
    affine = np.eye(4)
    affine[:3, :3] = directions
    affine[:3, 3] = -directions @ ((np.array(shape) - 1) / 2)
    return affine


def _refuse(root: Path, pattern: str, *, dataset: str) -> None:
    if found := sorted(root.glob(pattern)):
        raise DataError(
            f"{dataset}: {found[0]}: found a file, expected none before phantoms are written; name another root"
        )


def _write(path: Path, voxels: Numbers, *, affine: Floats) -> None:
    nifti = Nifti1Image(voxels, affine)
    nifti.header.set_xyzt_units("mm")
    nifti.set_sform(affine, code=1)
    nifti.set_qform(affine, code=2)
    path.write_bytes(gzip.compress(nifti.to_bytes(), compresslevel=1, mtime=0))
