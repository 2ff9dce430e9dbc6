"""The medians of a page, and how much an order over datasets depends on one of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade import graded

from benchbench.comparison.board import Board, boards
from benchbench.report.page.sections import median_table, over_datasets
from benchbench.statistics import median_interval
from benchbench.tables.results import read_results


@pytest.fixture
def board(tmp_path: Path) -> Board:
    (made,) = boards(read_results(graded(tmp_path, {"one": 0.2, "two": 0.1, "three": 0.0})))
    return made


def on_dataset(board: Board, name: str, *means: float) -> Board:
    sums = np.tile(np.array(means)[:, None], (1, len(board.panel.patients)))
    panel = replace(board.panel, sums=sums, counts=np.ones_like(sums), by_seed=None)
    return replace(board, dataset=name, panel=panel)


def test_each_row_has_its_median_with_an_interval_of_sorted_values(board: Board) -> None:
    table = median_table(board)
    assert table["row"].tolist() == ["one", "two", "three"]
    values = board.panel.patient_means[0]
    assert table["median"][0] == np.median(values)
    assert (table["low"][0], table["high"][0]) == median_interval(values)[:2]


def test_an_order_that_depends_on_one_dataset_shows_it(board: Board) -> None:
    datasets = [
        on_dataset(board, "a", 0.9, 0.8, 0.7),
        on_dataset(board, "b", 0.9, 0.8, 0.7),
        on_dataset(board, "c", 0.7, 0.8, 0.9),
    ]
    section = over_datasets(datasets)
    assert section is not None
    # rows are sorted by name; without c the order is that of all, without a the three rows are equal
    cells = {row[0].text: row[1].text for row in section.without_one.rows}
    assert (cells["c"], cells["a"]) == ("1.0000", "0.0000")
    assert section.prediction.startswith("one is first on 2 of 3 datasets. ")
    # 3 of 5, two imaginary datasets included
    assert "probability of about 60% (rule of succession)" in section.prediction
