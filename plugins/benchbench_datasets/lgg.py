"""LGG: FLAIR abnormality on brain MRI of patients with lower-grade glioma (Kaggle, TIFF).

Source: Buda et al. 2019, doi:10.1016/j.compbiomed.2019.05.002
Layout: <root>/kaggle_3m/<patient>/<patient>_<n>.tif and <patient>_<n>_mask.tif, n = 1, 2, ... not zero-padded;
    <root>/kaggle_3m/data.csv, where the name of a patient is that of the folder without the date at its end. The
    archive repeats everything under <root>/lgg-mri-segmentation/.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchbench import Case, CaseRef, DataError, DataNotFoundError, DatasetPlugin, Download, Task, hookimpl
from benchbench.images.tiff import read_tiff
from benchbench_datasets.case_files import COPY_AGAIN, file_problem, read_table, split_rows
from benchbench_datasets.lgg_phantom import write_phantom

# the patients of TCGA-LGG are in the training data of BraTS from 2017 on
RELATIVES = ("TCGA-LGG", "brats17", "brats18", "brats19", "brats20", "brats21", "brats23", "Task01_BrainTumour")
TIFF = re.compile(r"[^.].*\.tiff?", re.IGNORECASE)  # no slice is named .TIF, and one that is must be reported
Page = NDArray[Any] | str
"""The pixels of a file, or the fault for which it cannot be read."""


@dataclass(frozen=True)
class Lgg:
    """One case per patient, the slices stacked along the first spatial axis: (3, S, H, W) and (S, H, W).

    Where a sequence is missing, the archive repeats another one: of its 110 patients, 6 have three identical
    channels and 4 more have FLAIR in place of post-contrast. They are valid and are loaded as they are.
    """

    root: Path
    task = Task(channels=("pre_contrast", "flair", "post_contrast"), regions={"tumour": (1,)})

    def cases(self) -> list[CaseRef]:
        patients = sorted(path.name for path in self._folder().glob("TCGA_*/"))
        return [CaseRef(id=patient, patient=patient) for patient in patients]

    image_cases = cases

    def files(self, case_id: str) -> list[Path]:
        """Return image and mask of slice 1, image and mask of slice 2, and so on."""
        folder = self._folder() / case_id
        pairs = self._pairs(case_id, has_masks=True)
        return [folder / name for name in chain.from_iterable(pairs)]

    def image_files(self, case_id: str) -> list[Path]:
        """Return the images of the slices; masks are allowed, and not used."""
        folder = self._folder() / case_id
        return [folder / image for image, _ in self._pairs(case_id, has_masks=False)]

    def _pairs(self, case_id: str, *, has_masks: bool) -> list[tuple[str, str]]:
        """Return the names (image, mask) of all slices.

        Raises:
            DataError: an image or, with `has_masks`, a mask is missing, or a TIFF file is neither.
        """
        folder = self._folder() / case_id
        present = {path.name for path in folder.glob("*") if TIFF.fullmatch(path.name)}
        pairs = _expected_names(case_id, last=_last_slice(case_id, present))
        expected = present if has_masks else present.union(mask for _, mask in pairs)
        faults = [*_slice_faults(case_id, pairs, expected), *_unexplained_faults(case_id, pairs, present)]
        if faults:
            raise DataError(*(self._problem(folder / name, fault) for name, fault in faults))
        return pairs

    def load(self, case_id: str) -> Case:
        files = self.files(case_id)
        pages = [_read(path) for path in files]
        faults = _page_faults(pages)
        problems = [self._problem(path, fault) for path, fault in zip(files, faults, strict=True) if fault]
        if problems:
            raise DataError(*problems)
        label = np.stack([np.asarray(page) == 255 for page in pages[1::2]]).astype(np.uint8)
        return Case(image=_stacked(pages[::2]), label=label, affine=None, spacing_mm=None)

    def load_image(self, case_id: str) -> Case:
        files = self.image_files(case_id)
        pages = [_read(path) for path in files]
        size = _commonest_size(pages)
        faults = {path: _image_fault(page, size=size) for path, page in zip(files, pages, strict=True)}
        problems = [self._problem(path, fault) for path, fault in faults.items() if fault]
        if problems:
            raise DataError(*problems)
        image = _stacked(pages)
        return Case(image=image, label=np.zeros(image.shape[1:], np.uint8), affine=None, spacing_mm=None)

    def metadata(self) -> dict[str, dict[str, str]]:
        """Return the columns of data.csv by patient, without the first; a patient without a row is left out.

        Raises:
            DataError: the file cannot be read, rows have more or fewer values than there are columns, or a patient
                has two rows.
        """
        path = self._folder() / "data.csv"
        text = read_table(path, dataset="lgg", root=self.root)
        try:
            header, *rows = _rows(text) or [[]]
        except csv.Error as error:
            raise DataError(
                self._problem(path, f"found no table ({error}), expected one; {COPY_AGAIN}")
            ) from error
        if fault := _row_fault(rows, len(header)):
            raise DataError(self._problem(path, f"{fault}; {COPY_AGAIN}"))
        columns = {key: dict(zip(header[1:], values, strict=True)) for key, *values in rows}
        keys = {case.patient: case.patient.rpartition("_")[0] for case in self.cases()}
        return {patient: columns[key] for patient, key in keys.items() if key in columns}

    def _folder(self) -> Path:
        """Return the one folder to read patients from: the archive holds every patient twice."""
        for folder in (self.root / "kaggle_3m", self.root / "lgg-mri-segmentation" / "kaggle_3m", self.root):
            if any(folder.glob("TCGA_*/")):
                return folder
        raise DataNotFoundError(
            f"lgg: {self.root}: found no folder TCGA_* in it or its kaggle_3m, expected one for each patient; "
            "unpack the archive there, or name the folder that holds kaggle_3m"
        )

    def _problem(self, path: Path, fault: str) -> str:
        return file_problem(path, fault, dataset="lgg", root=self.root)


def _expected_names(case_id: str, *, last: int) -> list[tuple[str, str]]:
    """Return (image, mask) of the slices 1 to last in the order of their numbers."""
    return [(f"{case_id}_{n}.tif", f"{case_id}_{n}_mask.tif") for n in range(1, last + 1)]


def _last_slice(case_id: str, present: set[str]) -> int:
    """Return the highest number of a slice, 0 where there is none."""
    pattern = re.compile(rf"{re.escape(case_id)}_([1-9]\d{{0,3}})(_mask)?\.tif")
    return max((int(match[1]) for match in map(pattern.fullmatch, present) if match), default=0)


def _slice_faults(case_id: str, pairs: Sequence[tuple[str, str]], present: set[str]) -> Iterator[tuple[str, str]]:
    """Yield (file name, fault) for files that are missing; the name is "" where the folder lacks a slice."""
    if not pairs:
        yield "", f"found no slice, expected {case_id}_1.tif, {case_id}_1_mask.tif and so on; {COPY_AGAIN}"
    missing = [str(number) for number, pair in enumerate(pairs, start=1) if present.isdisjoint(pair)]
    if missing:
        expected = f"every slice from 1 to {len(pairs)}"
        yield "", f"found no slice {', '.join(missing)}, expected {expected}; {COPY_AGAIN}"
    for image, mask in pairs:
        if image in present and mask not in present:
            yield image, f"found no mask, expected {mask} next to it; copy the mask from the archive"
        if mask in present and image not in present:
            yield mask, f"found no image, expected {image} next to it; copy the image from the archive"


def _unexplained_faults(
    case_id: str, pairs: Sequence[tuple[str, str]], present: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield (file name, fault) for TIFF files that are named neither like an image nor like a mask."""
    for name in sorted(present.difference(chain.from_iterable(pairs))):
        yield name, f"found a name of no slice, expected {case_id}_<n>.tif or {case_id}_<n>_mask.tif; move it away"


def _read(path: Path) -> Page:
    try:
        return read_tiff(path).values
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")


def _page_faults(pages: Sequence[Page]) -> list[str | None]:
    """Return the fault, if any, of each of image, mask, image, mask, ...

    The expected size is the one that most of the pages have.
    """
    size = _commonest_size(pages)
    faults: list[str | None] = []
    for image, mask in zip(pages[::2], pages[1::2], strict=True):
        faults += [_image_fault(image, size=size), _mask_fault(mask, size=size)]
    return faults


def _commonest_size(pages: Sequence[Page]) -> tuple[int, ...]:
    shapes = [page.shape for page in pages if not isinstance(page, str)]
    sizes = Counter(shape[:2] for shape in shapes if shape[2:] in {(), (3,)})
    return max(sizes, key=sizes.__getitem__, default=(256, 256))


def _stacked(pages: Sequence[Page]) -> NDArray[Any]:
    """Return images (H, W, 3) of slices as (3, S, H, W)."""
    return np.stack([np.moveaxis(np.asarray(page), -1, 0) for page in pages], axis=1)


def _image_fault(image: Page, *, size: tuple[int, ...]) -> str | None:
    if isinstance(image, str):
        return image
    if image.shape != (*size, 3) or image.dtype != np.uint8:
        actual, expected = f"{image.dtype} {image.shape}", f"uint8 {(*size, 3)}"
        return f"found {actual}, expected {expected} like most slices of the patient; {COPY_AGAIN}"
    return None


def _mask_fault(mask: Page, *, size: tuple[int, ...]) -> str | None:
    if isinstance(mask, str):
        return mask
    if mask.shape != size:
        return f"found shape {mask.shape}, expected {size} like the images; {COPY_AGAIN}"
    unexpected = Counter(mask[(mask != 0) & (mask != 255)].tolist())
    if unexpected:
        counts = ", ".join(f"{value} ({count} px)" for value, count in unexpected.most_common(4))
        kinds = f"{len(unexpected)} other values" if len(unexpected) > 4 else "other values"
        return f"found {kinds}, {counts}, expected only 0 and 255; {_mask_remedy(mask)}"
    return None


def _mask_remedy(mask: NDArray[Any]) -> str:
    if mask.max() == 1:
        return "multiply a mask of 0 and 1 by 255, or copy it from the archive again"
    return f"the mask is lossy or interpolated: {COPY_AGAIN}"


def _rows(text: str) -> list[list[str]]:
    """Return the header and the rows, whose values are separated by commas or semicolons."""
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    return split_rows(text, delimiter=delimiter)


def _row_fault(rows: Sequence[Sequence[str]], length: int) -> str:
    """Return the fault of rows of another length than the header, or of a patient with two rows; '' for none."""
    uneven = [row[0] for row in rows if len(row) != length]
    if uneven:
        return f"found {', '.join(uneven)} with more or fewer values than columns, expected {length} values"
    counts = Counter(row[0] for row in rows)
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        return f"found {', '.join(repeated)} in several rows, expected one row for each patient"
    return ""


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    download = Download(
        licence="CC BY-NC-SA 4.0",
        page="https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation",
        kaggle="mateuszbuda/lgg-mri-segmentation/versions/2",
        patients=110,
    )
    source = "doi:10.1016/j.compbiomed.2019.05.002"
    return [
        DatasetPlugin(
            name="lgg", open=Lgg, source=source, relatives=RELATIVES, download=download, phantom=write_phantom
        )
    ]
