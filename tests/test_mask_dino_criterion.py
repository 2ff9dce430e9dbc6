"""Matching against brute force, and the loss by hand."""

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


def as_set(found: Pairs) -> set[tuple[int, int, int]]:
    return set(zip(*(each.tolist() for each in found), strict=True))


def test_the_pairing_is_the_cheapest_of_all() -> None:
    said, wanted = prediction(), targets([[True, False, True], [True, True, True]])
    torch.manual_seed(7)
    (found,) = match([said], wanted, points=64)
    torch.manual_seed(7)
    costs = pair_costs(said, wanted, wanted.masks.float(), points=64)
    cheapest = set()
    for image, labels in enumerate(([0, 2], [0, 1, 2])):
        choices = itertools.permutations(range(5), len(labels))
        best = min(
            choices, key=lambda chosen: sum(costs[image, q, c] for q, c in zip(chosen, labels, strict=True))
        )
        cheapest |= {(image, query, label) for query, label in zip(best, labels, strict=True)}
    assert as_set(found) == cheapest


def test_an_image_without_targets_has_no_pairs() -> None:
    found = match([prediction()], targets([[False] * 3, [False, True, False]]), points=16)
    assert {image for image, _, _ in as_set(found[0])} == {1}
    assert as_set(match([prediction()], targets([[False] * 3] * 2), points=16)[0]) == set()


def test_the_cost_of_a_class_is_that_of_sigmoids_not_of_the_softmax_that_is_trained() -> None:
    # by softmax the second query is surer of class 0: 0.98 against 0.38; by sigmoid the first: 0.99 against 0.73
    said = prediction(images=1, queries=2, classes=1)
    said = Prediction(torch.tensor([[[5.0, 5.5], [1.0, -3.0]]]), said.boxes[:, :1].expand(-1, 2, -1), said.masks)
    said = said._replace(masks=said.masks[:, :1].expand(-1, 2, -1, -1))
    assert said.classes.softmax(-1)[0, 1, 0] > said.classes.softmax(-1)[0, 0, 0]
    (found,) = match([said], targets([[True]]), points=16)
    assert as_set(found) == {(0, 0, 0)}


def test_the_cost_of_an_undecided_query_is_worked_out_by_hand() -> None:
    wanted = region_targets(torch.ones(1, 1, 64, 64, dtype=torch.bool), classes=1)
    said = Prediction(torch.zeros(1, 1, 2), torch.tensor([[[0.5, 0.5, 0.5, 1.0]]]), torch.zeros(1, 1, 8, 8))
    cost = pair_costs(said, wanted, wanted.masks.float(), points=4000).item()
    named = {
        "class": 4 * (0.25 - 0.75) / 4 * math.log(2),
        "mask": 5 * math.log(2),
        "dice": 5 * (1 - 1 / 1.5),  # but for the border, where the mask is read as less than 1
        "box": 5 * 0.5,
        "iou": -2 * 0.5,
    }
    assert cost == pytest.approx(sum(named.values()), abs=0.05)


def test_a_number_that_is_none_ends_in_a_loss_that_is_none_not_in_an_error() -> None:
    said = prediction()
    said = said._replace(masks=said.masks * math.nan)
    wanted = targets([[True, True, True], [True, False, False]])
    assert decoded_loss(Decoded([said], [], None), wanted, None, points=16).isnan()


def test_a_query_that_answers_for_nothing_counts_a_tenth() -> None:
    logits = torch.zeros(1, 3, 3)
    logits[0, 0] = torch.tensor([1.0, 0.0, 0.0])
    one, rest = math.log(math.e + 2) - 1, math.log(3)
    expected = (one + 0.1 * rest + 0.1 * rest) / 1.2
    assert class_loss(logits, pairs((0, 0, 0))).item() == pytest.approx(expected, rel=1e-5)


def test_no_object_is_the_last_class() -> None:
    sure = torch.tensor([[[0.0, 0.0, 9.0]]])
    assert class_loss(sure, pairs()).item() == pytest.approx(0, abs=1e-3)


def test_points_are_read_between_pixel_centres_and_are_zero_outside() -> None:
    values = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    points = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [1.0, 0.25]]])
    assert read_points(values, points)[0, 0].tolist() == pytest.approx([0, 1, 1.5, 0.5])


def test_three_quarters_of_the_points_lie_near_the_edge_of_the_mask() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(-8, 8, 64).expand(1, 64, 64)  # the edge is at x = 0.5
    points = uncertain_points(ramp, count=400)
    assert points.shape == (1, 400, 2)
    chosen, drawn = points[0, :300, 0], points[0, 300:, 0]
    assert (chosen - 0.5).abs().max() < 0.2  # the nearest 300 of 1200: about an eighth on either side
    assert (drawn - 0.5).abs().max() > 0.4


def test_the_mask_loss_of_an_undecided_mask_is_worked_out_by_hand() -> None:
    entropy, dice = mask_losses(torch.zeros(2, 8, 8), torch.ones(2, 16, 16), points=32)
    # at a point near the border the mask itself is read as less than 1
    assert entropy.item() == pytest.approx(2 * math.log(2), rel=1e-5)
    assert dice.item() == pytest.approx(2 * (1 - (32 + 1) / (16 + 32 + 1)), abs=0.05)


def test_every_term_has_its_published_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    one = torch.tensor(1.0)
    monkeypatch.setattr(criterion, "class_loss", lambda *_: one)
    monkeypatch.setattr(criterion, "mask_losses", lambda *_, **__: (10 * one, 100 * one))
    monkeypatch.setattr(criterion, "generalised_iou", lambda *_: 1 - 1000 * one)
    wanted = targets([[True]])
    said = Prediction(torch.zeros(1, 1, 2), wanted.boxes + 0.25, torch.zeros(1, 1, 4, 4))
    # class 4, box L1 5 (off by 1 in all), mask 5, Dice 5, generalised IoU 2; all but the class by the count
    loss = prediction_loss(said, wanted, pairs((0, 0, 0)), count=2, points=16)
    assert loss.item() == pytest.approx(4 + (5 * 1 + 5 * 10 + 5 * 100 + 2 * 1000) / 2)


def record(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """The queries and the count of each prediction that a loss is taken of."""
    seen: list[tuple[int, float]] = []

    def prediction_loss(said: Prediction, *_: object, count: float, points: int) -> Tensor:
        seen.append((said.classes.shape[1], count))
        return said.classes.sum() * 0

    monkeypatch.setattr(criterion, "prediction_loss", prediction_loss)
    monkeypatch.setattr(criterion, "match", lambda said, *_, **__: [None] * len(said))
    return seen


def test_every_prediction_is_held_against_the_targets_the_noised_from_the_first_layer_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from benchbench_models.mask_dino.denoising import noise_targets

    wanted = targets([[True, True, False], [True, False, False]])
    noised = noise_targets(wanted)
    assert noised is not None
    mine, other = prediction(queries=5), prediction(queries=7)
    seen = record(monkeypatch)
    decoded_loss(Decoded([mine] * 4, [other] * 4, None), wanted, noised, points=8)
    assert seen == [(5, 3)] * 4 + [(7, 3 * 50)] * 3
    seen.clear()
    decoded_loss(Decoded([mine] * 4, [other] * 4, mine), wanted, noised, points=8)
    assert seen == [(5, 3)] * 5 + [(7, 3 * 50)] * 4  # chosen queries are trained too, and the first noised ones


def test_the_count_of_a_batch_without_targets_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = record(monkeypatch)
    decoded_loss(Decoded([prediction()], [], None), targets([[False] * 3] * 2), None, points=8)
    assert seen == [(5, 1)]


def test_the_matching_weights_are_those_of_the_loss() -> None:
    assert (matcher.CLASS, matcher.MASK, matcher.DICE, matcher.BOX, matcher.IOU) == (4, 5, 5, 5, 2)
