"""Optimisers, and the learning rate as a function of the step and of the validation losses so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from benchbench.spec.optimisation import (
    Adam,
    AdamW,
    Constant,
    Cosine,
    Optimizer,
    Plateau,
    Schedule,
    Sgd,
    WarmupCosine,
)


def build_optimizer(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimiser of torch, in its fused form."""
    match optimizer:
        case Adam():
            return torch.optim.Adam(parameters, lr=optimizer.lr, weight_decay=optimizer.weight_decay, fused=True)
        case AdamW():
            return torch.optim.AdamW(parameters, lr=optimizer.lr, weight_decay=optimizer.weight_decay, fused=True)
        case Sgd():
            return torch.optim.SGD(
                parameters,
                lr=optimizer.lr,
                momentum=optimizer.momentum,
                nesterov=optimizer.momentum > 0,
                weight_decay=optimizer.weight_decay,
                fused=True,
            )


def learning_rate(
    schedule: Schedule,
    lr: float,
    *,
    step: int,
    steps_per_epoch: int,
    epochs: int,
    validation_losses: Sequence[float],
) -> float:
    """Return the learning rate of an optimiser step, counted from 0 over the whole run.

    `validation_losses` has an entry for every inner validation so far. torch's schedulers count calls of `step()`
    instead, so a resumed run would have to save and load their counters.
    """
    epoch = step // steps_per_epoch
    match schedule:
        case Constant():
            return lr
        case Cosine():
            return _cosine(lr, schedule.min_lr, epoch / epochs)
        case WarmupCosine():
            if step < schedule.warmup_steps:
                return lr * (step + 1) / schedule.warmup_steps
            rest = max(1, steps_per_epoch * epochs - schedule.warmup_steps)
            return _cosine(lr, schedule.min_lr, (step - schedule.warmup_steps) / rest)
        case Plateau():
            return _plateau(schedule, lr, validation_losses)


def _cosine(lr: float, min_lr: float, progress: float) -> float:
    return min_lr + (lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2


def _plateau(schedule: Plateau, lr: float, validation_losses: Sequence[float]) -> float:
    best, waited = math.inf, 0
    for loss in validation_losses:
        if loss < best:
            best, waited = loss, 0
            continue
        waited += 1
        if waited >= schedule.patience:
            lr, waited = max(schedule.min_lr, lr * schedule.factor), 0
    return lr
