"""Schedules, gradient accumulation and averaged weights, against torch's own and values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from benchbench.engine.training.optimise import learning_rate
from benchbench.engine.training.train import Training
from benchbench.engine.training.weight_average import WeightAverage
from benchbench.spec.optimisation import OneCycle, Polynomial, Schedule, WarmRestarts
from benchbench.spec.protocol import Protocol

EPOCHS, STEPS = 10, 4


def rates(schedule: Schedule) -> list[float]:
    """The rate of every step of ten epochs of four steps, with an optimiser's rate of 1."""
    return [
        learning_rate(schedule, 1.0, step=step, steps_per_epoch=STEPS, epochs=EPOCHS, validation_losses=[])
        for step in range(EPOCHS * STEPS)
    ]


def test_polynomial_falls_with_the_share_that_is_left() -> None:
    straight = rates(Polynomial(name="polynomial", power=1))
    assert straight == pytest.approx([1 - epoch / 10 for epoch in range(10) for _ in range(STEPS)])
    assert rates(Polynomial(name="polynomial"))[20] == pytest.approx(0.5**0.9)  # epoch 5 of 10, nnU-Net's power


@pytest.mark.parametrize("factor", [1, 2])
def test_warm_restarts_are_those_of_torch(factor: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, T_mult=factor, eta_min=0.1)
    ours = rates(WarmRestarts(name="warm_restarts", first_cycle=2, factor=factor, min_lr=0.1))
    for epoch in range(EPOCHS):
        assert ours[epoch * STEPS] == pytest.approx(theirs.get_last_lr()[0])
        assert len(set(ours[epoch * STEPS : (epoch + 1) * STEPS])) == 1
        optimizer.step()
        theirs.step()
    restart = 2 * STEPS
    assert (ours[0], ours[restart]) == (1, 1)


@pytest.mark.parametrize("rise", [0.3, 0.5])
def test_one_cycle_is_that_of_torch(rise: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=EPOCHS * STEPS, pct_start=rise, cycle_momentum=False
    )
    for rate in rates(OneCycle(name="one_cycle", rise=rise)):
        assert rate == pytest.approx(theirs.get_last_lr()[0], rel=1e-6)
        optimizer.step()
        if theirs.last_epoch < EPOCHS * STEPS - 1:
            theirs.step()


def test_the_average_is_that_of_its_formula() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = WeightAverage(model, decay=0.9)
    expected = 0.0
    for steps, weight in enumerate((10.0, 20.0, 5.0)):
        with torch.no_grad():
            model.weight.fill_(weight)
        average.update(model, steps=steps)
        decay = min(0.9, (1 + steps) / (10 + steps))
        expected = decay * expected + (1 - decay) * weight
    assert float(average.weights["weight"]) == pytest.approx(expected)
    assert expected == pytest.approx(0.25 * (2 / 11 * 9 + 9 / 11 * 20) + 0.75 * 5)  # 9 = 0.9 * 10
    with average.in_place_of(model):
        assert model.weight.item() == pytest.approx(expected)
        assert float(average.replaced["weight"]) == 5
    assert model.weight.item() == 5
    with pytest.raises(ValueError, match="another network"):
        average.load({"other": torch.zeros(1)})


class Samples:
    """Eight images of 8 x 8 pixels with a bright square, as `Training` takes them."""

    device = index_device = torch.device("cpu")
    cases = ()

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.zeros(8, 8, 8, dtype=torch.uint8)
        self.labels[:, 2:6, 2:6] = 1
        self.images = self.labels[:, None].float() + 0.3 * torch.randn(8, 1, 8, 8, generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, numbers: torch.Tensor, **_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return self.images[numbers], self.labels[numbers]

    def mark(self, labels: torch.Tensor, numbers: torch.Tensor, **_: Any) -> torch.Tensor:
        return labels


def protocol(**changes: Any) -> Protocol:
    fields = {
        "patch": (8, 8),
        "epochs": 3,
        "batch": 4,
        "optimizer": {"name": "sgd", "lr": 0.1},
        "loss": "bce",
    }
    return Protocol.model_validate({**fields, **changes})


def train(monkeypatch: pytest.MonkeyPatch, epochs: int, settings: Protocol) -> Training:
    training = start(monkeypatch, settings)
    for epoch in range(epochs):
        training.run_epoch(torch.Generator().manual_seed(epoch), progress=lambda _: None)
    return training


def start(monkeypatch: pytest.MonkeyPatch, settings: Protocol) -> Training:
    torch.manual_seed(0)
    row = {"validation_loss": 1.0, "validation_dice_case": 0.5}
    monkeypatch.setattr(Training, "_validate", lambda *_: dict(row))
    samples: Any = Samples()
    return Training(nn.Conv2d(1, 1, 3, padding=1), samples, samples, settings, regions=("square",))


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(
    monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    whole = train(monkeypatch, 2, protocol())
    parts = train(monkeypatch, 2, protocol(accumulate=accumulate))
    for name, weight in whole.model.state_dict().items():
        assert torch.allclose(weight, parts.model.state_dict()[name], atol=1e-6)
    assert [row["train_loss"] for row in parts.history] == pytest.approx(
        [row["train_loss"] for row in whole.history]
    )
    assert parts.history[0]["train_dice_pooled"] == whole.history[0]["train_dice_pooled"]


def test_the_average_is_kept_and_the_network_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = train(monkeypatch, 2, protocol())
    averaged = train(monkeypatch, 2, protocol(ema=0.5))
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, averaged.model.state_dict()[name])  # the average changes no step
    model = nn.Conv2d(1, 1, 3, padding=1)
    torch.manual_seed(0)
    model = nn.Conv2d(1, 1, 3, padding=1)
    by_hand = WeightAverage(model, decay=0.5)
    weights = []
    monkeypatch.setattr(WeightAverage, "update", record_weights(weights))
    train(monkeypatch, 1, protocol(ema=0.5))
    decays = [min(0.5, (1 + step) / (10 + step)) for step in range(2)]
    expected = by_hand.weights["weight"]
    for decay, weight in zip(decays, weights, strict=True):
        expected = decay * expected + (1 - decay) * weight
    assert torch.allclose(averaged.checkpoints[0].weights["weight"], expected, atol=1e-6)


def record_weights(weights: list[torch.Tensor]) -> Any:
    def update(self: WeightAverage, model: nn.Module, *, steps: int) -> None:
        weights.append(model.weight.detach().clone())

    return update


def test_a_training_with_an_average_resumes_as_if_it_had_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = protocol(ema=0.9, keep=3)
    whole = train(monkeypatch, 3, settings)
    saved = train(monkeypatch, 2, settings).save()
    resumed = start(monkeypatch, settings)
    resumed.load(saved)
    resumed.run_epoch(torch.Generator().manual_seed(2), progress=lambda _: None)
    for one, other in zip(whole.checkpoints, resumed.checkpoints, strict=True):
        assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
    assert math.isclose(whole.history[-1]["train_loss"], resumed.history[-1]["train_loss"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulate": 3}, "batch is 4, expected a multiple of accumulate, which is 3"),
        ({"accumulate": 2, "world_size": 2}, "accumulate is for world_size = 1, found 2 processes"),
        ({"ema": 1.0}, "less than 1"),
        ({"schedule": {"name": "polynomic"}}, "polynomic"),
        ({"schedule": {"name": "one_cycle", "rise": 1.0}}, "less than 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        protocol(**changes)


def test_new_settings_change_no_digest_of_a_protocol_without_them() -> None:
    assert not {"accumulate", "ema"} & set(protocol().settings())
    assert protocol(accumulate=2, ema=0.9).settings()["ema"] == 0.9
