from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from handmade_case import keep_slices

from benchbench.engine.inference.class_totals import ClassTotals

LABEL = np.array([[[0, 0], [1, 2]]], dtype=np.uint8)  # background twice, a, b
SURE = np.array(
    [[[[0.5, 1.0], [0.1, 0.2]]], [[[0.3, 0.0], [0.8, 0.2]]], [[[0.2, 0.0], [0.1, 0.6]]]], dtype=np.float32
)


def totals(folder: Path, probabilities: np.ndarray, times: int) -> dict[str, float]:
    case = keep_slices(folder / "case", np.zeros((1, 1, 2, 2), np.uint8), LABEL)
    masks = np.stack([probabilities.argmax(0) == value for value in (1, 2)], axis=1)
    totals_of_cases = ClassTotals(("a", "b"))
    for _ in range(times):
        totals_of_cases.add(case, torch.from_numpy(probabilities), masks)
    return totals_of_cases.scores()


@pytest.mark.parametrize("times", [1, 3])
def test_cross_entropy_is_divided_among_classes_and_adds_up(tmp_path: Path, times: int) -> None:
    scores = totals(tmp_path, SURE, times)
    shares = {"background": -math.log(0.5) / 4, "a": -math.log(0.8) / 4, "b": -math.log(0.6) / 4}
    for name, share in shares.items():
        assert scores[f"test_cross_entropy:{name}"] == pytest.approx(share)
    whole = torch.nn.functional.nll_loss(
        torch.tensor(SURE).log()[None].clamp(min=-9), torch.tensor(LABEL)[None].long()
    )
    assert 3 * scores["test_cross_entropy"] == pytest.approx(float(whole))
    assert scores["test_dice_classes"] == 1.0


def test_a_probability_of_zero_has_a_large_but_finite_cross_entropy(tmp_path: Path) -> None:
    wrong = np.zeros((3, 1, 2, 2), dtype=np.float32)
    wrong[0] = 1
    scores = totals(tmp_path, wrong, 1)
    assert scores["test_cross_entropy:a"] == pytest.approx(-math.log(1e-7) / 4, rel=1e-5)
    assert scores["test_dice_classes:a"] == 0.0
    assert scores["test_dice_classes:background"] == pytest.approx(4 / 6)


def test_cross_entropy_is_the_log_loss_of_scikit_learn(tmp_path: Path) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    voxels = SURE.reshape(3, -1).T.astype(np.float64)
    whole = sklearn.log_loss(LABEL.ravel(), voxels / voxels.sum(1, keepdims=True), labels=[0, 1, 2])
    # no voxel is impossible where it is true, so that nothing is clamped here or there
    assert 3 * totals(tmp_path, SURE, 1)["test_cross_entropy"] == pytest.approx(whole, rel=1e-6)
