from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchbench.metrics.scores import METRICS, Counts, count, overlap, score
from benchbench.spec.protocol import EmptyPolicy, Metric

NAN = float("nan")
MASKS = arrays(np.bool_, (2, 3, 3))
COUNTS = st.tuples(*[st.integers(0, 5)] * 4).map(lambda four: Counts(*four))
POLICIES: tuple[EmptyPolicy, ...] = ("score", "nnunet", "monai", "brats", "zero", "stratify")


def draw(*rows: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([[letter == "#" for letter in row] for row in rows])


REFERENCE = draw(
    "##..",
    "##..",
    "....",
)
PREDICTION = draw(
    ".##.",
    "....",
    "....",
)


def test_voxels_of_reference_and_prediction_are_counted() -> None:
    assert count(REFERENCE, PREDICTION) == Counts(tp=1, fp=1, fn=3, tn=7)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_gives_the_textbook_value_for_masks_with_voxels(policy: EmptyPolicy) -> None:
    assert score(REFERENCE, PREDICTION, metrics=METRICS, empty=policy) == pytest.approx(
        {
            "dice": 2 / 6,
            "iou": 1 / 5,
            "accuracy": 8 / 12,
            "precision": 1 / 2,
            "sensitivity": 1 / 4,
            "specificity": 7 / 8,
        }
    )


def test_a_perfect_prediction_scores_1() -> None:
    assert set(score(REFERENCE, REFERENCE.copy(), metrics=METRICS).values()) == {1.0}


def test_a_complement_scores_0() -> None:
    assert set(score(REFERENCE, ~REFERENCE, metrics=METRICS).values()) == {0.0}


BOTH = Counts(tp=0, fp=0, fn=0, tn=12)
NO_REFERENCE = Counts(tp=0, fp=2, fn=0, tn=10)
NO_PREDICTION = Counts(tp=0, fp=0, fn=3, tn=9)
FULL_REFERENCE = Counts(tp=8, fp=0, fn=4, tn=0)


@pytest.mark.parametrize(
    ("policy", "counts", "expected"),  # dice, iou, accuracy, precision, sensitivity, specificity
    [
        ("score", BOTH, (1, 1, 1, 1, NAN, 1)),
        ("score", NO_REFERENCE, (0, 0, 10 / 12, 0, NAN, 10 / 12)),
        ("score", NO_PREDICTION, (0, 0, 9 / 12, 0, 0, 1)),
        ("score", FULL_REFERENCE, (16 / 20, 8 / 12, 8 / 12, 1, 8 / 12, NAN)),
        ("nnunet", BOTH, (NAN, NAN, 1, NAN, NAN, 1)),
        ("nnunet", NO_REFERENCE, (0, 0, 10 / 12, 0, NAN, 10 / 12)),
        ("nnunet", NO_PREDICTION, (0, 0, 9 / 12, NAN, 0, 1)),
        ("nnunet", FULL_REFERENCE, (16 / 20, 8 / 12, 8 / 12, 1, 8 / 12, NAN)),
        ("monai", BOTH, (NAN, NAN, 1, NAN, NAN, 1)),
        ("monai", NO_REFERENCE, (NAN, NAN, 10 / 12, NAN, NAN, 10 / 12)),
        ("monai", NO_PREDICTION, (0, 0, 9 / 12, 0, 0, 1)),
        ("monai", FULL_REFERENCE, (16 / 20, 8 / 12, 8 / 12, 1, 8 / 12, NAN)),
        ("brats", BOTH, (1, 1, 1, 1, 1, 1)),
        ("brats", NO_REFERENCE, (0, 0, 10 / 12, 0, 0, 10 / 12)),
        ("brats", NO_PREDICTION, (0, 0, 9 / 12, 0, 0, 1)),
        ("brats", FULL_REFERENCE, (16 / 20, 8 / 12, 8 / 12, 1, 8 / 12, NAN)),
        ("zero", BOTH, (0, 0, 1, 0, 0, 1)),
        ("zero", NO_REFERENCE, (0, 0, 10 / 12, 0, 0, 10 / 12)),
        ("zero", NO_PREDICTION, (0, 0, 9 / 12, 0, 0, 1)),
        ("zero", FULL_REFERENCE, (16 / 20, 8 / 12, 8 / 12, 1, 8 / 12, 0)),
        ("stratify", BOTH, (NAN, NAN, NAN, NAN, NAN, NAN)),
        ("stratify", NO_REFERENCE, (NAN, NAN, NAN, NAN, NAN, NAN)),
        ("stratify", NO_PREDICTION, (0, 0, 9 / 12, 0, 0, 1)),
        ("stratify", FULL_REFERENCE, (16 / 20, 8 / 12, 8 / 12, 1, 8 / 12, NAN)),
    ],
)
def test_the_policy_decides_the_score_of_an_empty_mask(
    policy: EmptyPolicy, counts: Counts, expected: tuple[float, ...]
) -> None:
    scores = [float(overlap(metric, counts, empty=policy)) for metric in METRICS]
    assert scores == pytest.approx(expected, nan_ok=True)


@given(MASKS, MASKS)
def test_with_the_default_policy_only_the_reference_makes_a_score_undefined(
    reference: np.ndarray, prediction: np.ndarray
) -> None:
    undefined = {
        metric for metric, value in score(reference, prediction, metrics=METRICS).items() if np.isnan(value)
    }
    expected = {"sensitivity"} if not reference.any() else {"specificity"} if reference.all() else set()
    assert undefined == expected


@given(st.lists(COUNTS.filter(any), min_size=1, max_size=5))
def test_an_array_of_cases_has_the_scores_of_each_case(many: list[Counts]) -> None:
    stacked = Counts(*np.array(many).T)
    for metric, policy in itertools.product(METRICS, POLICIES):
        one_by_one = [float(overlap(metric, counts, empty=policy)) for counts in many]
        np.testing.assert_array_equal(overlap(metric, stacked, empty=policy), one_by_one)


@pytest.mark.parametrize("shape", [(0, 3), (1,), (300, 700), (70, 60, 80)])
@pytest.mark.parametrize("order", ["rows", "columns", "both", "every second voxel"])
def test_counts_do_not_depend_on_the_size_and_the_order_in_memory(shape: tuple[int, ...], order: str) -> None:
    reference, prediction = np.random.default_rng(0).random((2, *shape)) < 0.3
    prediction[:40] = False  # parts without a prediction
    if order in {"columns", "both"}:
        reference = np.asfortranarray(reference)
    if order == "columns":
        prediction = np.asfortranarray(prediction)
    if order == "every second voxel":
        reference, prediction = reference[..., ::2], prediction[..., ::2]
    both, either = np.count_nonzero(reference & prediction), np.count_nonzero(reference | prediction)
    fp, fn = np.count_nonzero(prediction & ~reference), np.count_nonzero(reference & ~prediction)
    assert count(reference, prediction) == Counts(both, fp, fn, reference.size - either)


@given(MASKS, MASKS)
def test_counts_add_up_to_every_voxel_and_both_masks(reference: np.ndarray, prediction: np.ndarray) -> None:
    tp, fp, fn, tn = count(reference, prediction)
    assert (tp + fp + fn + tn, tp + fn, tp + fp) == (18, reference.sum(), prediction.sum())
    assert min(tp, fp, fn, tn) >= 0


@given(MASKS, MASKS)
def test_dice_iou_and_accuracy_are_symmetric(one: np.ndarray, other: np.ndarray) -> None:
    metrics: tuple[Metric, ...] = ("dice", "iou", "accuracy")
    assert score(one, other, metrics=metrics) == score(other, one, metrics=metrics)


@given(MASKS, MASKS)
def test_dice_follows_from_iou(reference: np.ndarray, prediction: np.ndarray) -> None:
    scores = score(reference, prediction, metrics=("dice", "iou"))
    assert scores["dice"] == pytest.approx(2 * scores["iou"] / (1 + scores["iou"]))


@given(COUNTS.filter(any))
def test_every_score_is_between_0_and_1_or_undefined(counts: Counts) -> None:
    for metric, policy in itertools.product(METRICS, POLICIES):
        value = float(overlap(metric, counts, empty=policy))
        assert np.isnan(value) or 0 <= value <= 1


def test_each_policy_gives_its_own_mean_of_six_images() -> None:
    # Dice 1, 2/3 and 6/7; a miss; a false positive; two empty masks
    tp, fp, fn = np.array([4, 2, 6, 0, 0, 0]), np.array([0, 1, 0, 0, 1, 0]), np.array([0, 1, 2, 1, 0, 0])
    images = Counts(tp, fp, fn, 10 - tp - fp - fn)
    means = {policy: np.nanmean(overlap("dice", images, empty=policy)) for policy in POLICIES}
    assert means == pytest.approx(
        {
            "score": (53 / 21 + 1) / 6,
            "nnunet": 53 / 21 / 5,
            "monai": 53 / 21 / 4,
            "brats": (53 / 21 + 1) / 6,
            "zero": 53 / 21 / 6,
            "stratify": 53 / 21 / 4,
        }
    )
    pooled = Counts(*(np.sum(part) for part in images))
    assert float(overlap("dice", pooled)) == pytest.approx(24 / 30)


def test_masks_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"reference \(3, 4\) and prediction \(3, 3\) differ in shape"):
        count(REFERENCE, PREDICTION[:, :3])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_masks_that_are_not_boolean_are_refused(dtype: type) -> None:
    with pytest.raises(
        ValueError, match=r"prediction is \w+, expected bool; compare with the label's value first"
    ):
        count(REFERENCE, PREDICTION.astype(dtype))
    with pytest.raises(ValueError, match="reference is"):
        score(REFERENCE.astype(dtype), PREDICTION, metrics=["dice"])


@settings(deadline=None)  # the other library is imported
@given(MASKS.filter(lambda mask: mask.any() and not mask.all()), MASKS.filter(lambda mask: mask.any()))
def test_scores_equal_those_of_scikit_learn_if_both_classes_are_present(
    reference: np.ndarray, prediction: np.ndarray
) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    reference_voxels, predicted_voxels = reference.ravel(), prediction.ravel()
    theirs = {
        "dice": sklearn.f1_score(reference_voxels, predicted_voxels),
        "iou": sklearn.jaccard_score(reference_voxels, predicted_voxels),
        "accuracy": sklearn.accuracy_score(reference_voxels, predicted_voxels),
        "precision": sklearn.precision_score(reference_voxels, predicted_voxels),
        "sensitivity": sklearn.recall_score(reference_voxels, predicted_voxels),
        "specificity": sklearn.recall_score(reference_voxels, predicted_voxels, pos_label=False),
    }
    assert theirs.keys() == set(METRICS)
    assert score(reference, prediction, metrics=METRICS) == pytest.approx(theirs)


@settings(deadline=None)  # the other library is imported
@given(MASKS.filter(lambda mask: mask.any()), MASKS)
def test_dice_and_iou_equal_those_of_monai_if_there_is_a_reference(
    reference: np.ndarray, prediction: np.ndarray
) -> None:
    monai, torch = pytest.importorskip("monai.metrics"), pytest.importorskip("torch")
    pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    scores = score(reference, prediction, metrics=["dice", "iou"], empty="monai")
    assert scores["dice"] == pytest.approx(float(monai.compute_dice(*pair)), rel=1e-6)
    assert scores["iou"] == pytest.approx(float(monai.compute_iou(*pair)), rel=1e-6)


@settings(deadline=None)  # the other library is imported
@given(MASKS)
def test_the_policy_of_monai_is_nan_without_a_reference_like_monai(prediction: np.ndarray) -> None:
    monai, torch = pytest.importorskip("monai.metrics"), pytest.importorskip("torch")
    reference = np.zeros_like(prediction)
    pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    scores = score(reference, prediction, metrics=["dice", "iou"], empty="monai")
    theirs = [float(of(*pair, ignore_empty=True)) for of in (monai.compute_dice, monai.compute_iou)]
    assert np.isnan([*scores.values(), *theirs]).all()
