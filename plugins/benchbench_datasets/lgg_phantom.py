"""Made-up patients in the layout of the LGG archive, for trying out a benchmark without the archive.

Source: counts, sizes and intensities as measured on the archive of doi:10.1016/j.compbiomed.2019.05.002
Differs: a head is a few ellipsoids and smooth random fields, a lesion is one irregular blob.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy import ndimage
from tifffile import imwrite

from benchbench.images.arrays import Floats, Mask
from benchbench_datasets.lgg_head import FAT, WHITE, Bytes, Grid, Lesion, draw_lesion, draw_tissues, field

HEADER = (
    "Patient,RNASeqCluster,MethylationCluster,miRNACluster,CNCluster,RPPACluster,OncosignCluster,COCCluster,"
    "histological_type,neoplasm_histologic_grade,tumor_tissue_site,laterality,tumor_location,gender,"
    "age_at_initial_pathologic,race,ethnicity,death01"
)
# the lowest and the highest value of each column but the first
LOWEST = (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 20, 1, 1, 0)
HIGHEST = (4, 5, 4, 3, 4, 3, 3, 3, 2, 1, 3, 6, 2, 75, 3, 2, 1)
MOLECULAR = 7
"""Number of the first columns that are molecular; the others are clinical."""

PERIOD = 12
"""Number of patients after which the special ones repeat."""
IDENTICAL, NO_POST_CONTRAST, FAINT = 3, 7, 11
"""Index, within a period, of the patients with repeated channels and of the one with a faint lesion."""

# intensity of the tissues AIR to VESSEL before contrast, in FLAIR and after contrast
MEANS = (
    (0, 110, 18, 48, 20, 55, 66, 40),
    (0, 110, 17, 42, 16, 62, 53, 50),
    (0, 100, 19, 52, 20, 53, 60, 110),
)
# SD between patients of the logarithm of these intensities
SPREADS = (0, 0.08, 0.08, 0.08, 0.08, 0.03, 0.03, 0.2)
FLAIR_WHITE = 52
"""Intensity of white matter in FLAIR from which that of a lesion is computed."""


def write_phantom(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write root/kaggle_3m with slices size by size; the same seed gives the same bytes.

    Of every twelve patients, the fourth has three identical channels and no clinical data, the eighth has FLAIR in
    place of post-contrast, and the last has a lesion that is hardly visible in FLAIR.
    """
    folder = root / "kaggle_3m"
    folder.mkdir(parents=True)
    rows = [_write_patient(folder, index=index, size=size, seed=seed) for index in range(patients)]
    (folder / "data.csv").write_bytes("".join(f"{line}\n" for line in [HEADER, *rows]).encode())
    (folder / "README.md").write_bytes(b"# Phantoms\n\nMade up by benchbench: nobody is shown here.\n")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def _write_patient(parent: Path, *, index: int, size: int, seed: int) -> str:
    """Write the slices of a patient and return the patient's line of data.csv."""
    rng = np.random.default_rng([seed, index])
    kind = index % PERIOD
    site = rng.choice(["CS", "DU", "EZ", "FG", "HT"])
    key = f"TCGA_{site}_{index:04d}"
    year, month, day = rng.integers(1990, 2010), rng.integers(1, 13), rng.integers(1, 29)
    folder = parent / f"{key}_{year}{month:02d}{day:02d}"
    folder.mkdir()
    slices = rng.triangular(20, 27, 60) if size >= 256 else rng.triangular(17, 26, 28)
    image, label = _draw(rng, Grid.of(round(slices), size=size), is_faint=kind == FAINT)
    sources = {IDENTICAL: [1, 1, 1], NO_POST_CONTRAST: [0, 1, 1]}.get(kind, [0, 1, 2])
    for n, (page, mask) in enumerate(zip(image[..., sources], label, strict=True), start=1):
        stem = f"{folder.name}_{n}"
        imwrite(folder / f"{stem}.tif", page, photometric="rgb", metadata=None, software=False)
        imwrite(folder / f"{stem}_mask.tif", mask, photometric="minisblack", metadata=None, software=False)
    return _table_line(rng, key, has_clinical=kind != IDENTICAL)


def _table_line(rng: Generator, key: str, *, has_clinical: bool) -> str:
    values = [str(value) for value in rng.integers(LOWEST, HIGHEST, endpoint=True)]
    for column in range(MOLECULAR):
        if rng.random() < 0.1:
            values[column] = ""
    if not has_clinical:
        values[MOLECULAR:] = [""] * len(values[MOLECULAR:])
    return ",".join([key, *values])


def _draw(rng: Generator, grid: Grid, *, is_faint: bool) -> tuple[Bytes, Bytes]:
    """Return image (S, H, W, 3) and mask (S, H, W) of a patient."""
    tissue, depth = draw_tissues(rng, grid)
    lesion = draw_lesion(rng, grid, depth=depth)
    ratio = rng.uniform(0.85, 1.2) if is_faint else np.clip(rng.normal(1.9, 0.22), 1.5, 2.4)
    added = _lesion_signals(rng, grid, lesion, ratio=ratio)
    is_healthy_white = (tissue == WHITE) & (lesion.weight < 0.02)
    added[1] += 50 * _spots(rng, grid, where=is_healthy_white) * (depth > 0)
    spreads = rng.normal(0, SPREADS, (3, len(SPREADS)))
    means = MEANS * np.exp(_correlated(spreads))
    log_gains = [_log_gain(rng, grid, is_fat=tissue == FAT) for _ in range(3)]
    gains = np.exp(_correlated(np.stack(log_gains)))
    blur = 0.5 + 0.48 * depth.shape[1] / 256 * rng.uniform(0.7, 1.5)
    channels = []
    for c in range(3):
        signal = means[c][tissue] * gains[c]
        channels.append(_scan(rng, signal, added=added[c], blur=blur))
    return np.stack(channels, axis=-1), lesion.label.astype(np.uint8) * 255


def _spots(rng: Generator, grid: Grid, *, where: Mask) -> Floats:
    """Return bright specks of white matter on a slice or two, which are not labelled."""
    spots = np.zeros(where.shape)
    for _ in range(rng.integers(2, 8)):
        radius = rng.uniform(0.02, 0.07)
        radii = (1.2 / len(where), radius, radius * rng.uniform(0.6, 1.6))
        distance = grid.distance(grid.draw_voxel(rng, where), radii=radii)
        spots += rng.uniform(0.1, 0.35) * np.exp(-0.5 * distance**2)
    return spots


def _correlated(draws: Floats) -> Floats:
    """Return the draws of pre-contrast, FLAIR and post-contrast, the last made similar to the first."""
    draws[2] = 0.8 * draws[0] + 0.6 * draws[2]
    return draws


def _log_gain(rng: Generator, grid: Grid, *, is_fat: Mask) -> Floats:
    """Return the logarithm of coil shading, tissue texture and the brightness of fat, which varies widely."""
    gain = 0.07 * field(rng, grid, width=0.6, depth=0.4)
    gain += 0.07 * field(rng, grid, width=0.025, depth=0.03)
    gain[is_fat] += 0.4 * field(rng, grid, width=0.1)[is_fat] - 0.08
    return gain


def _lesion_signals(rng: Generator, grid: Grid, lesion: Lesion, *, ratio: float) -> list[Floats]:
    """Return the intensity that the lesion adds before contrast, in FLAIR and after contrast.

    In FLAIR the lesion becomes `ratio` times as bright as white matter.
    """
    cyst_border, has_cyst = rng.uniform(0.5, 0.9), rng.random() < 0.3
    has_ring = rng.random() < 0.25
    in_cyst = np.clip(6 * (lesion.inwards - cyst_border), 0, 1)
    in_ring = np.exp(-(((lesion.inwards - 0.45) / 0.12) ** 2))
    cyst, ring = in_cyst * lesion.weight * has_cyst, in_ring * lesion.weight * has_ring
    mottled = lesion.weight * (1 + 0.25 * field(rng, grid, width=0.1))
    pre = 60 * rng.uniform(-0.15, 0.1) * lesion.weight - 15 * cyst
    flair = FLAIR_WHITE * (ratio - 1) * mottled - (FLAIR_WHITE * ratio - 25) * cyst
    post = pre + rng.uniform(30, 90) * ring
    return [pre, flair, post]


def _scan(rng: Generator, signal: Floats, *, added: Floats, blur: float) -> Bytes:
    """Return the signal blurred and compressed below 255, with the noise of a magnitude image."""
    signal = ndimage.gaussian_filter(signal, (0.3, blur, blur)) + added
    signal *= rng.uniform(0.8, 1.25)
    real, imaginary = rng.normal(0, rng.uniform(0.8, 1.7), (2, *signal.shape))
    scan: Floats = np.hypot(255 * np.tanh(signal / 255) + real, imaginary)
    return np.clip(scan, 0, 255).astype(np.uint8)
