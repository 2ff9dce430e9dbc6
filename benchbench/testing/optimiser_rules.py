"""Rules for the optimiser and for the schedule of a plugin."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchbench.contract import TrainingTime
from benchbench.testing.extension_candidate import SHARED, ExtensionCandidate
from benchbench.testing.report import Rule, fault

_STEPS = 100


def _train(candidate: ExtensionCandidate, *, steps: int, rate: float | None = None) -> tuple[list[float], Tensor]:
    """Return the losses of a regression on eight points, and the weights after the last step."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    points = torch.randn(8, 3)
    values = points.sum(1, keepdim=True)
    optimizer = candidate.build(list(model.parameters()))
    losses = []
    for _ in range(steps):
        if rate is not None:
            for group in optimizer.param_groups:
                group["lr"] = rate
        optimizer.zero_grad()
        loss = (model(points) - values).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, model.weight.detach().clone()


def learning_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    losses, _ = _train(candidate, steps=_STEPS)
    if not math.isfinite(losses[-1]) or losses[-1] >= losses[0] / 2:
        finding = f"a regression has loss {losses[0]:.4g}, and {losses[-1]:.4g} after {_STEPS} steps"
        yield fault(finding, "less than half", "follow the gradient, or check it with --set lr=...")


def rate_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    _, still = _train(candidate, steps=3, rate=0.0)
    _, start = _train(candidate, steps=0)
    if not torch.allclose(still, start):
        advice = 'use group["lr"] of its parameter groups, which the schedule sets before each step'
        yield fault("weights move with a learning rate of 0", "weights that stay", advice)


def state_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = candidate.build(list(model.parameters()))
    copied = copy.deepcopy(model)
    for number in range(4):
        if number == 2:
            copied.load_state_dict(model.state_dict())
            resumed = candidate.build(list(copied.parameters()))
            resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        _step(model, optimizer)
        if number >= 2:
            _step(copied, resumed)
    if not torch.equal(model.weight, copied.weight):
        advice = "keep everything that a step depends on in the state dict"
        yield fault("a resumed optimiser takes other steps", "the same steps", advice)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(1, 2)).square().sum().backward()
    optimizer.step()


def factor_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    steps, epochs = 40, 4
    for step in range(steps):
        epoch = step * epochs // steps
        losses = tuple(1 / (1 + number) for number in range(epoch))
        time = TrainingTime(step, steps, epoch, epochs, losses)
        first, again = float(candidate.build()(time)), float(candidate.build()(time))
        if not 0 <= first < math.inf:
            yield fault(f"step {step}: factor {first}", "a number from 0 on", "correct it")
            return
        if first != again:
            yield fault(f"step {step}: factors {first:g} and {again:g}", "one factor", "keep no state")
            return


OPTIMISER_RULES = (
    Rule("learns", "a regression gets better", learning_faults),
    Rule("rate", "it uses the rate of its parameter groups", rate_faults),
    Rule("resumes", "its state dict holds all that steps depend on", state_faults),
    *SHARED,
)
SCHEDULE_RULES = (Rule("factor", "it is a number from 0 on, without state", factor_faults), *SHARED)
