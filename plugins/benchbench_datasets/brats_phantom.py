"""Made-up patients in the layouts of BraTS 2021 and 2020, for trying out a benchmark without the archives.

Source: layouts, volumes and intensities as measured on files of arXiv:2107.02314 and arXiv:1811.02629
Differs: a brain is a few ellipsoids and smooth random fields, a tumour is one nested blob that displaces nothing.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from benchbench import DataError
from benchbench.images.arrays import Floats, Mask
from benchbench_datasets.brats import MODALITIES
from benchbench_datasets.brats_head import (
    FIELD_MM,
    NECROSIS,
    RIM,
    Bytes,
    Grid,
    draw_brain,
    draw_tissues,
    draw_tumour,
)

KAGGLE_FOLDER = "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"

PERIOD = 8
"""Number of patients after which the special ones repeat."""
FLOAT_LABELS, NO_ENHANCING = 1, 2
"""Index, within a period, of the patients with labels in float32 and without enhancing tumour."""

# intensity of the tissues FLUID to RIM in each modality, white matter being 1 before and after contrast
MEANS = np.array(
    [
        [0.40, 1.12, 1.08, 1.0, 0.8, 1.45, 1.6],
        [0.32, 0.72, 0.86, 1.0, 0.7, 0.60, 0.8],
        [0.32, 0.74, 0.88, 1.0, 1.8, 0.65, 1.9],
        [3.00, 1.15, 0.95, 0.8, 0.7, 2.10, 1.4],
    ]
)
OEDEMA = (1.75, 0.78, 0.80, 1.7)
"""Intensity of oedema in each modality."""
NOISE = (0.025, 0.014, 0.009, 0.036)
"""SD of the noise in each modality as a share of the mean of the brain."""


def write_brats21(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write root/BraTS2021_* as .nii.gz of size by size by 0.65 size; the same seed gives the same bytes.

    Of every eight patients, the second has labels in float32 without sform, and the third has no enhancing tumour.
    """
    for index in range(patients):
        number = index + index // 2 + index % 2  # with gaps, as in the archive
        _write_patient(root / f"BraTS2021_{number:05}", index=index, size=size, seed=seed, suffix=".nii.gz")


def write_brats20(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write BraTS20_Training_* and two tables in the folders of the Kaggle copy; same bytes for the same seed.

    The files are .nii of size by size by 0.65 size. The fourth patient has number 355, whose labels are in a file
    of another name; of every eight patients, the second and the third are as in `write_brats21`.
    """
    folder = root / KAGGLE_FOLDER
    numbers = [{3: 355, 354: 4}.get(index, index + 1) for index in range(patients)]
    names = [f"BraTS20_Training_{number:03}" for number in numbers]
    for index, name in enumerate(names):
        _write_patient(folder / name, index=index, size=size, seed=seed, suffix=".nii")
    renamed = "BraTS20_Training_355"
    if renamed in names:
        (folder / renamed / f"{renamed}_seg.nii").rename(folder / renamed / "W39_1998.09.19_Segm.nii")
    rng = np.random.default_rng([seed, patients])
    grades = {name: str(rng.choice(["HGG", "LGG"], p=[0.8, 0.2])) for name in names}
    _write_name_mapping(folder / "name_mapping.csv", grades)
    _write_survival(folder / "survival_info.csv", rng, sorted(name for name in names if grades[name] == "HGG"))


def _write_name_mapping(path: Path, grades: Mapping[str, str]) -> None:
    header = (
        "Grade",
        "BraTS_2017_subject_ID",
        "BraTS_2018_subject_ID",
        "TCGA_TCIA_subject_ID",
        "BraTS_2019_subject_ID",
        "BraTS_2020_subject_ID",
    )
    rows = [(grade, "NA", "NA", "NA", "NA", name) for name, grade in grades.items()]
    _write_table(path, [header, *rows])


def _write_survival(path: Path, rng: Generator, names: Sequence[str]) -> None:
    rows: list[Sequence[object]] = [("Brats20ID", "Age", "Survival_days", "Extent_of_Resection")]
    for name in names:
        age, days = f"{rng.uniform(20, 86):.3f}", rng.integers(5, 1767)
        rows.append((name, age, days, rng.choice(["GTR", "STR", "NA"])))
    _write_table(path, rows)


def _write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _write_patient(folder: Path, *, index: int, size: int, seed: int, suffix: str) -> None:
    if folder.exists():
        raise DataError(f"{folder}: found a folder, expected none before phantoms are written; name another root")
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, index])
    kind = index % PERIOD
    grid = Grid.of(size)
    image, label = _draw(rng, grid, is_enhancing=kind != NO_ENHANCING)
    for name, volume in zip(MODALITIES, image, strict=True):
        _write_volume(folder / f"{folder.name}_{name}{suffix}", volume, spacing_mm=grid.spacing_mm)
    seg = folder / f"{folder.name}_seg{suffix}"
    if kind == FLOAT_LABELS:
        _write_volume(seg, label.astype(np.float32), spacing_mm=grid.spacing_mm, sform_code=0)
    elif suffix == ".nii":
        _write_volume(seg, label.astype(np.int16), spacing_mm=grid.spacing_mm)
    else:
        _write_volume(seg, label, spacing_mm=grid.spacing_mm)


def _write_volume(path: Path, voxels: NDArray[np.generic], *, spacing_mm: float, sform_code: int = 1) -> None:
    """Write a volume whose axes run to left, posterior and superior, as in all of BraTS."""
    affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1])
    affine[1, 3] = FIELD_MM - spacing_mm
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine if sform_code else None, code=sform_code)
    image.header.set_xyzt_units("mm")
    data = image.to_bytes()
    if path.suffix == ".gz":
        data = gzip.compress(data, compresslevel=6, mtime=0)
    path.write_bytes(data)


def _draw(rng: Generator, grid: Grid, *, is_enhancing: bool) -> tuple[NDArray[np.int16], Bytes]:
    """Return image (4, X, Y, Z) and labels (X, Y, Z) of a patient."""
    brain = draw_brain(rng, grid)
    tissue = draw_tissues(rng, brain)
    allowed = brain.cerebrum & (brain.depth_mm > 2)
    label = draw_tumour(rng, grid, allowed=allowed, tissue=tissue, is_enhancing=is_enhancing)
    tissue[label == 1], tissue[label == 4] = NECROSIS, RIM
    oedema = ndimage.gaussian_filter((label > 0).astype(np.float64), 2 / grid.spacing_mm)
    scans = [_scan(rng, grid, tissue, mask=brain.mask, oedema=oedema, modality=c) for c in range(4)]
    return np.stack(scans), label


def _scan(
    rng: Generator, grid: Grid, tissue: Bytes, *, mask: Mask, oedema: Floats, modality: int
) -> NDArray[np.int16]:
    """Return one modality: blurred, shaded and noisy on an arbitrary scale, 0 outside the brain and only there."""
    means = MEANS[modality] * np.exp(rng.normal(0, 0.04, MEANS.shape[1]))
    signal = means[tissue]
    oedema_share = np.where(tissue < NECROSIS, 0.8 * oedema, 0)
    oedema_signal = OEDEMA[modality] * rng.uniform(0.9, 1.1)
    signal += oedema_share * (oedema_signal - signal)
    shading, texture = grid.field(rng, width_mm=70), grid.field(rng, width_mm=4)
    signal *= np.exp(0.05 * shading + 0.04 * texture)
    signal = ndimage.gaussian_filter(signal, 0.35 + 0.5 / grid.spacing_mm)
    signal += rng.normal(0, NOISE[modality] * signal[mask].mean(), signal.shape)
    level = np.exp(rng.normal(np.log(500), 0.5))
    scan = np.clip(np.rint(signal * level), 1, 32767)
    return np.where(mask, scan, 0).astype(np.int16)
