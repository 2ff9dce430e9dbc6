"""The prediction of a query: its class, its box and its mask."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchbench_models.mask_dino.boxes import box_logits
from benchbench_models.mask_dino.layers import WIDTH, Perceptron


class Prediction(NamedTuple):
    """The predictions of Q queries for each of B images."""

    classes: Tensor
    """Logits (B, Q, classes + 1); the last one is that of no object."""
    boxes: Tensor
    """(B, Q, 4): centre and size as fractions of the image."""
    masks: Tensor
    """Logits (B, Q, H, W)."""

    def queries(self, part: slice) -> Prediction:
        """Return the predictions of some of the queries."""
        return Prediction(self.classes[:, part], self.boxes[:, part], self.masks[:, part])


class Heads(nn.Module):
    """The heads, which all decoder layers share."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.to_class = nn.Linear(WIDTH, classes + 1)
        self.to_mask = Perceptron(WIDTH, WIDTH, WIDTH, WIDTH)
        self.to_box = Perceptron(WIDTH, WIDTH, WIDTH, 4)
        nn.init.zeros_(self.to_box[-1].weight)
        nn.init.zeros_(self.to_box[-1].bias)

    def predict(self, content: Tensor, boxes: Tensor, mask_map: Tensor) -> Prediction:
        """Return the prediction from content (B, Q, C), which is normalised, and the boxes as they are."""
        content = self.norm(content)
        masks = torch.einsum("bqc,bchw->bqhw", self.to_mask(content), mask_map)
        return Prediction(self.to_class(content), boxes, masks)

    def refine(self, content: Tensor, boxes: Tensor) -> Tensor:
        """Return boxes (B, Q, 4) corrected from the content (B, Q, C)."""
        return (self.to_box(content) + box_logits(boxes)).sigmoid()
