from __future__ import annotations

import numpy as np
import pytest

from benchbench.metrics.class_scores import class_scores

# ten voxels; tp, fp, fn, tn of background, a and b
COUNTS = np.array([[5, 1, 1, 3], [2, 1, 0, 7], [1, 0, 1, 8]])


def test_class_scores_equal_hand_computed_values() -> None:
    scores = class_scores(COUNTS, ("background", "a", "b"), part="test")
    assert scores["test_dice_classes:background"] == pytest.approx(10 / 12)
    assert scores["test_dice_classes:a"] == pytest.approx(4 / 5)
    assert scores["test_dice_classes:b"] == pytest.approx(2 / 3)
    assert scores["test_dice_classes"] == pytest.approx((10 / 12 + 4 / 5 + 2 / 3) / 3)
    assert scores["test_iou_classes"] == pytest.approx((5 / 7 + 2 / 3 + 1 / 2) / 3)
    assert scores["test_accuracy_classes"] == pytest.approx(8 / 10)
    assert scores["test_specificity_classes"] == pytest.approx(18 / 20)


def test_precision_and_sensitivity_of_classes_equal_accuracy() -> None:
    scores = class_scores(COUNTS, ("background", "a", "b"), part="train")
    assert scores["train_precision_classes"] == scores["train_sensitivity_classes"] == pytest.approx(0.8)
    assert scores["train_accuracy_classes"] == pytest.approx(0.8)
