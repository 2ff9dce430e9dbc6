"""Wrappers that turn the outputs of MONAI's networks into those that a model plugin must return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class FirstOutput(nn.Module):
    """Returns the first output of a network that returns a list."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[0]


class OutputList(nn.Module):
    """Returns as a list the tuple that a network returns in training."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        outputs = self.network(x)
        return list(outputs) if isinstance(outputs, tuple) else outputs


class SupervisedDynUNet(nn.Module):
    """Returns the logits of a DynUNet's heads as they are, neither enlarged nor stacked.

    Every block has one name, where MONAI registers it twice and doubles the size of a checkpoint.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        skip_layers = network.skip_layers
        del network.skip_layers
        network.__dict__["skip_layers"] = skip_layers  # an attribute that torch does not register
        self.network = network

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        logits = self.network.output_block(self.network.skip_layers(x))
        if self.training and self.network.deep_supervision:
            return [logits, *self.network.heads]
        return logits
