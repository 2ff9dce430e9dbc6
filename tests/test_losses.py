from __future__ import annotations

import math

import pytest
import torch

from benchbench.engine.network.losses import compute_loss, deep_supervision_loss
from benchbench.engine.network.regions import masks_of_logits, region_masks

LOGIT = math.log(3)  # a probability of 3/4


def labels(*rows: list[int]) -> torch.Tensor:
    return torch.tensor([[row] for row in rows], dtype=torch.uint8)  # (B, 1, W)


def test_region_masks_are_the_bits_of_the_label() -> None:
    masks = region_masks(labels([0, 1, 2, 3]), 2)
    assert masks.dtype == torch.bool
    assert masks[0, :, 0].tolist() == [[False, True, False, True], [False, False, True, True]]


def test_a_sigmoid_region_is_predicted_above_one_half() -> None:
    logits = torch.tensor([[[[-1.0, 0.0, 1e-3]]]])
    assert masks_of_logits(logits, "sigmoid")[0, 0, 0].tolist() == [False, False, True]


def test_softmax_predicts_the_most_probable_class_and_leaves_background_out() -> None:
    logits = torch.tensor([[[[2.0, 0.0]], [[1.0, 1.0]], [[0.0, 3.0]]]])
    masks = masks_of_logits(logits, "softmax")
    assert masks[0, :, 0].tolist() == [[False, False], [False, True]]


def test_bce_is_the_mean_over_voxels() -> None:
    logits = torch.tensor([[[[LOGIT, LOGIT]]]])
    expected = -(math.log(3 / 4) + math.log(1 / 4)) / 2
    assert compute_loss("bce", logits, labels([1, 0])).item() == pytest.approx(expected)


def test_dice_loss_has_the_value_worked_out_by_hand() -> None:
    logits = torch.tensor([[[[LOGIT, LOGIT]]]])
    # overlap 3/4, sums 3/2 and 1, smoothed by 1
    assert compute_loss("dice", logits, labels([1, 0])).item() == pytest.approx(1 - (2 * 0.75 + 1) / (2.5 + 1))


def test_dice_takes_its_sums_over_the_whole_batch() -> None:
    logits = torch.tensor([[[[LOGIT]]], [[[LOGIT]]]])
    together = compute_loss("dice", logits, labels([1], [0])).item()
    assert together == pytest.approx(1 - (2 * 0.75 + 1) / (2.5 + 1))


def test_a_confident_false_positive_in_a_batch_without_foreground_has_a_loss_and_a_gradient() -> None:
    logits = torch.full((1, 1, 1, 4), 5.0, requires_grad=True)
    loss = compute_loss("dice", logits, labels([0, 0, 0, 0]))
    loss.backward()
    assert loss.item() > 0.7
    assert (logits.grad > 0).all()


def test_focal_loss_weighs_by_the_square_of_the_error() -> None:
    logits = torch.tensor([[[[LOGIT]]]])
    expected = (1 / 4) ** 2 * -math.log(3 / 4) + 1 - (2 * 0.75 + 1) / (1.75 + 1)
    assert compute_loss("focal+dice", logits, labels([1])).item() == pytest.approx(expected)


def test_cross_entropy_puts_background_first() -> None:
    logits = torch.tensor([[[[5.0, -5.0]], [[-5.0, 5.0]]]])
    assert compute_loss("ce", logits, labels([0, 1])).item() < 1e-3
    assert compute_loss("ce", logits, labels([1, 0])).item() > 9


def test_a_sum_is_the_sum_of_its_parts() -> None:
    logits, reference = torch.randn(2, 1, 4, 4), torch.randint(0, 2, (2, 4, 4)).byte()
    both = compute_loss("bce+dice", logits, reference)
    assert both.item() == pytest.approx(
        (compute_loss("bce", logits, reference) + compute_loss("dice", logits, reference)).item()
    )
    classes = torch.randn(2, 3, 4, 4)
    reference = torch.randint(0, 3, (2, 4, 4)).byte()
    assert compute_loss("ce+dice", classes, reference) > compute_loss("ce", classes, reference)


@pytest.mark.parametrize("name", ["bce+dice", "bce", "dice", "focal+dice", "ce", "ce+dice"])
def test_every_loss_is_finite_and_differentiable_at_extreme_logits(name: str) -> None:
    logits = torch.tensor([[[[80.0, -80.0]], [[-80.0, 80.0]]]], requires_grad=True)
    compute_loss(name, logits, labels([1, 0])).backward()
    assert torch.isfinite(logits.grad).all()


def test_each_head_has_half_the_weight_of_the_finer_one_and_labels_of_its_size() -> None:
    label = torch.tensor([[0, 1, 1, 1]], dtype=torch.uint8)  # nearest of 2: pixels 1 and 3
    fine = torch.zeros(1, 1, 4)
    coarse = torch.tensor([[[3.0, 3.0]]])
    half = compute_loss("bce", fine, label)
    small = compute_loss("bce", coarse, torch.tensor([[1, 1]], dtype=torch.uint8))
    loss = deep_supervision_loss("bce", [fine, coarse], label)
    assert loss.item() == pytest.approx((2 * half.item() + small.item()) / 3)
    assert deep_supervision_loss("bce", [fine], label).item() == pytest.approx(half.item())


def test_three_heads_weigh_four_two_and_one_of_seven() -> None:
    label = torch.tensor([[0, 1, 1, 0]], dtype=torch.uint8)
    heads = [torch.full((1, 1, 4), value) for value in (1.0, -2.0, 3.0)]
    first, second, third = (compute_loss("bce", head, label).item() for head in heads)
    expected = (4 * first + 2 * second + third) / 7
    assert deep_supervision_loss("bce", heads, label).item() == pytest.approx(expected)


def test_the_dice_of_a_softmax_is_of_regions_without_the_background() -> None:
    logits = torch.tensor([[[[0.0, 0.0]], [[LOGIT, LOGIT]]]])  # the region has a probability of 3/4
    truth = labels([1, 0])
    dice = compute_loss("ce+dice", logits, truth) - compute_loss("ce", logits, truth)
    assert dice.item() == pytest.approx(1 - (2 * 0.75 + 1) / (2.5 + 1))
