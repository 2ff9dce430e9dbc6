from __future__ import annotations

import itertools
import math

import pytest
import torch
from pydantic import TypeAdapter

from benchbench.engine.training.optimise import build_optimizer, learning_rate
from benchbench.spec.optimisation import Optimizer, Schedule


def schedule(**fields: object) -> Schedule:
    return TypeAdapter(Schedule).validate_python(fields)


def rates(rule: Schedule, *, lr: float = 1.0, epochs: int = 8, losses: list[float] | None = None) -> list[float]:
    """Return the rate of every epoch's first step; an epoch has two."""
    losses = losses or [0.0] * epochs
    return [
        learning_rate(rule, lr, step=2 * epoch, steps_per_epoch=2, epochs=epochs, validation_losses=losses[:epoch])
        for epoch in range(epochs)
    ]


def torch_rates(
    scheduler: type, *, epochs: int = 8, losses: list[float] | None = None, **fields: object
) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    stepper = scheduler(optimizer, **fields)
    rates_by_epoch = []
    for epoch in range(epochs):
        rates_by_epoch.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        stepper.step(*([losses[epoch]] if losses else []))
    return rates_by_epoch


def test_cosine_agrees_with_torch() -> None:
    ours = rates(schedule(name="cosine", min_lr=0.1))
    assert ours == pytest.approx(torch_rates(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=8, eta_min=0.1))


def test_a_plateau_acts_one_validation_before_that_of_torch_with_the_same_patience() -> None:
    losses = [1.0, 1.0, 1.0, 0.5, 0.6, 0.7, 0.8, 0.9]
    ours = rates(schedule(name="plateau", factor=0.5, patience=2, min_lr=0.2), losses=losses)
    theirs = torch_rates(
        torch.optim.lr_scheduler.ReduceLROnPlateau, losses=losses, factor=0.5, patience=1, min_lr=0.2, threshold=0
    )
    assert ours == pytest.approx(theirs)
    assert len(set(ours)) == 3


def test_a_constant_rate_stays() -> None:
    assert set(rates(schedule(name="constant"), lr=0.3)) == {0.3}


def test_warmup_rises_linearly_and_then_falls_as_a_cosine() -> None:
    warmup = schedule(name="warmup_cosine", warmup_steps=4, min_lr=0.0)
    rates_by_step = [
        learning_rate(warmup, 1.0, step=step, steps_per_epoch=3, epochs=4, validation_losses=[])
        for step in range(12)
    ]
    assert rates_by_step[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates_by_step[4] == pytest.approx(1.0)
    assert rates_by_step[8] == pytest.approx((1 + math.cos(math.pi / 2)) / 2)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates_by_step[4:]))


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"name": "adam", "lr": 0.1, "weight_decay": 0.2}, torch.optim.Adam),
        ({"name": "adamw", "lr": 0.1}, torch.optim.AdamW),
        ({"name": "sgd", "lr": 0.1, "momentum": 0.9}, torch.optim.SGD),
    ],
)
def test_each_optimiser_of_torch_gets_the_values_of_the_protocol(fields: dict[str, object], kind: type) -> None:
    built = build_optimizer(TypeAdapter(Optimizer).validate_python(fields), [torch.nn.Parameter(torch.zeros(1))])
    assert type(built) is kind
    assert built.defaults["lr"] == 0.1
    assert built.defaults["weight_decay"] == {"adam": 0.2, "adamw": 0.01, "sgd": 0.0}[str(fields["name"])]
    assert built.defaults.get("momentum", 0.9) == 0.9


def test_a_step_of_gradient_descent_is_nesterovs_with_weight_decay() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    fields = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.5}
    optimizer = build_optimizer(TypeAdapter(Optimizer).validate_python(fields), [parameter])
    parameter.grad = torch.ones(1)
    optimizer.step()
    # gradient and decay 1 + 0.5 * 1; looked ahead 1.5 + 0.9 * 1.5
    assert parameter.item() == pytest.approx(1 - 0.1 * (1.5 + 0.9 * 1.5))


def test_without_momentum_gradient_descent_is_plain() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    fields = {"name": "sgd", "lr": 0.1}
    optimizer = build_optimizer(TypeAdapter(Optimizer).validate_python(fields), [parameter])
    parameter.grad = torch.ones(1)
    optimizer.step()
    assert parameter.item() == pytest.approx(0.9)


def test_a_cosine_keeps_its_rate_within_an_epoch() -> None:
    cosine = schedule(name="cosine")
    all_rates = [
        learning_rate(cosine, 1.0, step=step, steps_per_epoch=3, epochs=2, validation_losses=[])
        for step in range(6)
    ]
    assert all_rates == pytest.approx([1, 1, 1, 0.5, 0.5, 0.5])


def test_the_rate_of_the_brats20_document_falls_after_2_epochs_without_improvement() -> None:
    plateau = schedule(name="plateau", factor=0.2, patience=2, min_lr=1e-6)
    losses = [1.0, 0.9, 0.95, 0.92, 0.91, 0.9, 0.8, 0.8]
    # epochs 2 and 3 bring no lower loss than epoch 1, then 4 and 5
    assert rates(plateau, losses=losses) == pytest.approx([1, 1, 1, 1, 0.2, 0.2, 0.04, 0.04])


def test_a_plateau_waits_again_after_a_better_loss_and_stops_at_its_lowest_rate() -> None:
    plateau = schedule(name="plateau", factor=0.5, patience=2, min_lr=0.3)
    # one epoch without gain, a better one, then two and two more without gain
    losses = [1.0, 2.0, 0.5, 2.0, 2.0, 2.0, 2.0, 2.0]
    assert rates(plateau, losses=losses) == pytest.approx([1, 1, 1, 1, 1, 0.5, 0.5, 0.3])
