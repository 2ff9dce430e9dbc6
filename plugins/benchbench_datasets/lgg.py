"""LGG: FLAIR abnormality on brain MRI of patients with lower-grade glioma (Kaggle, TIFF).

Source: Buda et al. 2019, doi:10.1016/j.compbiomed.2019.05.002
Layout: <root>/kaggle_3m/<patient>/<patient>_<n>.tif and <patient>_<n>_mask.tif, n = 1, 2, ... not zero-padded;
    <root>/kaggle_3m/data.csv, where a patient goes by the folder's name without the date at its end. The archive
    repeats everything under <root>/lgg-mri-segmentation/.
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
from tifffile import TiffFile

from benchbench import Case, CaseRef, DataError, DataNotFoundError, DatasetPlugin, Download, Task, hookimpl
from benchbench_datasets.lgg_phantom import write_phantom

AGAIN = "copy it from the archive again"
TIFF = re.compile(r"[^.].*\.tiff?", re.IGNORECASE)  # .TIF is no name of a slice, and is told as such
Page = NDArray[Any] | str
"""What a file holds, or why that cannot be told."""


@dataclass(frozen=True)
class Lgg:
    """One case per patient, the slices stacked along the first spatial axis: (3, S, H, W) and (S, H, W).

    Where a sequence is missing the archive repeats another: of its 110 patients, 6 have three identical channels
    and 4 more have FLAIR in place of post-contrast. They are valid and come as they are.
    """

    root: Path
    task = Task(channels=("pre_contrast", "flair", "post_contrast"), regions={"tumour": (1,)})

    def cases(self) -> list[CaseRef]:
        patients = sorted(path.name for path in self._folder().glob("TCGA_*/"))
        return [CaseRef(id=patient, patient=patient) for patient in patients]

    def files(self, case_id: str) -> list[Path]:
        """Image and mask of slice 1, image and mask of slice 2, and so on."""
        folder = self._folder() / case_id
        found = {path.name for path in folder.glob("*") if TIFF.fullmatch(path.name)}
        faults = list(_name_faults(found, case_id=case_id))
        if faults:
            raise DataError(*(self._problem(folder / name, fault) for name, fault in faults))
        return [folder / name for pair in _names(case_id, last=len(found) // 2) for name in pair]

    def load(self, case_id: str) -> Case:
        files = self.files(case_id)
        pages = [_read(path) for path in files]
        faults = zip(files, _page_faults(pages), strict=True)
        problems = [self._problem(path, fault) for path, fault in faults if fault]
        if problems:
            raise DataError(*problems)
        image = np.stack([np.moveaxis(np.asarray(page), -1, 0) for page in pages[::2]], axis=1)
        label = np.stack([np.asarray(page) == 255 for page in pages[1::2]]).astype(np.uint8)
        return Case(image=image, label=label, affine=None, spacing_mm=None)

    def metadata(self) -> dict[str, dict[str, str]]:
        """The columns of data.csv after its key; a patient without a row there is left out."""
        path = self._folder() / "data.csv"
        header, *rows = _table(path) if path.is_file() else [[]]
        if odd := [row[0] for row in rows if len(row) != len(header)]:
            fault = f"found {', '.join(odd)} with more or fewer values than columns, expected {len(header)} values"
            raise DataError(self._problem(path, f"{fault}; {AGAIN}"))
        keyed = {key: dict(zip(header[1:], values, strict=True)) for key, *values in rows}
        keys = {case.patient: case.patient.rpartition("_")[0] for case in self.cases()}
        return {patient: keyed[key] for patient, key in keys.items() if key in keyed}

    def _folder(self) -> Path:
        """The one place to look in: the archive holds every patient twice."""
        for folder in (self.root / "kaggle_3m", self.root / "lgg-mri-segmentation" / "kaggle_3m", self.root):
            if any(folder.glob("TCGA_*/")):
                return folder
        raise DataNotFoundError(
            f"lgg: {self.root}: found no folder TCGA_* in it or its kaggle_3m, expected one for each patient; "
            "unpack the archive there, or name the folder that holds kaggle_3m"
        )

    def _problem(self, path: Path, fault: str) -> str:
        return f"lgg: {path.relative_to(self.root).as_posix()}: {fault}"


def _names(case_id: str, *, last: int) -> list[tuple[str, str]]:
    """(image, mask) of the slices 1 to last in the order of their numbers."""
    return [(f"{case_id}_{n}.tif", f"{case_id}_{n}_mask.tif") for n in range(1, last + 1)]


def _name_faults(found: set[str], *, case_id: str) -> Iterator[tuple[str, str]]:
    """(file, fault); the file is "" where the fault is the folder's."""
    pattern = re.compile(rf"{re.escape(case_id)}_([1-9]\d{{0,3}})(_mask)?\.tif")
    last = max((int(match[1]) for match in map(pattern.fullmatch, found) if match), default=0)
    pairs = _names(case_id, last=last)
    if not last:
        yield "", f"found no slice, expected {case_id}_1.tif, {case_id}_1_mask.tif and so on; {AGAIN}"
    if gap := [str(n) for n, pair in enumerate(pairs, start=1) if found.isdisjoint(pair)]:
        yield "", f"found no slice {', '.join(gap)}, expected every slice from 1 to {last}; {AGAIN}"
    for image, mask in pairs:
        if image in found and mask not in found:
            yield image, f"found no mask, expected {mask} beside it; copy the mask from the archive"
        if mask in found and image not in found:
            yield mask, f"found no image, expected {image} beside it; copy the image from the archive"
    for name in sorted(found.difference(chain.from_iterable(pairs))):
        yield name, f"found a name of no slice, expected {case_id}_<n>.tif or {case_id}_<n>_mask.tif; move it away"


def _read(path: Path) -> Page:
    try:
        with TiffFile(path) as file:
            page: NDArray[Any] = file.asarray()
    except Exception as error:  # noqa: BLE001  tifffile lets through whatever its parser trips over
        cause = " ".join(f"{type(error).__name__}: {error}".split())
    else:
        if page.size:
            return page
        cause = "no pixels"  # nor an exception, where a file ends before the list of its pages
    return f"found a file that cannot be decoded ({cause}), expected a whole TIFF; {AGAIN}"


def _page_faults(pages: Sequence[Page]) -> list[str | None]:
    """The fault of each of image, mask, image, mask, ..., held against the size that most of them have."""
    shapes = [page.shape for page in pages if not isinstance(page, str)]
    sizes = Counter(shape[:2] for shape in shapes if shape[2:] in {(), (3,)})
    size = max(sizes, key=sizes.__getitem__, default=(256, 256))
    return [(_mask_fault if at % 2 else _image_fault)(page, size=size) for at, page in enumerate(pages)]


def _image_fault(image: Page, *, size: tuple[int, ...]) -> str | None:
    if isinstance(image, str):
        return image
    if image.shape != (*size, 3) or image.dtype != np.uint8:
        return f"found {image.dtype} {image.shape}, expected uint8 {(*size, 3)} like most of the patient; {AGAIN}"
    return None


def _mask_fault(mask: Page, *, size: tuple[int, ...]) -> str | None:
    if isinstance(mask, str):
        return mask
    if mask.shape != size:
        return f"found shape {mask.shape}, expected {size} like the images; {AGAIN}"
    odd = Counter(mask[(mask != 0) & (mask != 255)].tolist())
    if odd:
        counts = ", ".join(f"{value} ({count} px)" for value, count in odd.most_common(4))
        kinds = f"{len(odd)} other values" if len(odd) > 4 else "other values"
        return f"found {kinds}, {counts}, expected only 0 and 255: a lossy or interpolated mask; {AGAIN}"
    return None


def _table(path: Path) -> list[list[str]]:
    """The header and the rows, between commas or semicolons."""
    with path.open(encoding="utf-8-sig", errors="backslashreplace") as file:
        delimiter = ";" if ";" in file.readline() else ","
        file.seek(0)
        return [row for row in csv.reader(file, delimiter=delimiter) if row] or [[]]


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    download = Download(
        licence="CC BY-NC-SA 4.0",
        page="https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation",
        kaggle="mateuszbuda/lgg-mri-segmentation/versions/2",
        patients=110,
    )
    source = "doi:10.1016/j.compbiomed.2019.05.002"
    return [DatasetPlugin(name="lgg", open=Lgg, source=source, download=download, phantom=write_phantom)]
