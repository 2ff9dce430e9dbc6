"""Logits from the predictions of many queries, to be decided by a threshold or an argmax."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchbench_models.mask_dino.heads import Prediction
from benchbench_models.mask_dino.scores import class_probabilities, pixel_logits


def class_logits(*probabilities: float) -> Tensor:
    """Return the logits of a query with these probabilities; the loss makes no object ten times rarer."""
    no_object = 1 - sum(probabilities)
    return torch.tensor([*probabilities, 0.1 * no_object]).clamp(min=1e-30).log()


def scores(classes: list[Tensor], masks: list[float]) -> Tensor:
    """Return the probability of each class at the one pixel."""
    mask_logits = torch.tensor(masks).clamp(1e-6, 1 - 1e-6).logit().view(1, -1, 1, 1)
    prediction = Prediction(torch.stack(classes)[None], torch.zeros(1, len(masks), 4), mask_logits)
    return pixel_logits(prediction, (1, 1)).sigmoid()[0, :, 0, 0]


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=4), st.floats(0.05, 0.95))
def test_the_weight_of_no_object_is_reversed(shares: list[float], no_object: float) -> None:
    probabilities = torch.tensor(shares) / sum(shares) * (1 - no_object)
    restored = class_probabilities(class_logits(*probabilities.tolist())[None, None])[0, 0]
    torch.testing.assert_close(restored, probabilities, atol=1e-5, rtol=1e-4)


def test_the_minimum_of_the_weighted_loss_is_at_the_true_probability() -> None:
    # a region in one image of five: without the reversal, the minimum would be at 0.71, above one half
    logits = torch.zeros(1, 1, 2, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=50)

    def closure() -> Tensor:
        optimiser.zero_grad()
        log = logits.log_softmax(-1)[0, 0]
        loss = -(0.2 * log[0] + 0.8 * 0.1 * log[1])
        loss.backward()
        return loss

    optimiser.step(closure)
    assert logits.detach().softmax(-1)[0, 0, 0].item() == pytest.approx(0.2 / 0.28, abs=1e-3)
    assert class_probabilities(logits.detach()).item() == pytest.approx(0.2, abs=1e-3)


def test_one_sure_query_gives_its_mask() -> None:
    score = scores([class_logits(1.0), class_logits(0.0)], [0.7, 0.9])
    assert score.item() == pytest.approx(0.7, abs=1e-4)


def test_a_region_that_is_probably_absent_has_a_low_score_whatever_its_mask() -> None:
    assert scores([class_logits(0.4)], [0.99]).item() == pytest.approx(0.4 * 0.99, abs=1e-4)


def test_probabilities_of_queries_that_exclude_each_other_add_up() -> None:
    score = scores([class_logits(0.45), class_logits(0.45)], [0.9, 0.8])
    assert score.item() == pytest.approx(0.45 * 0.9 + 0.45 * 0.8, abs=1e-4)


def test_probabilities_above_one_in_total_become_weights_so_that_repetition_gains_nothing() -> None:
    once = scores([class_logits(1.0)], [0.3])
    repeated = scores([class_logits(1.0)] * 40, [0.3] * 40)
    assert repeated.item() == pytest.approx(once.item(), abs=1e-4)
    assert scores([class_logits(0.9), class_logits(0.6)], [0.8, 0.2]).item() == pytest.approx(0.56, abs=1e-4)


def test_overlapping_regions_are_decided_separately() -> None:
    both = scores([class_logits(0.98, 0.0), class_logits(0.0, 0.98)], [0.9, 0.8])
    assert both.tolist() == pytest.approx([0.98 * 0.9, 0.98 * 0.8], abs=1e-3)


def test_under_a_softmax_the_largest_logit_is_the_largest_score() -> None:
    background, organ = class_logits(0.99, 0.0), class_logits(0.0, 0.99)
    prediction = Prediction(
        torch.stack([background, organ])[None],
        torch.zeros(1, 2, 4),
        torch.tensor([[[[2.0, -1.0]], [[-2.0, 1.0]]]]),
    )
    assert pixel_logits(prediction, (1, 2)).argmax(1).tolist() == [[[0, 1]]]


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_the_published_score_is_not_bounded_but_this_one_is_a_probability(seed: int) -> None:
    torch.manual_seed(seed)
    prediction = Prediction(torch.randn(1, 100, 3), torch.rand(1, 100, 4), torch.randn(1, 100, 4, 4) + 1)
    published = torch.einsum(
        "bqc,bqhw->bchw", prediction.classes.softmax(-1)[..., :-1], prediction.masks.sigmoid()
    )
    assert published.max() > 5
    logits = pixel_logits(prediction, (8, 8))
    assert logits.shape == (1, 2, 8, 8)
    assert logits.abs().max() <= math.log(1e6)
    assert 0 < logits.sigmoid().min() <= logits.sigmoid().max() < 1
