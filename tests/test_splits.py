"""Sizes of the parts of a split, in tables and on the page, and slices counted from the files of a dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from handmade import FOLD_0, end, key, plan
from test_page import page_of, tables_of

from benchbench import Case, CaseRef, Task
from benchbench.data.folds import PARTS, Part, split_digest
from benchbench.engine.preparation.slice_count import count_slices
from benchbench.records.folder import ResultsFolder
from benchbench.records.split import CountedCase, Row, write_split
from benchbench.spec.protocol import Protocol
from benchbench.tables.splits import sizes_by_fold, split_sizes

pytestmark = pytest.mark.usefixtures("without_figures", "without_statistics")

PARTS_OF_FOLD: dict[Part, list[CountedCase]] = {
    "train": [CountedCase(CaseRef("a1", "a"), 20), CountedCase(CaseRef("a2", "a"), 22), CountedCase(CaseRef("b1", "b"), 88)],
    "validation": [CountedCase(CaseRef("c1", "c"), 30)],
    "test": [CountedCase(CaseRef("d1", "d"), 7), CountedCase(CaseRef("e1", "e"), 5)],
}  # fmt: skip


def rows(variant: str = "default", fold: int = 0, *, more: int = 0) -> list[Row]:
    place = {"dataset": "discs", "variant": variant, "fold": fold}
    made: list[Row] = []
    for part in PARTS:
        for case, slices in PARTS_OF_FOLD[part]:
            made.append({**place, "case": case.id, "patient": case.patient, "part": part, "slices": slices + more})
    return made


def test_the_sizes_of_a_part_are_its_patients_cases_and_slices() -> None:
    sizes = split_sizes(rows())
    assert sizes.drop(columns=["dataset", "variant", "fold"]).to_numpy().tolist() == [
        ["train", 2, 3, 130],
        ["validation", 1, 1, 30],
        ["test", 2, 2, 12],
    ]


def test_slices_are_unknown_if_those_of_one_case_are() -> None:
    made = rows()
    made[1]["slices"] = None
    assert split_sizes(made)["slices"].isna().tolist() == [True, False, False]
    assert sizes_by_fold(split_sizes(made))["slices"].tolist() == ["? / 30 / 12"]


def test_variants_of_equal_sizes_share_a_row() -> None:
    table = sizes_by_fold(split_sizes([*rows("x"), *rows("y"), *rows("y", 1)]))
    assert table.to_dict("records") == [
        {"dataset": "discs", "variant": "x, y", "fold": 0, "patients": "2 / 1 / 2", "cases": "3 / 1 / 2", "slices": "130 / 30 / 12"},
        {"dataset": "discs", "variant": "y", "fold": 1, "patients": "2 / 1 / 2", "cases": "3 / 1 / 2", "slices": "130 / 30 / 12"},
    ]  # fmt: skip
    assert "variant" not in sizes_by_fold(split_sizes([*rows("x"), *rows("y")]))
    different = sizes_by_fold(split_sizes([*rows("x"), *rows("y", more=1)]))
    assert different["slices"].tolist() == ["130 / 30 / 12", "133 / 31 / 14"]


def finished(path: Path) -> ResultsFolder:
    run = key("plain", 0)
    folder = plan(path, [run])
    end(folder, run, FOLD_0)
    write_split(folder.run(run), 0, PARTS_OF_FOLD)
    with_split(folder)
    return folder


def with_split(folder: ResultsFolder) -> None:
    run = folder.run(key("plain", 0))
    record = run.read_record()
    assert record is not None
    digest = split_digest({part: [case for case, _ in PARTS_OF_FOLD[part]] for part in PARTS})
    files = {**record.files, "split.csv": run.digest_of("split.csv")}
    run.write_record(replace(record, split_digest=digest, files=files))


def test_the_sizes_are_on_the_page_and_in_the_results_folder(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    table = tables_of(page_of(folder))["discs: training / inner validation / test"]
    assert table == [{"fold": "0", "patients": "2 / 1 / 2", "cases": "3 / 1 / 2", "slices": "130 / 30 / 12"}]
    assert (folder.path / "split_sizes.csv").read_text().splitlines() == [
        "dataset,variant,fold,part,patients,cases,slices,data",
        "discs,default,0,train,2,3,130,real",
        "discs,default,0,validation,1,1,30,real",
        "discs,default,0,test,2,2,12,real",
    ]


def test_a_split_without_slices_has_the_other_sizes(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    run = folder.run(key("plain", 0))
    lines = (run.path / "split.csv").read_text().splitlines()
    run.write("split.csv", "".join(line.rpartition(",")[0] + "\n" for line in lines).encode())
    with_split(folder)
    table = tables_of(page_of(folder))["discs: training / inner validation / test"]
    assert table[0]["slices"] == "? / ? / ?"
    assert table[0]["cases"] == "3 / 1 / 2"


class Volumes:
    """A dataset of two cases: one of NIfTI files, which must not be decoded, and one of another format."""

    task = Task(channels=("grey",), regions={"disc": (1,)})

    def __init__(self, root: Path) -> None:
        self.root = root
        affine = np.diag([2.0, 2.0, 5.0, 1.0])[:, [2, 0, 1, 3]]  # the axes of the file are (z, x, y)
        self.path = root / "a.nii.gz"
        nib.Nifti1Image(np.zeros((7, 11, 13), np.uint8), affine).to_filename(self.path)
        (root / "b.npz").write_bytes(b"any")

    def files(self, case_id: str) -> list[Path]:
        return [self.root / ("a.nii.gz" if case_id == "a" else "b.npz")]

    def load(self, case_id: str) -> Case:
        assert case_id == "b", "voxels of NIfTI files are not read to count slices"
        image = np.zeros((1, 4, 8, 8), np.uint8)
        return Case(image=image, label=image[0], affine=None, spacing_mm=None)


def protocol(**settings: Any) -> Protocol:
    common = {"epochs": 1, "batch": 1, "folds": 2, "optimizer": {"name": "adam", "lr": 1e-3}, "loss": "dice"}
    return Protocol.model_validate({**common, **settings})


@pytest.mark.parametrize(
    ("settings", "slices"),
    [
        ({"ndim": 2, "patch": (32, 32)}, 7),
        ({"ndim": 2, "patch": (32, 32), "slice_axis": "sagittal"}, 11),
        ({"ndim": 2, "patch": (32, 32), "slice_axis": "coronal"}, 13),
        ({"ndim": 3, "patch": (32, 32, 32)}, 7),
    ],
)
def test_slices_are_counted_along_their_axis_from_the_header_alone(
    tmp_path: Path, settings: dict[str, Any], slices: int
) -> None:
    cases = [CaseRef("a", "a"), CaseRef("b", "b")]
    dataset: Any = Volumes(tmp_path)
    assert count_slices(dataset, cases, protocol(**settings), threads=2) == {"a": slices, "b": 4}
