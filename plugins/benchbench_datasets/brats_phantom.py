"""Made-up patients in the layouts of BraTS 2021 and 2020, to rehearse a benchmark without their files.

Source: layouts, volumes and intensities as measured on files of arXiv:2107.02314 and arXiv:1811.02629
Differs: a brain is a few ellipsoids and smooth random fields, a tumour one nested blob that pushes nothing aside.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchbench import DataError
from benchbench_datasets.brats import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.random import Generator

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

FIELD_MM, HEIGHT_MM = 240, 155
KAGGLE_FOLDER = "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"

FLUID, GREY, NUCLEUS, WHITE, VESSEL, NECROSIS, RIM = range(7)
# intensity of these tissues in each modality, white matter being 1 before and after contrast; then oedema's
MEANS = np.array(
    [
        [0.40, 1.12, 1.08, 1.0, 0.8, 1.45, 1.6],
        [0.32, 0.72, 0.86, 1.0, 0.7, 0.60, 0.8],
        [0.32, 0.74, 0.88, 1.0, 1.8, 0.65, 1.9],
        [3.00, 1.15, 0.95, 0.8, 0.7, 2.10, 1.4],
    ]
)
OEDEMA = (1.75, 0.78, 0.80, 1.7)
NOISE = (0.025, 0.014, 0.009, 0.036)
"""SD of the noise by the mean of the brain."""

# centre and half-axes in mm, to the left, backwards and upwards from the middle of the brain
CEREBRUM = ((0, 0, -4), (64, 78, 62))
TEMPORAL = (((-38, -10, -26), (24, 44, 22)), ((38, -10, -26), (24, 44, 22)))
CEREBELLUM = ((0, 44, -42), (46, 32, 23))
STEM = ((0, 12, -46), (13, 13, 34))


def write_brats21(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write root/BraTS2021_* as .nii.gz of size by size by 0.65 size; the same bytes for the same seed.

    Of every eight patients the second has labels in float32 without sform, and the third has no enhancing tumour.
    """
    for index in range(patients):
        number = index + index // 2 + index % 2  # with gaps, as in the archive
        _write_patient(root / f"BraTS2021_{number:05}", index=index, size=size, seed=seed, suffix=".nii.gz")


def write_brats20(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write BraTS20_Training_* and two tables in the folders of the Kaggle copy; the same bytes for the same seed.

    The files are .nii of size by size by 0.65 size. The fourth patient is number 355, whose labels go by another
    name; of every eight the second and the third are as in `write_brats21`.
    """
    folder = root / KAGGLE_FOLDER
    numbers = [{3: 355, 354: 4}.get(index, index + 1) for index in range(patients)]
    names = [f"BraTS20_Training_{number:03}" for number in numbers]
    for index, name in enumerate(names):
        _write_patient(folder / name, index=index, size=size, seed=seed, suffix=".nii")
    for name in {"BraTS20_Training_355"}.intersection(names):
        (folder / name / f"{name}_seg.nii").rename(folder / name / "W39_1998.09.19_Segm.nii")
    rng = np.random.default_rng([seed, patients])
    grades = [str(rng.choice(["HGG", "LGG"], p=[0.8, 0.2])) for _ in names]
    mapping = [[grade, "NA", "NA", "NA", "NA", name] for grade, name in zip(grades, names, strict=True)]
    years = ("BraTS_2017_subject_ID", "BraTS_2018_subject_ID", "TCGA_TCIA_subject_ID", "BraTS_2019_subject_ID")
    _write_table(folder / "name_mapping.csv", [["Grade", *years, "BraTS_2020_subject_ID"], *mapping])
    high = sorted(name for name, grade in zip(names, grades, strict=True) if grade == "HGG")
    survival = [
        [name, f"{rng.uniform(20, 86):.3f}", rng.integers(5, 1767), rng.choice(["GTR", "STR", "NA"])]
        for name in high
    ]
    _write_table(
        folder / "survival_info.csv", [["Brats20ID", "Age", "Survival_days", "Extent_of_Resection"], *survival]
    )


def _write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _write_patient(folder: Path, *, index: int, size: int, seed: int, suffix: str) -> None:
    if folder.exists():
        raise DataError(f"{folder}: found a folder, expected none before phantoms are written; name another root")
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, index])
    grid = _Grid.of(size)
    image, label = _draw(rng, grid, is_enhancing=index % 8 != 2)
    for name, volume in zip(MODALITIES, image, strict=True):
        _write_volume(folder / f"{folder.name}_{name}{suffix}", volume, spacing_mm=grid.spacing_mm)
    seg = folder / f"{folder.name}_seg{suffix}"
    if index % 8 == 1:
        _write_volume(seg, label.astype(np.float32), spacing_mm=grid.spacing_mm, sform_code=0)
    else:
        _write_volume(seg, label.astype(np.int16) if suffix == ".nii" else label, spacing_mm=grid.spacing_mm)


def _write_volume(path: Path, voxels: NDArray[np.generic], *, spacing_mm: float, sform_code: int = 1) -> None:
    """Axes to left, posterior and superior, as all of BraTS."""
    affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1])
    affine[1, 3] = FIELD_MM - spacing_mm
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine if sform_code else None, code=sform_code)
    image.header.set_xyzt_units("mm")
    data = image.to_bytes()
    path.write_bytes(gzip.compress(data, compresslevel=6, mtime=0) if path.suffix == ".gz" else data)


@dataclass(frozen=True)
class _Grid:
    """Voxel centres in mm from the middle of the brain, shaped to broadcast: to left, backwards and upwards."""

    x: Floats
    y: Floats
    z: Floats
    spacing_mm: float

    @classmethod
    def of(cls, size: int) -> _Grid:
        spacing_mm, slices = FIELD_MM / size, round(size * HEIGHT_MM / FIELD_MM)
        x, z = ((np.arange(count, dtype=np.float64) + 0.5 - count / 2) * spacing_mm for count in (size, slices))
        return cls(x=x[:, None, None], y=x[None, :, None], z=z[None, None, :], spacing_mm=spacing_mm)

    def distance(self, centre: tuple[float, ...], half_axes: tuple[float, ...]) -> Floats:
        """From an ellipsoid's centre, 1 on its surface."""
        axes = zip((self.x, self.y, self.z), centre, half_axes, strict=True)
        distance: Floats = np.sqrt(sum(((axis - middle) / half) ** 2 for axis, middle, half in axes))
        return distance

    def mirrored(self) -> _Grid:
        """Both halves of the head in the coordinates of the left one."""
        return _Grid(x=np.abs(self.x), y=self.y, z=self.z, spacing_mm=self.spacing_mm)

    def field(self, rng: Generator, *, width_mm: float) -> Floats:
        """Smooth noise of mean 0 and SD 1 that changes over this length."""
        x, y, z = (_bumps(axis.ravel(), scale=width_mm) for axis in (self.x, self.y, self.z))
        weights = rng.standard_normal((x.shape[1], y.shape[1], z.shape[1]))
        field: Floats = np.einsum("xi,yj,zk,ijk->xyz", x, y, z, weights, optimize=True)
        return field


def _bumps(axis: Floats, *, scale: float) -> Floats:
    """(N, bumps) Gaussians one scale apart, of unit energy at every point."""
    knots = np.arange(axis[0] - 2 * scale, axis[-1] + 2.5 * scale, scale)
    bumps = np.exp(-0.5 * ((axis[:, None] - knots) / scale) ** 2)
    unit: Floats = bumps / np.linalg.norm(bumps, axis=1, keepdims=True)
    return unit


def _draw(rng: Generator, grid: _Grid, *, is_enhancing: bool) -> tuple[NDArray[np.int16], Bytes]:
    """Image (4, X, Y, Z) and labels (X, Y, Z) of a patient."""
    a, b, c = (float(factor) for factor in rng.uniform(0.93, 1.05, 3))
    head = _Grid(x=grid.x / a, y=grid.y / b, z=grid.z / c, spacing_mm=grid.spacing_mm)
    folds = grid.field(rng, width_mm=max(3.6, 1.1 * grid.spacing_mm))
    brain, cerebrum = _brain(rng, head, folds=folds)
    depth_mm = ndimage.distance_transform_edt(brain, sampling=grid.spacing_mm)
    tissue = _tissues(rng, head, cerebrum=cerebrum, depth_mm=depth_mm, folds=folds)
    label = _tumour(rng, grid, allowed=cerebrum & (depth_mm > 2), tissue=tissue, is_enhancing=is_enhancing)
    tissue[label == 1], tissue[label == 4] = NECROSIS, RIM
    oedema = ndimage.gaussian_filter((label > 0).astype(np.float64), 2 / grid.spacing_mm)
    return np.stack([_scan(rng, grid, tissue, brain=brain, oedema=oedema, c=c) for c in range(4)]), label


def _brain(rng: Generator, head: _Grid, *, folds: Floats) -> tuple[Bools, Bools]:
    """What is left of a head without its skull, and the cerebrum in it."""
    ragged = 0.03 * head.field(rng, width_mm=25) + 0.025 * np.abs(folds)
    flat = np.where(head.z < -4, 1.7, 1.0) * (head.z + 4) - 4
    dome = _Grid(x=head.x, y=head.y, z=flat, spacing_mm=head.spacing_mm)
    lobes = [dome.distance(*CEREBRUM), *(head.distance(*lobe) for lobe in TEMPORAL)]
    below = np.minimum(head.distance(*CEREBELLUM), head.distance(*STEM)) + ragged / 2
    cerebrum = np.minimum.reduce(lobes) + ragged < 1
    is_fissure = (np.abs(head.x) < 2.5) & ((lobes[0] > 0.93) | ((head.z < -20) & (head.y < -10)))
    cerebrum &= ~is_fissure & ((below > 1.06) | (head.z > -25))
    whole, _ = ndimage.label(cerebrum | (below < 1))
    brain = whole == np.bincount(whole[whole > 0]).argmax()
    return brain, cerebrum & brain


def _tissues(rng: Generator, head: _Grid, *, cerebrum: Bools, depth_mm: Floats, folds: Floats) -> Bytes:
    """Cortex and sulci around white matter, ventricles and nuclei; finer leaves in the cerebellum."""
    patches, leaves = head.field(rng, width_mm=14), head.field(rng, width_mm=3.5)
    half = head.mirrored()
    is_sulcus = np.abs(folds) < 0.2 * np.clip(1.2 - depth_mm / (18 + 4 * patches), 0, 1)
    is_cortex = (np.abs(folds) < 1.1 * np.clip(1.35 - depth_mm / (22 + 4 * patches), 0, 1)) | (depth_mm < 3.5)
    is_cortex |= (half.x < 4.5) & ((np.abs(head.y) > 36) | (head.z > 28))
    is_midline = (half.x < 1.2) & ((np.abs(head.y) > 30) | (head.z > 25))
    bent = _Grid(x=half.x - 0.006 * (head.y + 6) ** 2, y=head.y, z=half.z, spacing_mm=head.spacing_mm)
    swelling = rng.uniform(0.7, 1.4)
    horn = bent.distance((7, 0, 12), (5 * swelling, 34 * swelling**0.5, 9)) + 0.1 * patches
    third = head.distance((0, 4, -2), (2.5 * swelling, 14, 9))
    caudate = half.distance((14, -12, 10), (5, 13, 9))
    nuclei = np.minimum.reduce(
        [caudate, half.distance((25, -2, 0), (8, 18, 12)), half.distance((9, 12, 2), (8, 14, 9))]
    )
    is_vessel = (is_sulcus & (patches > 1.9)) | ((half.x < 2) & (depth_mm < 4) & (head.z > 20))
    kinds = [np.minimum(horn, third) < 1, is_vessel, is_sulcus | is_midline, nuclei < 1, is_cortex]
    upper = np.select(kinds, [FLUID, VESSEL, FLUID, NUCLEUS, GREY], WHITE)
    is_leaf = (np.abs(leaves) < 0.5) | (depth_mm < 3)
    lower = np.select(
        [head.distance(*STEM) < 1, (np.abs(leaves) < 0.08) & (depth_mm < 12), is_leaf], [WHITE, FLUID, GREY], WHITE
    )
    return np.where(cerebrum, upper, lower).astype(np.uint8)


def _tumour(rng: Generator, grid: _Grid, *, allowed: Bools, tissue: Bytes, is_enhancing: bool) -> Bytes:
    """Necrosis 1 within a rim 4 of uneven width, within oedema 2 that spreads along white matter."""
    voxel_ml = grid.spacing_mm**3 / 1000
    whole_ml = np.clip(rng.lognormal(np.log(85), 0.7), 15, 250)
    core_ml = whole_ml * np.clip(rng.normal(0.36, 0.12), 0.12, 0.7)
    radius = np.cbrt(3000 * core_ml / (4 * np.pi))
    near, is_across = _from_core(rng, grid, inner=allowed & (tissue == WHITE), radius=radius)
    lumpy = near * (1 + 0.12 * grid.field(rng, width_mm=0.5 * radius)) + is_across
    core = _cheapest(lumpy, count=core_ml / voxel_ml, where=allowed)
    barriers = ndimage.gaussian_filter((tissue != WHITE).astype(np.float64), 2.5 / grid.spacing_mm)
    spread = near * (1 + 0.15 * grid.field(rng, width_mm=12)) + 0.8 * barriers + 0.5 * is_across
    free = allowed & ~core & (tissue != FLUID)
    whole = core | _cheapest(spread, count=(whole_ml - core_ml) / voxel_ml, where=free)
    parts, _ = ndimage.label(whole)
    whole &= parts == np.bincount(parts[core]).argmax()
    uneven = lumpy * (1 + 0.2 * grid.field(rng, width_mm=0.6 * radius))
    share = rng.uniform(0.3, 0.6) if is_enhancing else 1.0
    necrosis = _cheapest(uneven, count=share * core_ml / voxel_ml, where=core)
    return np.where(whole, np.select([necrosis, core], [1, 4], 2), 0).astype(np.uint8)


def _from_core(rng: Generator, grid: _Grid, *, inner: Bools, radius: float) -> tuple[Floats, Bools]:
    """Distance from a place in here, 1 at about this radius in mm, and what lies across the midline."""
    x, y, z = np.unravel_index(rng.choice(np.flatnonzero(inner & (np.abs(grid.x) > 14))), inner.shape)
    centre = (float(grid.x[x, 0, 0]), float(grid.y[0, y, 0]), float(grid.z[0, 0, z]))
    return grid.distance(centre, tuple(radius * rng.uniform(0.8, 1.25, 3))), (grid.x > 0) != (centre[0] > 0)


def _cheapest(cost: Floats, *, count: float, where: Bools) -> Bools:
    """About this many voxels, at least one and at most all there are."""
    costs = cost[where]
    last = min(max(round(count), 1), costs.size) - 1
    cheap: Bools = where & (cost <= np.partition(costs, last)[last])
    return cheap


def _scan(
    rng: Generator, grid: _Grid, tissue: Bytes, *, brain: Bools, oedema: Floats, c: int
) -> NDArray[np.int16]:
    """One modality: blurred, shaded and noisy on an arbitrary scale; 0 outside the brain and only there."""
    signal = (MEANS[c] * np.exp(rng.normal(0, 0.04, MEANS.shape[1])))[tissue]
    mixed = np.where(tissue < NECROSIS, 0.8 * oedema, 0)
    signal += mixed * (OEDEMA[c] * rng.uniform(0.9, 1.1) - signal)
    signal *= np.exp(0.05 * grid.field(rng, width_mm=70) + 0.04 * grid.field(rng, width_mm=4))
    signal = ndimage.gaussian_filter(signal, 0.35 + 0.5 / grid.spacing_mm)
    signal += rng.normal(0, NOISE[c] * signal[brain].mean(), signal.shape)
    level = np.exp(rng.normal(np.log(500), 0.5))
    return np.where(brain, np.clip(np.rint(signal * level), 1, 32767), 0).astype(np.int16)
