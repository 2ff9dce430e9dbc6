"""The noise of differences by source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade import N_FOLDS, end, graded, key, scans

from benchbench.comparison.board import Board, boards
from benchbench.comparison.component_table import component_table, limiting_source
from benchbench.statistics import Design
from benchbench.tables.results import read_results


def board_of(path: Path) -> Board:
    folder = graded(path, {"one": 0.2, "two": 0.1, "three": 0.0})
    for fold in range(N_FOLDS):
        end(folder, key("two", fold), scans(fold, better=0.1, seed=5))
    (board,) = boards(read_results(folder))
    return board


def test_every_pair_with_the_first_row_has_a_line_with_its_noise(tmp_path: Path) -> None:
    board = board_of(tmp_path)
    table = component_table(board)
    assert list(zip(table["first"], table["second"], strict=True)) == [("one", "two"), ("one", "three")]
    pair = board.comparisons[0]
    assert table["sd_patients"][0] == pytest.approx(pair.components.patients)
    assert table["detectable"][0] == pair.smallest_detectable


@pytest.mark.parametrize(
    ("patients", "folds", "seeds", "source"),
    [
        # variances of the mean: 0.04 / 60, 0.0001 / 5 and nothing
        (0.04, 0.0401, 0.0, "patients"),
        # folds: (0.2 - 0.0025) / 12 / 5 against 0.0025 / 60
        (0.0025, 0.2, 0.0, "folds"),
        # seeds: 0.05 x 2 / 12 / 10 against 0.0025 / 60
        (0.0025, 0.0025, 0.05, "seeds"),
        (0.0, 0.0, 0.0, ""),
    ],
)
def test_the_source_of_most_of_the_variance_limits_the_verdict(
    tmp_path: Path, patients: float, folds: float, seeds: float, source: str
) -> None:
    pair = board_of(tmp_path).comparisons[0]
    noise = replace(
        pair.noise,
        design=Design(60, 5, 2),
        patients=np.array(patients),
        folds=np.array(folds),
        seeds=np.array(seeds),
        rest=np.array(0.0),
    )
    assert limiting_source(replace(pair, noise=noise)) == source


def test_the_noise_of_a_single_fold_is_the_assumed_one(tmp_path: Path) -> None:
    pair = board_of(tmp_path).comparisons[0]
    noise = replace(pair.noise, design=Design(60, 1, 1), patients=np.array(0.0025), assumed_sd=0.02)
    assert limiting_source(replace(pair, noise=noise)) == "folds"
