"""An exponential moving average of the weights of a network in training.

Source: Polyak and Juditsky 1992, doi:10.1137/0330046; the smaller decay of the first steps is that of TensorFlow's
ExponentialMovingAverage.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of the trainable weights; running statistics stay those of the network."""

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {}
        """Name of a parameter -> its average."""
        self.replaced: dict[str, Tensor] = {}
        """Name of a parameter -> its own value, while the model has the average in its place."""
        for name, parameter in _trainable(model):
            self.weights[name] = parameter.detach().clone()

    @torch.no_grad()
    def update(self, model: nn.Module, *, steps: int) -> None:
        """Move the average towards the weights after an optimiser step that followed `steps` others."""
        decay = min(self.decay, (1 + steps) / (10 + steps))
        for name, parameter in _trainable(model):
            self.weights[name].lerp_(parameter, 1 - decay)

    @contextlib.contextmanager
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """Give the model its average for the length of the block."""
        self.replaced = {name: parameter.detach().clone() for name, parameter in _trainable(model)}
        self._copy(self.weights, model)
        try:
            yield
        finally:
            self._copy(self.replaced, model)
            self.replaced = {}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Continue from a saved average; any exception means that it is none of this network."""
        if weights.keys() != self.weights.keys():
            raise ValueError("the averaged weights are those of another network")
        self.weights = {name: tensor.clone() for name, tensor in weights.items()}

    @torch.no_grad()
    def _copy(self, weights: Mapping[str, Tensor], model: nn.Module) -> None:
        for name, parameter in _trainable(model):
            parameter.copy_(weights[name])


def _trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter
