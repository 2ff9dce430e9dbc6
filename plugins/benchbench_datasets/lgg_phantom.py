"""Made-up patients in the layout of the LGG archive, to rehearse a benchmark without its files.

Source: counts, sizes and intensities as measured on the archive, doi:10.1016/j.compbiomed.2019.05.002
Differs: the heads are ellipses filled with smooth random fields; lesions are easier to tell where they begin.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

AIR, FAT, BONE, MUSCLE, FLUID, GREY, WHITE, VESSEL = range(8)
# means of these tissues before contrast, in FLAIR and after contrast, and how far patients differ, as SD of the log
MEANS = np.array([
    [0, 110, 18, 48, 20, 55, 66, 40],
    [0, 110, 17, 42, 16, 62, 53, 50],
    [0, 100, 19, 52, 20, 53, 60, 110],
])
SPREADS = np.array([0, 0.25, 0.25, 0.25, 0.25, 0.06, 0.06, 0.25])

# data.csv in the order of the archive: lowest and highest value of each column, the clinical ones last
MOLECULAR = {
    "RNASeqCluster": (1, 4),
    "MethylationCluster": (1, 5),
    "miRNACluster": (1, 4),
    "CNCluster": (1, 3),
    "RPPACluster": (1, 4),
    "OncosignCluster": (1, 3),
    "COCCluster": (1, 3),
}
CLINICAL = {
    "histological_type": (1, 3),
    "neoplasm_histologic_grade": (1, 2),
    "tumor_tissue_site": (1, 1),
    "laterality": (1, 3),
    "tumor_location": (1, 6),
    "gender": (1, 2),
    "age_at_initial_pathologic": (20, 75),
    "race": (1, 3),
    "ethnicity": (1, 2),
    "death01": (0, 1),
}


def write_phantom(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write root/kaggle_3m, slices size by size; the same for the same seed, byte for byte.

    Of ten patients in a row the fourth has three identical channels, and no clinical data; the eighth has FLAIR in
    place of post-contrast. A patient does not depend on how many there are.
    """
    folder = root / "kaggle_3m"
    if folder.exists():
        raise DataError(f"lgg: {folder}: found a folder, expected none to write phantoms to; choose another place")
    folder.mkdir(parents=True)
    rows = [_write_patient(folder, index=index, size=size, seed=seed) for index in range(patients)]
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["Patient", *MOLECULAR, *CLINICAL], *rows])
    (folder / "README.md").write_text("# Phantoms\n\nMade up by benchbench; no patient is shown here.\n", encoding="utf-8")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def _write_patient(parent: Path, *, index: int, size: int, seed: int) -> list[str]:
    """The patient's row of data.csv, once its slices are written."""
    rng = np.random.default_rng([seed, index])
    key = f"TCGA_{rng.choice(['CS', 'DU', 'EZ', 'FG', 'HT'])}_{index:04d}"
    folder = parent / f"{key}_{rng.integers(1990, 2010)}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    folder.mkdir()
    slices = round(rng.triangular(20, 27, 60) if size >= 256 else rng.triangular(16, 20, 28))
    image, label = _draw(rng, _Grid.of(slices, size=size))
    if index % 10 == 3:
        image[..., 0] = image[..., 2] = image[..., 1]
    if index % 10 == 7:
        image[..., 2] = image[..., 1]
    for n, (page, mask) in enumerate(zip(image, label, strict=True), start=1):
        stem = f"{folder.name}_{n}"
        imwrite(folder / f"{stem}.tif", page, photometric="rgb", metadata=None, software=False)
        imwrite(folder / f"{stem}_mask.tif", mask, photometric="minisblack", metadata=None, software=False)
    molecular = [str(rng.integers(low, high + 1)) if rng.random() > 0.1 else "" for low, high in MOLECULAR.values()]
    clinical = [str(rng.integers(low, high + 1)) if index % 10 != 3 else "" for low, high in CLINICAL.values()]
    return [key, *molecular, *clinical]


@dataclass(frozen=True)
class _Grid:
    """Voxel centres, shaped to broadcast: z from neck to vertex in [0, 1], y backwards and x sideways in [-1, 1]."""

    z: Floats
    y: Floats
    x: Floats

    @classmethod
    def of(cls, slices: int, *, size: int) -> _Grid:
        z = (np.arange(slices) + 0.5) / slices
        x = (np.arange(size) + 0.5) / size * 2 - 1
        return cls(z=z[:, None, None], y=x[None, :, None], x=x[None, None, :])

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.z.size, self.y.size, self.x.size

    def distance(self, centre: Floats, *, radii: tuple[float, float, float], turn: float = 0.0) -> Floats:
        """1 on an ellipsoid around (z, y, x), turned in the slice's plane."""
        z, y, x = self.z - centre[0], self.y - centre[1], self.x - centre[2]
        u, v = y * np.cos(turn) - x * np.sin(turn), x * np.cos(turn) + y * np.sin(turn)
        return np.sqrt((z / radii[0]) ** 2 + (u / radii[1]) ** 2 + (v / radii[2]) ** 2)

    def at(self, voxel) -> Floats:
        z, y, x = voxel
        return np.array([self.z[z, 0, 0], self.y[0, y, 0], self.x[0, 0, x]])
