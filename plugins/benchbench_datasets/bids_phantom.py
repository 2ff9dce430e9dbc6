"""Made-up subjects in the layout of BIDS, with the channels and regions that a benchmark file describes."""

from __future__ import annotations

import json
from pathlib import Path

from benchbench_datasets.bids_labels import MASK_SUFFIXES
from benchbench_datasets.bids_parameters import region_kinds
from benchbench_datasets.folder_masks import Values, listed
from benchbench_datasets.folder_phantom import write_phantom as write_folders

_VERSION = "1.10.0"


def write_phantom(
    root: Path,
    *,
    patients: int,
    size: int,
    seed: int,
    channels: tuple[str, ...] = (),
    images: str = "",
    derivative: str = "",
    masks: str = "",
    regions: dict[str, Values] | None = None,
    phantom_shape: tuple[int, ...] = (),
    phantom_spacing_mm: tuple[float, ...] = (),
    phantom_dtype: str = "",
) -> None:
    """Write made-up subjects, their masks in `derivatives`; the same seed gives the same bytes."""
    labels: dict[str, Values] = regions or {"foreground": MASK_SUFFIXES[1]}
    folder = Path("derivatives") / (derivative or "phantom")
    files = dict(zip(labels, (_pattern(folder, kind) for kind in region_kinds(labels)), strict=False))
    write_folders(
        root,
        patients=patients,
        size=size,
        seed=seed,
        images=tuple(_pattern(Path(images), name) for name in channels or ("T1w",)),
        masks=files or _pattern(folder, masks or MASK_SUFFIXES[0]),
        regions=labels,
        phantom_shape=phantom_shape,
        phantom_spacing_mm=phantom_spacing_mm,
        phantom_dtype=phantom_dtype,
    )
    _describe(root, "raw")
    _describe(root / folder, "derivative")
    if not files:
        rows = [f"{listed(value)[0]}\t{name}\n" for name, value in labels.items()]
        text = "index\tname\n0\tbackground\n" + "".join(rows)
        (root / folder / "dseg.tsv").write_text(text, encoding="utf-8")


def _describe(folder: Path, kind: str) -> None:
    content = {"Name": "Phantom", "BIDSVersion": _VERSION, "DatasetType": kind}
    (folder / "dataset_description.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _pattern(folder: Path, kind: str) -> str:
    return (folder / "sub-{patient}" / "anat" / f"sub-{{patient}}_{kind}.nii.gz").as_posix()
