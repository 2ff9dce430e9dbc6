"""The optimisers, learning rate schedules and early stopping of a protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from benchbench.spec.plugin_choice import PLUGIN_TAG, PluginOptimizer, PluginSchedule, name_or_plugin
from benchbench.spec.strict import Count, NonNegative, Positive, Probability, Strict


class Adam(Strict):
    """Adam with L2 regularisation: weight decay is added to the gradient.

    Source: Kingma and Ba 2015, arXiv:1412.6980.
    """

    name: Literal["adam"]
    lr: Positive
    """Learning rate that the schedule starts from."""
    weight_decay: NonNegative = 0.0
    """Factor of the weights that is added to their gradient."""


class AdamW(Strict):
    """Adam with decoupled weight decay.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """

    name: Literal["adamw"]
    lr: Positive
    """Learning rate that the schedule starts from."""
    weight_decay: NonNegative = 0.01
    """Fraction of the weights, times the learning rate, that each step subtracts from them."""


class Sgd(Strict):
    """Stochastic gradient descent, with Nesterov momentum if `momentum` is above 0."""

    name: Literal["sgd"]
    lr: Positive
    """Learning rate that the schedule starts from."""
    momentum: Probability = 0.0
    """Fraction of the previous update that is kept; 0 is gradient descent without momentum."""
    weight_decay: NonNegative = 0.0
    """Factor of the weights that is added to their gradient."""


Optimizer = Annotated[
    Annotated[Adam, Tag("adam")]
    | Annotated[AdamW, Tag("adamw")]
    | Annotated[Sgd, Tag("sgd")]
    | Annotated[PluginOptimizer, Tag(PLUGIN_TAG)],
    Discriminator(name_or_plugin),
]


class Constant(Strict):
    """Keep the optimiser's learning rate for the whole training."""

    name: Literal["constant"]


class Cosine(Strict):
    """Lower the learning rate after each epoch, along half a cosine from the optimiser's rate towards `min_lr`."""

    name: Literal["cosine"]
    min_lr: NonNegative = 0.0
    """Learning rate that the cosine reaches at the end of the training."""


class WarmupCosine(Strict):
    """Raise the learning rate linearly to the optimiser's rate, then lower it along half a cosine, every step."""

    name: Literal["warmup_cosine"]
    warmup_steps: Count
    """Number of optimiser steps (batches) of the linear rise."""
    min_lr: NonNegative = 0.0
    """Learning rate that the cosine reaches at the end of the training."""


class Plateau(Strict):
    """Multiply the learning rate by `factor` when the inner validation loss stops falling.

    Source: ReduceLROnPlateau of Keras, whose patience has the same meaning as that of `EarlyStopping`.
    Differs: any lower loss is an improvement. torch's ReduceLROnPlateau acts one validation later, so that its
    patience 2 is 3 here.
    """

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Factor that the learning rate is multiplied by."""
    patience: Count = 10
    """Number of inner validations in a row without a lower loss after which the learning rate is lowered. Epochs
    that `validate_every` leaves out are not counted."""
    min_lr: NonNegative = 0.0
    """Learning rate below which the schedule does not go."""


class Polynomial(Strict):
    """Lower the learning rate after each epoch: the optimiser's rate times (1 - epoch / epochs) ** power.

    Source: Chen et al. 2018, arXiv:1706.05587; nnU-Net has the power 0.9 as well.
    """

    name: Literal["polynomial"]
    power: Positive = 0.9
    """Exponent of the share of the training that is left; 1 is a straight line."""


class WarmRestarts(Strict):
    """Lower the learning rate along half a cosine, and start again from the optimiser's rate in cycles of epochs.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, as CosineAnnealingWarmRestarts of torch, every epoch.
    """

    name: Literal["warm_restarts"]
    first_cycle: Count
    """Number of epochs of the first cycle."""
    factor: Count = 1
    """Factor by which each cycle is longer than the one before."""
    min_lr: NonNegative = 0.0
    """Learning rate that each cosine goes towards."""


class OneCycle(Strict):
    """Raise the learning rate to the optimiser's rate, then lower it far below the start, along half cosines.

    Source: Smith and Topin 2018, arXiv:1708.07120; OneCycleLR of torch with two phases.
    Differs: the momentum is not changed.
    """

    name: Literal["one_cycle"]
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Fraction of all steps in which the learning rate rises."""
    start_factor: Annotated[float, Field(gt=1)] = 25.0
    """The first learning rate is the optimiser's rate divided by this number."""
    end_factor: Annotated[float, Field(gt=1)] = 1e4
    """The last learning rate is the first one divided by this number."""


Schedule = Annotated[
    Annotated[Constant, Tag("constant")]
    | Annotated[Cosine, Tag("cosine")]
    | Annotated[WarmupCosine, Tag("warmup_cosine")]
    | Annotated[Polynomial, Tag("polynomial")]
    | Annotated[WarmRestarts, Tag("warm_restarts")]
    | Annotated[OneCycle, Tag("one_cycle")]
    | Annotated[Plateau, Tag("plateau")]
    | Annotated[PluginSchedule, Tag(PLUGIN_TAG)],
    Discriminator(name_or_plugin),
]


class EarlyStopping(Strict):
    """End the training when the value named by `select` stops improving on the inner validation.

    Source: EarlyStopping of Keras and Lightning, which count in the same way.
    """

    patience: Count
    """Number of inner validations in a row without an improvement after which the training ends. Epochs that
    `validate_every` leaves out are not counted."""
