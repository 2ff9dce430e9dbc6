"""The regions of a BIDS tree: label names of a dseg.tsv, and the masks of separate regions."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from benchbench import DataError
from benchbench.images.input_files import read_text
from benchbench_datasets.bids_files import BidsFile
from benchbench_datasets.case_files import file_problem, read_table, split_rows
from benchbench_datasets.folder_masks import Values

Regions = dict[str, Values]
"""Region -> its value or values in the mask, or the kind of its mask files, such as "label-lesion_mask"."""
MASK_SUFFIXES = ("dseg", "mask")
"""Suffixes of masks that this layout reads."""


def default_regions(root: Path, masks: Sequence[BidsFile], kind: str) -> Regions:
    """Return the regions of the only kind of masks: the names of a dseg.tsv, or those of the labels of masks.

    Raises:
        DataError: there are masks of several kinds, or the labels of a segmentation have no names.
    """
    kinds = list(dict.fromkeys([kind] if kind else (file.kind for file in masks)))
    regions: Regions = {}
    if all(file.suffix == "mask" for file in masks):
        regions = _of_mask_files(root, masks, kinds)
    elif len(kinds) == 1 and all(file.suffix == "dseg" for file in masks):
        regions = _named_labels(root, masks, kinds[0])
    if regions:
        return regions
    listed = ", ".join(kinds)
    raise DataError(
        f"{root.name}: found masks of several kinds ({listed}), expected one; choose one by `masks`, or name"
        ' their regions, such as regions = { lesion = "label-lesion_mask" }'
    )


def _of_mask_files(root: Path, masks: Sequence[BidsFile], kinds: Sequence[str]) -> Regions:
    """Return a region for each label of masks, or one for masks of one kind; {} where neither is clear."""
    by_label: Regions = {file.value("label"): file.kind for file in masks}
    if "" not in by_label and len(by_label) == len({file.kind for file in masks}):
        return by_label
    return {_mask_type(root / masks[0].path): kinds[0]} if len(kinds) == 1 else {}


def _named_labels(root: Path, masks: Sequence[BidsFile], kind: str) -> Regions:
    """Return the labels of a dseg.tsv next to the segmentations or above them.

    Raises:
        DataError: there is none, or two of them differ.
    """
    tables: dict[Path, Regions] = {}
    for file in masks:
        path = _label_table(root, file)
        if path is not None and path not in tables:
            tables[path] = read_labels(root, path)
    if not tables:
        raise DataError(
            f"{root.name}: found no dseg.tsv with the names of the labels of {kind}, expected one; add it, or give"
            " `regions` in the benchmark file"
        )
    first, *others = tables
    for path in others:
        if tables[path] != tables[first]:
            fault = (
                f"found other labels than in {first.relative_to(root).as_posix()}, expected the same; correct it"
            )
            raise DataError(file_problem(path, fault, dataset=root.name, root=root))
    return tables[first]


def _label_table(root: Path, mask: BidsFile) -> Path | None:
    """Return the table of a segmentation by BIDS's inheritance: in its folder, or the nearest one above it."""
    folder = (root / mask.path).parent
    entities = mask.entities
    while folder.is_relative_to(root):
        fitting = []
        for path in sorted(folder.glob("*dseg.tsv")):
            parts = path.name.removesuffix(".tsv").split("_")[:-1]
            if {tuple(part.split("-", maxsplit=1)) for part in parts} <= entities:
                fitting.append((len(parts), path))
        if fitting:
            return max(fitting)[1]
        folder = folder.parent
    return None


def read_labels(root: Path, path: Path) -> Regions:
    """Return the names and values of a dseg.tsv, without the background 0.

    Raises:
        DataError: the table lacks `index` and `name`, or has one of them twice.
    """
    try:
        header, *rows = split_rows(read_table(path, dataset=root.name, root=root), delimiter="\t")
        table = [dict(zip(header, row, strict=True)) for row in rows]
        pairs = [(row["name"], int(row["index"])) for row in table]
    except (csv.Error, KeyError, ValueError) as error:
        fault = "found no table with columns index and name, expected a row for each label; correct it"
        raise DataError(file_problem(path, fault, dataset=root.name, root=root)) from error
    regions: Regions = {name: value for name, value in pairs if value}
    if len(regions) < len([value for _, value in pairs if value]) or len(set(regions.values())) < len(regions):
        fault = "found a name or an index twice, expected a row for each label; correct it"
        raise DataError(file_problem(path, fault, dataset=root.name, root=root))
    return regions


def _mask_type(mask: Path) -> str:
    """Return the `Type` of the sidecar of a mask in small letters; "foreground" without one."""
    sidecar = mask.with_name(mask.name.partition(".")[0] + ".json")
    if not sidecar.exists():
        return "foreground"
    try:
        content = json.loads(read_text(sidecar, kind="a sidecar"))
    except ValueError:
        content = None
    kind = content.get("Type") if isinstance(content, dict) else None
    return kind.lower() if isinstance(kind, str) and kind else "foreground"


def read_participants(root: Path) -> dict[str, dict[str, str]]:
    """Return the columns of participants.tsv by subject, without `sub-`; cells "n/a" are left out.

    Raises:
        DataError: the file is no table with a column participant_id.
    """
    path = root / "participants.tsv"
    text = read_table(path, dataset=root.name, root=root)
    if not text:
        return {}
    try:
        header, *rows = split_rows(text, delimiter="\t")
        table = [dict(zip(header, row, strict=True)) for row in rows]
        by_subject = {row.pop("participant_id").removeprefix("sub-"): row for row in table}
    except (csv.Error, KeyError, ValueError) as error:
        fault = "found no table with a column participant_id, expected one with a row for each subject; correct it"
        raise DataError(file_problem(path, fault, dataset=root.name, root=root)) from error
    metadata = {}
    for subject, row in by_subject.items():
        metadata[subject] = {name: value for name, value in row.items() if value != "n/a"}
    return metadata
