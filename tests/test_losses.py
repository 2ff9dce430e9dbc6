from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch

from benchbench.engine.network import losses
from benchbench.engine.network.losses import compute_loss, deep_supervision_loss, loss_sums
from benchbench.engine.network.regions import masks_of_logits, region_masks, scored_voxels
from benchbench.spec.loss import Loss, LossName

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
    assert compute_loss(Loss(name="bce"), logits, labels([1, 0])).item() == pytest.approx(expected)


def test_dice_loss_has_the_value_worked_out_by_hand() -> None:
    logits = torch.tensor([[[[LOGIT, LOGIT]]]])
    # overlap 3/4, sums 3/2 and 1, smoothed by 1
    assert compute_loss(Loss(name="dice"), logits, labels([1, 0])).item() == pytest.approx(
        1 - (2 * 0.75 + 1) / (2.5 + 1)
    )


def test_dice_takes_its_sums_over_the_whole_batch() -> None:
    logits = torch.tensor([[[[LOGIT]]], [[[LOGIT]]]])
    together = compute_loss(Loss(name="dice"), logits, labels([1], [0])).item()
    assert together == pytest.approx(1 - (2 * 0.75 + 1) / (2.5 + 1))


def test_a_confident_false_positive_in_a_batch_without_foreground_has_a_loss_and_a_gradient() -> None:
    logits = torch.full((1, 1, 1, 4), 5.0, requires_grad=True)
    loss = compute_loss(Loss(name="dice"), logits, labels([0, 0, 0, 0]))
    loss.backward()
    assert loss.item() > 0.7
    assert (logits.grad > 0).all()


def test_focal_loss_weighs_by_the_square_of_the_error() -> None:
    logits = torch.tensor([[[[LOGIT]]]])
    expected = (1 / 4) ** 2 * -math.log(3 / 4) + 1 - (2 * 0.75 + 1) / (1.75 + 1)
    assert compute_loss(Loss(name="focal+dice"), logits, labels([1])).item() == pytest.approx(expected)


def test_cross_entropy_puts_background_first() -> None:
    logits = torch.tensor([[[[5.0, -5.0]], [[-5.0, 5.0]]]])
    assert compute_loss(Loss(name="ce"), logits, labels([0, 1])).item() < 1e-3
    assert compute_loss(Loss(name="ce"), logits, labels([1, 0])).item() > 9


def test_a_sum_is_the_sum_of_its_parts() -> None:
    logits, reference = torch.randn(2, 1, 4, 4), torch.randint(0, 2, (2, 4, 4)).byte()
    both = compute_loss(Loss(name="bce+dice"), logits, reference)
    assert both.item() == pytest.approx(
        (
            compute_loss(Loss(name="bce"), logits, reference) + compute_loss(Loss(name="dice"), logits, reference)
        ).item()
    )
    classes = torch.randn(2, 3, 4, 4)
    reference = torch.randint(0, 3, (2, 4, 4)).byte()
    assert compute_loss(Loss(name="ce+dice"), classes, reference) > compute_loss(
        Loss(name="ce"), classes, reference
    )


@pytest.mark.parametrize("name", get_args(LossName))
def test_every_loss_is_finite_and_differentiable_at_extreme_logits(name: str) -> None:
    logits = torch.tensor([[[[80.0, -80.0]], [[-80.0, 80.0]]]], requires_grad=True)
    compute_loss(Loss(name=name), logits, labels([1, 0])).backward()
    assert torch.isfinite(logits.grad).all()


def test_each_head_has_half_the_weight_of_the_finer_one_and_labels_of_its_size() -> None:
    label = torch.tensor([[0, 1, 1, 1]], dtype=torch.uint8)  # nearest of 2: pixels 1 and 3
    fine = torch.zeros(1, 1, 4)
    coarse = torch.tensor([[[3.0, 3.0]]])
    half = compute_loss(Loss(name="bce"), fine, label)
    small = compute_loss(Loss(name="bce"), coarse, torch.tensor([[1, 1]], dtype=torch.uint8))
    loss = deep_supervision_loss(Loss(name="bce"), [fine, coarse], label)
    assert loss.item() == pytest.approx((2 * half.item() + small.item()) / 3)
    assert deep_supervision_loss(Loss(name="bce"), [fine], label).item() == pytest.approx(half.item())


def test_three_heads_weigh_four_two_and_one_of_seven() -> None:
    label = torch.tensor([[0, 1, 1, 0]], dtype=torch.uint8)
    heads = [torch.full((1, 1, 4), value) for value in (1.0, -2.0, 3.0)]
    first, second, third = (compute_loss(Loss(name="bce"), head, label).item() for head in heads)
    expected = (4 * first + 2 * second + third) / 7
    assert deep_supervision_loss(Loss(name="bce"), heads, label).item() == pytest.approx(expected)


def test_the_dice_of_a_softmax_is_of_regions_without_the_background() -> None:
    logits = torch.tensor([[[[0.0, 0.0]], [[LOGIT, LOGIT]]]])  # the region has a probability of 3/4
    truth = labels([1, 0])
    dice = compute_loss(Loss(name="ce+dice"), logits, truth) - compute_loss(Loss(name="ce"), logits, truth)
    assert dice.item() == pytest.approx(1 - (2 * 0.75 + 1) / (2.5 + 1))


def probabilities_and_classes() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return random logits (4, 3, 8, 8), their probabilities, labels as bit masks and one-hot classes."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 8, 8, generator=generator)
    classes = torch.randint(0, 3, (4, 8, 8), generator=generator)
    one_hot = torch.nn.functional.one_hot(classes, 3).movedim(-1, 1).float()
    return logits, logits.softmax(1), classes.byte(), one_hot


def test_dice_with_squares_over_all_classes_is_the_formula_of_the_cardiac_document() -> None:
    logits, p, reference, q = probabilities_and_classes()
    entropy = -(q * p.log()).sum(1).mean()
    joint = 2 * (p * q).sum() / ((p**2).sum() + (q**2).sum())
    by_class = 2 * (p * q).sum((0, 2, 3)) / ((p**2).sum((0, 2, 3)) + (q**2).sum((0, 2, 3)))
    table = {"name": "ce+dice", "squared": True, "background": True, "smooth": 0.0}
    loss = compute_loss(Loss(**table, joint=True), logits, reference)
    assert loss.item() == pytest.approx((entropy + 1 - joint).item())
    loss = compute_loss(Loss(**table), logits, reference)
    assert loss.item() == pytest.approx((entropy + 1 - by_class.mean()).item())


def test_the_loss_of_unext_is_half_of_the_cross_entropy_and_the_dice_of_each_image() -> None:
    logits, _, _, q = probabilities_and_classes()
    logits, q = logits[:, :1], q[:, 1:2]
    p = logits.sigmoid()
    entropy = -(q * p.log() + (1 - q) * (1 - p).log()).mean()
    dice = [(2 * (a * b).sum() + 1e-5) / (a.sum() + b.sum() + 1e-5) for a, b in zip(p, q, strict=True)]
    expected = 0.5 * entropy + 1 - torch.stack(dice).mean()
    loss = Loss(name="bce+dice", weights=(0.5, 1.0), per_image=True, smooth=1e-5)
    assert compute_loss(loss, logits, q[:, 0].byte()).item() == pytest.approx(expected.item())


def monai_losses() -> dict[str, tuple[Loss, Any]]:
    from monai.losses import DiceLoss, GeneralizedDiceLoss, TverskyLoss

    smooth = {"smooth_nr": 1.0, "smooth_dr": 1.0}
    return {
        "dice": (Loss(name="dice"), DiceLoss(sigmoid=True, batch=True, **smooth)),
        "squared": (
            Loss(name="dice", squared=True),
            DiceLoss(sigmoid=True, batch=True, squared_pred=True, **smooth),
        ),
        "per_image": (Loss(name="dice", per_image=True), DiceLoss(sigmoid=True, **smooth)),
        "generalized": (
            Loss(name="generalized_dice", per_image=True),
            GeneralizedDiceLoss(sigmoid=True, **smooth),
        ),
        "generalized_batch": (
            Loss(name="generalized_dice"),
            GeneralizedDiceLoss(sigmoid=True, batch=True, **smooth),
        ),
        "tversky": (
            Loss(name="tversky", alpha=0.4, beta=0.9),
            TverskyLoss(sigmoid=True, batch=True, alpha=0.4, beta=0.9, **smooth),
        ),
    }


@pytest.mark.parametrize("name", ["dice", "squared", "per_image", "generalized", "generalized_batch", "tversky"])
def test_a_loss_of_sums_equals_that_of_monai(name: str) -> None:
    ours, monai = monai_losses()[name]
    logits, _, _, q = probabilities_and_classes()
    logits, q = logits[:, :2], q[:, 1:]
    reference = (q[:, 0] + 2 * q[:, 1]).byte()
    assert compute_loss(ours, logits, reference).item() == pytest.approx(monai(logits, q).item(), rel=1e-5)


def test_weights_of_classes_are_those_of_torch() -> None:
    logits, _, reference, q = probabilities_and_classes()
    weights = (0.2, 3.0, 1.5)
    expected = torch.nn.functional.cross_entropy(logits, q.argmax(1), weight=torch.tensor(weights))
    loss = Loss(name="ce", class_weights=weights)
    assert compute_loss(loss, logits, reference).item() == pytest.approx(expected.item())


def test_weights_of_regions_divide_by_their_sum() -> None:
    logits = torch.tensor([[[[LOGIT, LOGIT]], [[-LOGIT, LOGIT]]]])
    first, second = -(math.log(3 / 4) + math.log(1 / 4)) / 2, -math.log(3 / 4)
    loss = Loss(name="bce", class_weights=(1.0, 3.0))
    assert compute_loss(loss, logits, labels([1, 2])).item() == pytest.approx((first + 3 * second) / 4)


def test_a_class_without_reference_has_the_largest_weight_of_the_others_in_generalised_dice() -> None:
    logits = torch.tensor([[[[LOGIT, LOGIT]], [[LOGIT, -LOGIT]]]])  # probabilities 3/4 3/4 and 3/4 1/4
    # one region of one voxel, weight 1, and one without reference
    expected = 1 - (2 * 0.75 + 1) / (1.5 + 1 + 1 + 1)
    assert compute_loss(Loss(name="generalized_dice"), logits, labels([1, 0])).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["bce+dice", "ce+dice", "dice"])
def test_the_loss_of_each_image_is_the_mean_of_the_losses_of_images(name: str) -> None:
    logits, _, reference, _ = probabilities_and_classes()
    logits = logits if name.startswith("ce") else logits[:, :2]
    loss = Loss(name=name, per_image=True)
    alone = [compute_loss(loss, logits[[number]], reference[[number]]) for number in range(len(logits))]
    assert compute_loss(loss, logits, reference).item() == pytest.approx(torch.stack(alone).mean().item())


def test_a_name_and_a_table_of_defaults_are_the_same_protocol() -> None:
    named, table = Loss.model_validate("bce+dice"), Loss.model_validate({"name": "bce+dice", "smooth": 1.0})
    assert named == table
    assert named.model_dump() == table.model_dump() == "bce+dice"
    weighted = Loss(name="ce+dice", squared=True, weights=(0.5, 1.0), class_weights=(1.0, 2.0))
    assert Loss.model_validate_json(weighted.model_dump_json()) == weighted


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "bce", "squared": True}, "'squared' does not apply: 'bce' has no part with sums over voxels"),
        ({"name": "tversky", "squared": True}, "'squared' does not apply: 'tversky' has no Dice"),
        ({"name": "bce+dice", "background": True}, "'background' does not apply: 'bce\\+dice' has no class"),
        ({"name": "dice", "alpha": 0.5}, "'alpha' does not apply: 'dice' has no Tversky part"),
        ({"name": "dice", "class_weights": (1.0,)}, "'class_weights' does not apply: 'dice' has no cross-entropy"),
        ({"name": "dice", "weights": (1.0, 2.0)}, "'weights' does not apply: 'dice' has one part"),
    ],
)
def test_a_key_without_effect_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Loss.model_validate(table)


@pytest.mark.parametrize("name", ["bce+dice", "focal+dice", "ce+dice", "ce+tversky"])
def test_voxels_that_all_count_give_the_loss_that_they_give_without_a_mask(
    monkeypatch: pytest.MonkeyPatch, name: Any
) -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (2, 8, 8), dtype=torch.uint8)
    logits = torch.randn(2, 2 if name.startswith("ce") else 1, 8, 8)
    loss = Loss(name=name)
    without_mask = loss_sums(loss, logits, labels)
    monkeypatch.setattr(losses, "_scored_voxels", lambda _, *of: scored_voxels(*of)[:, None])
    torch.testing.assert_close(loss_sums(loss, logits, labels), without_mask, rtol=1e-6, atol=1e-6)
