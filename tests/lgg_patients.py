"""Small handmade patients in the layout of the LGG archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

PATIENT = "TCGA_DU_0001_20000102"


def write_patient(folder: Path, *, slices: int = 12, size: int = 8) -> Path:
    """Write a patient whose slice n is n everywhere in FLAIR, with one pixel of tumour."""
    patient = folder / PATIENT
    patient.mkdir(parents=True)
    for n in range(1, slices + 1):
        image, mask = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
        image[..., 1], mask[n % size, 0] = n, 255
        tifffile.imwrite(patient / f"{PATIENT}_{n}.tif", image, photometric="rgb", metadata=None)
        tifffile.imwrite(patient / f"{PATIENT}_{n}_mask.tif", mask, photometric="minisblack", metadata=None)
    return patient
