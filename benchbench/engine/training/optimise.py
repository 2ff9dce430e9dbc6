"""Optimisers, and the learning rate as a function of the step and of the validation losses so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from benchbench.contract import OptimizerPlugin, SchedulePlugin, TrainingTime
from benchbench.errors import PluginError
from benchbench.registry.extensions import build_once, extension
from benchbench.registry.faults import plugin_faults
from benchbench.registry.parameters import resolve_params
from benchbench.spec.optimisation import (
    Adam,
    AdamW,
    Constant,
    Cosine,
    OneCycle,
    Optimizer,
    Plateau,
    Polynomial,
    Schedule,
    Sgd,
    WarmRestarts,
    WarmupCosine,
)
from benchbench.spec.plugin_choice import PluginOptimizer, PluginSchedule


def build_optimizer(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimiser of torch, in its fused form, or that of a plugin.

    Raises:
        PluginError: the plugin is missing or cannot be built.
    """
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
        case PluginOptimizer():
            plugin = extension(OptimizerPlugin, optimizer.plugin)
            params = resolve_params(plugin.build, {"lr": optimizer.lr, **optimizer.params})
            with plugin_faults(plugin.name, "build()", PluginError):
                return plugin.build(list(parameters), **params)


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
    steps = steps_per_epoch * epochs
    match schedule:
        case Constant():
            rate = lr
        case Cosine():
            rate = _cosine(lr, schedule.min_lr, epoch / epochs)
        case WarmupCosine():
            rate = _warmup_cosine(schedule, lr, step, steps)
        case Polynomial():
            rate = lr * (1 - epoch / epochs) ** schedule.power
        case WarmRestarts():
            rate = _warm_restarts(schedule, lr, epoch)
        case OneCycle():
            rate = _one_cycle(schedule, lr, step, steps)
        case Plateau():
            rate = _plateau(schedule, lr, validation_losses)
        case PluginSchedule():
            time = TrainingTime(step, steps, epoch, epochs, tuple(validation_losses))
            rate = lr * _factor(schedule, time)
    return rate


def _warmup_cosine(schedule: WarmupCosine, lr: float, step: int, steps: int) -> float:
    if step < schedule.warmup_steps:
        return lr * (step + 1) / schedule.warmup_steps
    rest = max(1, steps - schedule.warmup_steps)
    return _cosine(lr, schedule.min_lr, (step - schedule.warmup_steps) / rest)


def _warm_restarts(schedule: WarmRestarts, lr: float, epoch: int) -> float:
    """Return the rate at an epoch of the cycle that it is in."""
    cycle = schedule.first_cycle
    while epoch >= cycle:
        epoch -= cycle
        cycle *= schedule.factor
    return _cosine(lr, schedule.min_lr, epoch / cycle)


def _one_cycle(schedule: OneCycle, lr: float, step: int, steps: int) -> float:
    """Return the rate of a step; the highest is that of the step at which the rise ends."""
    first = lr / schedule.start_factor
    peak = max(schedule.rise * steps - 1, 1e-9)
    if step <= peak:
        return _cosine(first, lr, step / peak)
    last = max(steps - 1 - peak, 1e-9)
    return _cosine(lr, first / schedule.end_factor, (step - peak) / last)


def _factor(schedule: PluginSchedule, time: TrainingTime) -> float:
    """Return the factor of the schedule of a plugin.

    Raises:
        PluginError: it is no number from 0 on.
    """
    plugin = extension(SchedulePlugin, schedule.plugin)
    compute = build_once(plugin.name, plugin.build, schedule.params)
    with plugin_faults(plugin.name, "the schedule", PluginError):
        factor = float(compute(time))
    if not 0 <= factor < math.inf:
        raise PluginError(
            f"schedule '{plugin.name}': found factor {factor} in step {time.step}, expected a number from 0 on;"
            " correct its plugin"
        )
    return factor


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
