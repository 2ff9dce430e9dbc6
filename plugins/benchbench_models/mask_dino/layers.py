"""The layers that encoder, decoder and heads are built of."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor, nn

WIDTH = 256
"""Channels of every map, query and mask embedding."""


class Perceptron(nn.Sequential):
    """Linear layers with a ReLU between them."""

    def __init__(self, *widths: int) -> None:
        layers: list[nn.Module] = []
        for in_features, out_features in pairwise(widths):
            layers += [nn.Linear(in_features, out_features), nn.ReLU()]
        super().__init__(*layers[:-1])


class FeedForward(nn.Module):
    """A residual layer of two linear maps, whose sum with the input is normalised."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(WIDTH, hidden)
        self.linear2 = nn.Linear(hidden, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.linear2(F.relu(self.linear1(x))))
