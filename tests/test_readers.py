"""Several readers: one reference of their labels, scores against each of them, and their agreement."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from carry import carry

from benchbench import Case, DataError, Task
from benchbench.data.case_checks import check_case
from benchbench.images.fusion import fuse_labels
from benchbench.registry.registry import discover
from benchbench.report.page.readers import reader_tables
from benchbench.tables.readers import reader_table
from benchbench.tables.results import read_results
from benchbench_datasets.folder_phantom import write_phantom
from benchbench_datasets.folder_writers import write_image
from benchbench_datasets.folders import Folders

READERS = {"ann": "ann/{case}.png", "bob": "bob/{case}.png", "eve": "eve/{case}.png"}


def test_the_majority_is_the_value_with_most_votes_and_0_where_several_have() -> None:
    labels = [np.array(row) for row in ([1, 1, 2, 2, 1, 0], [1, 2, 2, 1, 0, 0], [2, 1, 0, 0, 0, 1])]
    assert fuse_labels(labels, "majority").tolist() == [1, 1, 2, 0, 0, 0]
    assert fuse_labels(labels[:1], "majority").tolist() == labels[0].tolist()
    assert fuse_labels(labels[:2], "majority").tolist() == [1, 0, 2, 0, 0, 0]


def test_staple_trusts_the_readers_that_agree() -> None:
    pytest.importorskip("SimpleITK")
    square = np.zeros((20, 20), np.uint8)
    square[5:15, 5:15] = 2
    careless = np.zeros_like(square)
    careless[:, 10:] = 2
    fused = fuse_labels([square, square, careless], "staple")
    assert np.array_equal(fused, square)
    assert fused.dtype == np.uint8


def test_staple_without_simpleitk_says_what_to_install() -> None:
    with (
        mock.patch.dict("sys.modules", {"SimpleITK": None}),
        pytest.raises(DataError, match=r"pip install 'benchbench\[readers\]'"),
    ):
        fuse_labels([np.zeros((2, 2))] * 2, "staple")


def write_read(root: Path) -> Path:
    """Six patients with a square; bob draws one column more, eve one less and not the first patient."""
    rng = np.random.default_rng(0)
    for number in range(1, 7):
        label = np.zeros((32, 32), np.uint8)
        label[8:18, 4 + number : 14 + number] = 1
        image = (rng.integers(1, 60, label.shape) + 120 * label).astype(np.uint8)
        wide, narrow = label.copy(), label.copy()
        wide[8:18, 14 + number] = 1
        narrow[8:18, 13 + number] = 0
        for kind, values in (("images", image), ("ann", label), ("bob", wide), ("eve", narrow)):
            path = root / "nodules" / kind / f"p{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind != "eve" or number > 1:
                write_image(path, values[None])
    return root


def open_folders(root: Path, **changes: Any) -> Folders:
    return Folders(root / "nodules", **{"readers": READERS, "regions": {"nodule": 1}, **changes})


def test_a_case_has_the_label_of_each_reader_and_the_reference_that_was_chosen(tmp_path: Path) -> None:
    write_read(tmp_path)
    case = open_folders(tmp_path).load("p2")
    assert list(case.reader_labels) == ["ann", "bob", "eve"]
    assert np.array_equal(case.label, case.reader_labels["ann"]), "each of the others differs in another column"
    assert case.reader_labels["bob"].sum() == 110
    of_one = open_folders(tmp_path, reference="bob").load("p2")
    assert np.array_equal(of_one.label, of_one.reader_labels["bob"])
    assert list(open_folders(tmp_path).load("p1").reader_labels) == ["ann", "bob"]
    with pytest.raises(DataError, match="nodules: p1: found no label of 'eve', expected one"):
        open_folders(tmp_path, reference="eve").load("p1")
    with pytest.raises(DataError, match="reference: found 'max', expected one of ann, bob, eve, majority, staple"):
        open_folders(tmp_path, reference="max")


def test_labels_of_readers_are_checked() -> None:
    task = Task(channels=("x",), regions={"a": (1,)})
    readers = {"ann": np.full((2, 2), 7), "bob": np.zeros((2, 3))}
    image, label = np.zeros((1, 2, 2)), np.zeros((2, 2))
    case = Case(image=image, label=label, affine=None, spacing_mm=None, reader_labels=readers)
    assert check_case(case, task, "c") == [
        "c: label of ann: found 7, expected only [0, 1]; correct it",
        "c: label of bob: found shape (2, 3), expected (2, 2) like the label; correct it",
    ]


def test_a_phantom_has_the_readers_of_the_benchmark(tmp_path: Path) -> None:
    write_phantom(tmp_path, patients=2, size=32, seed=0, readers=READERS, regions={"nodule": 1})
    case = Folders(tmp_path, readers=READERS, regions={"nodule": 1}).load("p001")
    ann, bob = case.reader_labels["ann"], case.reader_labels["bob"]
    assert ann.any()
    assert not np.array_equal(ann, bob)


BENCHMARK = """
title = "Nodules"
models = [{ name = "plain" }]
[[datasets]]
name = "nodules"
layout = "folders"
readers = { ann = "ann/{case}.png", bob = "bob/{case}.png", eve = "eve/{case}.png" }
regions = { nodule = 1 }
[protocol]
patch = [32, 32]
folds = 2
epochs = 1
batch = 4
loss = "bce+dice"
optimizer = { name = "adam", lr = 1e-2 }
"""


def test_predictions_are_scored_against_each_reader_and_readers_against_one_another(
    tmp_path: Path, without_figures: None, without_statistics: None
) -> None:
    file = tmp_path / "nodules.toml"
    file.write_text(BENCHMARK)
    with mock.patch("carry.discover", return_value=discover(["folders", "toy"])):
        folder, records, _ = carry(file, write_read(tmp_path / "data"), tmp_path)
    assert [record and record.status for record in records] == ["done", "done"], records
    results = read_results(folder)
    table = reader_table(results)
    dice = table[(table["metric"] == "dice") & (table["region"] == "nodule")].set_index(["rater", "reader"])
    assert dice.loc[("ann", "bob"), "mean"] == pytest.approx(2 * 100 / 210)
    assert dice.loc[("ann", "eve"), "mean"] == pytest.approx(2 * 90 / 190)
    assert dice.loc[("bob", "eve"), "mean"] == pytest.approx(2 * 90 / 200)
    assert dict(dice["n"]) == {
        ("plain", "ann"): 6,
        ("plain", "bob"): 6,
        ("plain", "eve"): 5,
        ("ann", "bob"): 6,
        ("ann", "eve"): 5,
        ("bob", "eve"): 5,
    }
    counts = results.readers[(results.readers["rater"] == "prediction") & (results.readers["reader"] == "bob")]
    assert set(counts["tp"] + counts["fn"]) == {110}
    expected = 2 * counts["tp"] / (2 * counts["tp"] + counts["fp"] + counts["fn"])
    assert dice.loc[("plain", "bob"), "mean"] == pytest.approx(expected.mean())
    assert set(results.cases["tp"] + results.cases["fn"]) == {100}, "tables score against the majority"
    written = pd.read_csv(folder.path / "readers.csv")
    assert len(written) == len(table)
    page = (folder.path / "index.html").read_text()
    assert "<h3>Readers</h3>" in page
    ((matrix,),) = reader_tables(results)
    assert matrix.caption == "Dice on nodules"
    assert [heading.text for heading in matrix.headings] == ["Row", "ann", "bob", "eve"]
    texts = {row[0].text: [cell.text for cell in row[1:]] for row in matrix.rows}
    assert list(texts) == ["plain", "ann", "bob", "eve"]
    assert texts["ann"] == ["", "0.9524", "0.9474"]  # 200 / 210 and 180 / 190
    assert texts["eve"] == ["0.9474", "0.9000", ""]
    assert matrix.muted == [False, True, True, True]
    assert matrix.notes == ["eve: labels of 5 of 6 cases."]
