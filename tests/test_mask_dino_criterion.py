"""The matching compared with brute force, and the loss as worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from benchbench_models.mask_dino import criterion, matcher
from benchbench_models.mask_dino.criterion import class_loss, decoded_loss, mask_losses, prediction_loss
from benchbench_models.mask_dino.decoder import Decoded
from benchbench_models.mask_dino.heads import Prediction
from benchbench_models.mask_dino.matcher import Pairs, match, pair_costs
from benchbench_models.mask_dino.points import read_points, uncertain_points
from benchbench_models.mask_dino.targets import Targets, region_targets


def targets(present: list[list[bool]]) -> Targets:
    masks = torch.zeros(len(present), len(present[0]), 16, 16, dtype=torch.bool)
    for image, row in enumerate(present):
        for label, is_present in enumerate(row):
            masks[image, label, 2 * label : 2 * label + 6, 3 : 9 + image] = is_present
    return region_targets(masks, classes=masks.shape[1])


def prediction(*, images: int = 2, queries: int = 5, classes: int = 3) -> Prediction:
    torch.manual_seed(0)
    return Prediction(
        torch.randn(images, queries, classes + 1),
        torch.rand(images, queries, 4) * 0.3 + 0.3,
        torch.randn(images, queries, 8, 8),
    )


def pairs(*rows: tuple[int, int, int]) -> Pairs:
    return Pairs(*torch.tensor(rows, dtype=torch.int64).reshape(-1, 3).unbind(1))


def as_set(matched: Pairs) -> set[tuple[int, int, int]]:
    return set(zip(*(indices.tolist() for indices in matched), strict=True))


def test_the_pairing_is_the_cheapest_of_all() -> None:
    predicted, present = prediction(), targets([[True, False, True], [True, True, True]])
    torch.manual_seed(7)
    (matched,) = match([predicted], present, points=64)
    torch.manual_seed(7)
    costs = pair_costs(predicted, present, present.masks.float(), points=64)
    assert as_set(matched) == cheapest_pairs(costs, [[0, 2], [0, 1, 2]])


def cheapest_pairs(costs: Tensor, labels_of_images: list[list[int]]) -> set[tuple[int, int, int]]:
    """Return the cheapest of all pairings of the labels of each image."""
    cheapest: set[tuple[int, int, int]] = set()
    for image, labels in enumerate(labels_of_images):
        totals = {}
        for queries in itertools.permutations(range(costs.shape[1]), len(labels)):
            pairing = tuple((image, query, label) for query, label in zip(queries, labels, strict=True))
            totals[pairing] = sum(float(costs[pair]) for pair in pairing)
        cheapest.update(min(totals, key=totals.__getitem__))
    return cheapest


def test_an_image_without_targets_has_no_pairs() -> None:
    (matched,) = match([prediction()], targets([[False] * 3, [False, True, False]]), points=16)
    assert {image for image, _, _ in as_set(matched)} == {1}
    assert as_set(match([prediction()], targets([[False] * 3] * 2), points=16)[0]) == set()


def test_the_cost_of_a_class_uses_sigmoids_and_not_the_softmax_that_is_trained() -> None:
    # by softmax the second query is more sure of class 0: 0.98 and 0.38; by sigmoid the first one: 0.99 and 0.73
    classes = torch.tensor([[[5.0, 5.5], [1.0, -3.0]]])
    single = prediction(images=1, queries=1, classes=1)
    predicted = Prediction(classes, single.boxes.expand(-1, 2, -1), single.masks.expand(-1, 2, -1, -1))
    assert classes.softmax(-1)[0, 1, 0] > classes.softmax(-1)[0, 0, 0]
    (matched,) = match([predicted], targets([[True]]), points=16)
    assert as_set(matched) == {(0, 0, 0)}


def test_the_cost_of_an_undecided_query_is_as_worked_out_by_hand() -> None:
    full = region_targets(torch.ones(1, 1, 64, 64, dtype=torch.bool), classes=1)
    predicted = Prediction(torch.zeros(1, 1, 2), torch.tensor([[[0.5, 0.5, 0.5, 1.0]]]), torch.zeros(1, 1, 8, 8))
    cost = pair_costs(predicted, full, full.masks.float(), points=4000).item()
    expected = {
        "class": 4 * (0.25 - 0.75) / 4 * math.log(2),
        "mask": 5 * math.log(2),
        "dice": 5 * (1 - 1 / 1.5),  # except at the border, where the interpolated mask is less than 1
        "box": 5 * 0.5,
        "iou": -2 * 0.5,
    }
    assert cost == pytest.approx(sum(expected.values()), abs=0.05)


def test_nan_in_a_prediction_gives_a_loss_of_nan_and_no_error() -> None:
    predicted = prediction()
    predicted = predicted._replace(masks=predicted.masks * math.nan)
    present = targets([[True, True, True], [True, False, False]])
    assert decoded_loss(Decoded([predicted], [], None), present, None, points=16).isnan()


def test_a_query_without_a_target_counts_a_tenth() -> None:
    logits = torch.zeros(1, 3, 3)
    logits[0, 0] = torch.tensor([1.0, 0.0, 0.0])
    one, rest = math.log(math.e + 2) - 1, math.log(3)
    expected = (one + 0.1 * rest + 0.1 * rest) / 1.2
    assert class_loss(logits, pairs((0, 0, 0))).item() == pytest.approx(expected, rel=1e-5)


def test_no_object_is_the_last_class() -> None:
    logits = torch.tensor([[[0.0, 0.0, 9.0]]])
    assert class_loss(logits, pairs()).item() == pytest.approx(0, abs=1e-3)


def test_points_are_read_between_pixel_centres_and_are_zero_outside() -> None:
    values = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    points = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [1.0, 0.25]]])
    assert read_points(values, points)[0, 0].tolist() == pytest.approx([0, 1, 1.5, 0.5])


def test_three_quarters_of_the_points_are_near_the_edge_of_the_mask() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(-8, 8, 64).expand(1, 64, 64)  # the edge is at x = 0.5
    points = uncertain_points(ramp, count=400)
    assert points.shape == (1, 400, 2)
    uncertain, others = points[0, :300, 0], points[0, 300:, 0]
    assert (uncertain - 0.5).abs().max() < 0.2  # the nearest 300 of 1200: about an eighth on either side
    assert (others - 0.5).abs().max() > 0.4


def test_the_mask_loss_of_an_undecided_mask_is_as_worked_out_by_hand() -> None:
    entropy, dice = mask_losses(torch.zeros(2, 8, 8), torch.ones(2, 16, 16), points=32)
    # near the border the interpolated mask is less than 1
    assert entropy.item() == pytest.approx(2 * math.log(2), rel=1e-5)
    assert dice.item() == pytest.approx(2 * (1 - (32 + 1) / (16 + 32 + 1)), abs=0.05)


def test_every_term_has_its_published_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    one = torch.tensor(1.0)
    monkeypatch.setattr(criterion, "class_loss", lambda *_: one)
    monkeypatch.setattr(criterion, "mask_losses", lambda *_, **__: (10 * one, 100 * one))
    monkeypatch.setattr(criterion, "generalised_iou", lambda *_: 1 - 1000 * one)
    present = targets([[True]])
    predicted = Prediction(torch.zeros(1, 1, 2), present.boxes + 0.25, torch.zeros(1, 1, 4, 4))
    # class 4, box L1 5 (off by 1 in total), mask 5, Dice 5, generalised IoU 2; all but the class divided by the count
    loss = prediction_loss(predicted, present, pairs((0, 0, 0)), count=2, points=16)
    assert loss.item() == pytest.approx(4 + (5 * 1 + 5 * 10 + 5 * 100 + 2 * 1000) / 2)


def record_losses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """Return the list to which the number of queries and the count of every loss are appended."""
    calls: list[tuple[int, float]] = []

    def prediction_loss(predicted: Prediction, *_: object, count: float, points: int) -> Tensor:
        calls.append((predicted.classes.shape[1], count))
        return predicted.classes.sum() * 0

    monkeypatch.setattr(criterion, "prediction_loss", prediction_loss)
    monkeypatch.setattr(criterion, "match", lambda predictions, *_, **__: [None] * len(predictions))
    return calls


def test_all_predictions_are_compared_with_the_targets_and_noised_ones_after_the_first_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from benchbench_models.mask_dino.denoising import noise_targets

    present = targets([[True, True, False], [True, False, False]])
    noised = noise_targets(present)
    assert noised is not None
    predicted, noised_predicted = prediction(queries=5), prediction(queries=7)
    calls = record_losses(monkeypatch)
    decoded_loss(Decoded([predicted] * 4, [noised_predicted] * 4, None), present, noised, points=8)
    assert calls == [(5, 3)] * 4 + [(7, 3 * 50)] * 3
    calls.clear()
    decoded_loss(Decoded([predicted] * 4, [noised_predicted] * 4, predicted), present, noised, points=8)
    # the proposals of selected queries are trained as well, and the initial noised queries
    assert calls == [(5, 3)] * 5 + [(7, 3 * 50)] * 4


def test_the_count_of_a_batch_without_targets_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = record_losses(monkeypatch)
    decoded_loss(Decoded([prediction()], [], None), targets([[False] * 3] * 2), None, points=8)
    assert calls == [(5, 1)]


def test_the_matching_weights_are_those_of_the_loss() -> None:
    assert (matcher.CLASS, matcher.MASK, matcher.DICE, matcher.BOX, matcher.IOU) == (4, 5, 5, 5, 2)
