from __future__ import annotations

import math

import pytest

from benchbench.spec.value_names import better_direction
from benchbench.tables.style import Score, style_of


def scores(*rows: tuple[float, ...], lower: bool = False) -> list[Score]:
    cells = []
    for row, values in enumerate(rows):
        for column, value in enumerate(values, start=1):
            cells.append(Score(row, column, value, "lower" if lower else "higher"))
    return cells


def test_the_best_of_each_row_is_bold_and_equal_values_in_print_are_equally_good() -> None:
    table = scores((0.9087, 0.9044, 0.9086), (0.91001, 0.90996, 0.8))
    assert style_of(table, bold="row", decimals=4).best == {(0, 1), (1, 1), (1, 2)}
    assert style_of(table, bold=None, decimals=4).best == frozenset()


def test_the_best_of_each_column_is_the_lowest_of_losses() -> None:
    assert style_of(scores((0.3, 0.5), (0.2, 0.6), lower=True), bold="column", decimals=6).best == {(1, 1), (0, 2)}


def test_lines_of_different_metrics_have_a_best_value_each() -> None:
    dice = [Score(0, 1, 0.829, "higher", "dice"), Score(2, 1, 0.845, "higher", "dice")]
    entropy = [Score(1, 1, 0.042, "lower", "entropy"), Score(3, 1, 0.035, "lower", "entropy")]
    assert style_of([*dice, *entropy], bold="column", decimals=3).best == {(2, 1), (3, 1)}


def test_a_row_with_one_known_value_or_equal_ones_has_no_best() -> None:
    assert style_of(scores((0.5, math.nan), (0.7, 0.7)), bold="row", decimals=4).best == frozenset()


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        *(
            (name, "higher")
            for name in ("dice", "iou_slice", "train_dice_pooled:oedema", "accuracy_percent", "nsd@2")
        ),
        *((name, "lower") for name in ("train_loss", "validation_loss", "test_cross_entropy:core", "hd95")),
        *((name, None) for name in ("parameters", "epochs", "input", "variant", "protocol.batch")),
    ],
)
def test_scores_are_better_if_higher_losses_and_distances_if_lower(name: str, direction: str | None) -> None:
    assert better_direction(name) == direction
