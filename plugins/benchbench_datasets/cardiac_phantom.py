"""Made-up hearts in the layouts of HVSMR 2016, HVSMR-2.0 and ACDC, for trying out benchmarks without the archives.

Source: sizes, spacings, labels and intensities as measured on HVSMR 2016, doi:10.1007/978-3-319-24574-4_10
Differs: a heart is a few ellipsoids and tubes, and beats by shrinking; a trunk is smooth shapes around it. Spacing
    is the real one at any size, so that a small phantom is a small patient.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image
from scipy import ndimage

from benchbench import DataError
from benchbench.images.arrays import Floats
from benchbench_datasets.heart import IS_CHAMBER, IS_WALL, LV, LV_WALL, REST, RV, TISSUES
from benchbench_datasets.heart_grid import Numbers
from benchbench_datasets.heart_scan import Scan, crop, scan_frame, scan_patient, short_axis

_UNIT_SFORM = np.diag([-1.0, -1, 1, 1])


def write_hvsmr_2016(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write the three views of each patient into root; the same seed gives the same bytes.

    The crop is about size voxels long. One patient more has an image for testing, without a label.
    """
    _require_no_files(root, "*_pat*.nii*", dataset="cardiac")
    root.mkdir(parents=True, exist_ok=True)
    label_values = np.select([IS_WALL, IS_CHAMBER], [1, 2], 0).astype(np.uint16)
    for index in range(patients):
        full = scan_patient(index, size=size, seed=seed)
        cropped = crop(full, margin=round(size / 180 * (index * 5 % 13)))
        views = {"axial_full": full, "axial_crop": cropped, "sa_crop": short_axis(full)}
        for view, scan in views.items():
            _write(root / f"training_{view}_pat{index}.nii.gz", scan.image, affine=scan.affine)
            label = label_values[scan.tissue]
            _write(root / f"training_{view}_pat{index}-label.nii.gz", label, affine=scan.affine)
    test_scan = crop(scan_patient(patients, size=size, seed=seed), margin=0)
    _write(root / f"testing_axial_crop_pat{patients + 10}.nii.gz", test_scan.image, affine=test_scan.affine)


def write_hvsmr2(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write root/cropped and root/cropped_norm, crops about size voxels long; same bytes for the same seed."""
    _require_no_files(root, "cropped*", dataset="hvsmr2")
    for folder in ("cropped", "cropped_norm"):
        (root / folder).mkdir(parents=True)
    label_values = np.where(IS_CHAMBER, TISSUES, REST).astype(np.uint16)
    for index in range(patients):
        scan = crop(scan_patient(index, size=size, seed=seed), margin=round(size / 30))
        label = label_values[scan.tissue]
        endpoints = np.where(ndimage.binary_dilation(label == LV), label, 0)
        normalised = (scan.image / np.percentile(scan.image, 99.5)).clip(0, 1).astype(np.float32)
        for folder, image in (("cropped", scan.image), ("cropped_norm", normalised)):
            _write(root / folder / f"pat{index}_{folder}.nii.gz", image, affine=scan.affine)
            _write(root / folder / f"pat{index}_cropped_seg.nii.gz", label, affine=scan.affine)
            _write(root / folder / f"pat{index}_cropped_seg_endpoints.nii.gz", endpoints, affine=scan.affine)


def write_acdc(root: Path, *, patients: int, size: int, seed: int) -> None:
    """Write root/database/training, slices size by size; the same seed gives the same bytes.

    As in the archive, the spacing is in pixdim and the qform, and the sform has voxels of 1 mm.
    The _4d files hold only the two frames that are labelled, whatever NbFrame says.
    """
    _require_no_files(root, "database", dataset="acdc")
    for index in range(patients):
        folder = root / "database" / "training" / f"patient{index + 1:03d}"
        folder.mkdir(parents=True)
        _write_cine(folder, index=index, size=size, seed=seed)


def _write_cine(folder: Path, *, index: int, size: int, seed: int) -> None:
    rng = np.random.default_rng([seed, index, 1])
    shape, spacing_mm = (size, size, int(rng.integers(8, 11))), rng.uniform(1.37, 1.68)
    end_systole = int(rng.integers(7, 16))
    beats = {1: 1.0, end_systole: rng.uniform(0.66, 0.8)}
    scans = [scan_frame([seed, index], shape, spacing_mm=spacing_mm, beat=beat) for beat in beats.values()]
    for frame, scan in zip(beats, scans, strict=True):
        _write_frame(folder, frame, scan)
    cine = np.stack([scan.image for scan in scans], axis=-1)
    _write(folder / f"{folder.name}_4d.nii.gz", cine, affine=scans[0].affine, sform=_UNIT_SFORM)
    group = ("DCM", "HCM", "MINF", "NOR", "RV")[index % 5]
    height, weight = rng.integers(150, 195), rng.integers(50, 110)
    info = f"ED: 1\nES: {end_systole}\nGroup: {group}\nHeight: {height}.0\nNbFrame: 30\nWeight: {weight}.0\n"
    (folder / "Info.cfg").write_bytes(info.encode())


def _write_frame(folder: Path, frame: int, scan: Scan) -> None:
    stem = f"{folder.name}_frame{frame:02d}"
    label = np.select([scan.tissue == RV, scan.tissue == LV_WALL, scan.tissue == LV], [1, 2, 3], 0)
    _write(folder / f"{stem}.nii.gz", scan.image, affine=scan.affine, sform=_UNIT_SFORM)
    _write(folder / f"{stem}_gt.nii.gz", label.astype(np.uint8), affine=scan.affine, sform=_UNIT_SFORM)


def _require_no_files(root: Path, pattern: str, *, dataset: str) -> None:
    existing = sorted(root.glob(pattern))
    if existing:
        raise DataError(
            f"{dataset}: {existing[0]}: found a file, expected none before phantoms are written; name another root"
        )


def _write(path: Path, voxels: Numbers, *, affine: Floats, sform: Floats | None = None) -> None:
    """Write a file with the affine as qform, and as sform unless another one is given."""
    image = Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=2)
    image.set_sform(affine if sform is None else sform, code=1)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
