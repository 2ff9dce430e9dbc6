"""Optimisers, learning rate schedules and early stopping of a protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from benchbench.spec.strict import Count, NonNegative, Positive, Probability, Strict


class Adam(Strict):
    """Adam; weight decay enters the gradient.

    Source: Kingma and Ba 2015, arXiv:1412.6980.
    """

    name: Literal["adam"]
    lr: Positive
    weight_decay: NonNegative = 0.0


class AdamW(Strict):
    """Adam with decoupled weight decay.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """

    name: Literal["adamw"]
    lr: Positive
    weight_decay: NonNegative = 0.01


class Sgd(Strict):
    """Stochastic gradient descent; Nesterov's form where there is momentum."""

    name: Literal["sgd"]
    lr: Positive
    momentum: Probability = 0.0
    weight_decay: NonNegative = 0.0


Optimizer = Annotated[Adam | AdamW | Sgd, Field(discriminator="name")]


class Constant(Strict):
    """The optimiser's learning rate throughout."""

    name: Literal["constant"]


class Cosine(Strict):
    """Half a cosine from the optimiser's learning rate at the first epoch towards `min_lr`."""

    name: Literal["cosine"]
    min_lr: NonNegative = 0.0


class WarmupCosine(Strict):
    """A linear rise over `warmup_steps` optimiser steps, then half a cosine, step by step."""

    name: Literal["warmup_cosine"]
    warmup_steps: Count
    min_lr: NonNegative = 0.0


class Plateau(Strict):
    """Times `factor` whenever the validation loss has not fallen for more than `patience` epochs."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 10
    min_lr: NonNegative = 0.0


Schedule = Annotated[Constant | Cosine | WarmupCosine | Plateau, Field(discriminator="name")]


class EarlyStopping(Strict):
    """Ends a run when `select` has not improved on the inner validation for more than `patience` epochs."""

    patience: Count
