"""From what queries say to logits that a threshold or an argmax can decide."""

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
    """Logits of a query that is that sure of each class; the loss has made no object ten times rarer."""
    nothing = 1 - sum(probabilities)
    return torch.tensor([*probabilities, 0.1 * nothing]).clamp(min=1e-30).log()


def scores(classes: list[Tensor], masks: list[float]) -> Tensor:
    """The probability of each class at the one pixel."""
    masks_ = torch.tensor(masks).clamp(1e-6, 1 - 1e-6).logit().view(1, -1, 1, 1)
    said = Prediction(torch.stack(classes)[None], torch.zeros(1, len(masks), 4), masks_)
    return pixel_logits(said, (1, 1)).sigmoid()[0, :, 0, 0]


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=4), st.floats(0.05, 0.95))
def test_the_weight_of_no_object_is_taken_back(shares: list[float], nothing: float) -> None:
    probabilities = torch.tensor(shares) / sum(shares) * (1 - nothing)
    found = class_probabilities(class_logits(*probabilities.tolist())[None, None])[0, 0]
    torch.testing.assert_close(found, probabilities, atol=1e-5, rtol=1e-4)


def test_minimising_the_weighted_loss_gives_the_true_probability_back() -> None:
    # a region there in one image of five: the loss alone would settle at 0.71, beyond one half
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
    found = scores([class_logits(1.0), class_logits(0.0)], [0.7, 0.9])
    assert found.item() == pytest.approx(0.7, abs=1e-4)


def test_a_region_that_is_hardly_there_is_not_found_however_sure_the_mask_is() -> None:
    assert scores([class_logits(0.4)], [0.99]).item() == pytest.approx(0.4 * 0.99, abs=1e-4)


def test_claims_of_queries_that_exclude_each_other_add_up() -> None:
    found = scores([class_logits(0.45), class_logits(0.45)], [0.9, 0.8])
    assert found.item() == pytest.approx(0.45 * 0.9 + 0.45 * 0.8, abs=1e-4)


def test_claims_beyond_one_whole_become_a_mean_so_that_nothing_is_gained_by_repetition() -> None:
    once = scores([class_logits(1.0)], [0.3])
    often = scores([class_logits(1.0)] * 40, [0.3] * 40)
    assert often.item() == pytest.approx(once.item(), abs=1e-4)
    assert scores([class_logits(0.9), class_logits(0.6)], [0.8, 0.2]).item() == pytest.approx(0.56, abs=1e-4)


def test_overlapping_regions_are_each_asked_by_itself() -> None:
    found = scores([class_logits(0.98, 0.0), class_logits(0.0, 0.98)], [0.9, 0.8])
    assert found.tolist() == pytest.approx([0.98 * 0.9, 0.98 * 0.8], abs=1e-3)


def test_under_a_softmax_the_largest_logit_is_the_largest_score() -> None:
    background, organ = class_logits(0.99, 0.0), class_logits(0.0, 0.99)
    said = Prediction(
        torch.stack([background, organ])[None],
        torch.zeros(1, 2, 4),
        torch.tensor([[[[2.0, -1.0]], [[-2.0, 1.0]]]]),
    )
    assert pixel_logits(said, (1, 2)).argmax(1).tolist() == [[[0, 1]]]


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_the_published_score_is_unbounded_and_ours_is_a_probability(seed: int) -> None:
    torch.manual_seed(seed)
    said = Prediction(torch.randn(1, 100, 3), torch.rand(1, 100, 4), torch.randn(1, 100, 4, 4) + 1)
    published = torch.einsum("bqc,bqhw->bchw", said.classes.softmax(-1)[..., :-1], said.masks.sigmoid())
    assert published.max() > 5
    logits = pixel_logits(said, (8, 8))
    assert logits.shape == (1, 2, 8, 8)
    assert logits.abs().max() <= math.log(1e6)
    assert 0 < logits.sigmoid().min() <= logits.sigmoid().max() < 1
