"""What a query says: which class it is, where its box is and which pixels are its."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchbench_models.mask_dino.boxes import box_logits
from benchbench_models.mask_dino.layers import WIDTH, Perceptron


class Prediction(NamedTuple):
    """What Q queries say of each of B images."""

    classes: Tensor
    """Logits (B, Q, classes + 1); the last is that of no object."""
    boxes: Tensor
    """(B, Q, 4): centre and size in shares of the image."""
    masks: Tensor
    """Logits (B, Q, H, W)."""

    def queries(self, chosen: slice) -> Prediction:
        """The same of some queries."""
        return Prediction(self.classes[:, chosen], self.boxes[:, chosen], self.masks[:, chosen])


class Heads(nn.Module):
    """The heads, one set for every decoder layer: their tensors are held once."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.to_class = nn.Linear(WIDTH, classes + 1)
        self.to_mask = Perceptron(WIDTH, WIDTH, WIDTH, WIDTH)
        self.to_box = Perceptron(WIDTH, WIDTH, WIDTH, 4)
        nn.init.zeros_(self.to_box[-1].weight)
        nn.init.zeros_(self.to_box[-1].bias)

    def predict(self, content: Tensor, boxes: Tensor, mask_map: Tensor) -> Prediction:
        """Normalises the content (B, Q, C), also where that has been done before; passes the boxes on."""
        content = self.norm(content)
        masks = torch.einsum("bqc,bchw->bqhw", self.to_mask(content), mask_map)
        return Prediction(self.to_class(content), boxes, masks)

    def refine(self, content: Tensor, boxes: Tensor) -> Tensor:
        """Boxes (B, Q, 4) moved as the content says."""
        return (self.to_box(content) + box_logits(boxes)).sigmoid()
