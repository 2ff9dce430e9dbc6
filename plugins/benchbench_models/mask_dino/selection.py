"""The queries that the decoder starts from: learned, or selected among the pixels of the encoder's maps.

Source: Li et al. 2023, arXiv:2206.02777, section 3.3; Zhu et al. 2021, arXiv:2010.04159, A.4.
Differs: places are ranked by how much more likely any class is than no object. The source, which offers the
selection only without such a class, ranks by the largest class logit.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchbench_models.mask_dino.boxes import box_logits, mask_boxes
from benchbench_models.mask_dino.deformable import Memory
from benchbench_models.mask_dino.heads import Heads, Prediction
from benchbench_models.mask_dino.layers import WIDTH
from benchbench_models.mask_dino.pixel_decoder import pixel_centres


class InitialQueries(NamedTuple):
    """The queries that the decoder starts from."""

    content: Tensor
    """Features (B, Q, C)."""
    anchors: Tensor
    """Boxes (B, Q, 4), before the sigmoid."""
    proposed: Prediction | None
    """Predictions at the selected places, which are trained as well; None where queries are learned."""


class LearnedQueries(nn.Module):
    """The same queries for every image."""

    def __init__(self, queries: int) -> None:
        super().__init__()
        self.content = nn.Embedding(queries, WIDTH)
        self.anchors = nn.Embedding(queries, 4)

    def forward(self, memory: Memory, heads: Heads, mask_map: Tensor) -> InitialQueries:  # noqa: ARG002 as below
        batch = len(memory.tokens)
        content = self.content.weight.expand(batch, -1, -1)
        anchors = self.anchors.weight.expand(batch, -1, -1)
        return InitialQueries(content, anchors, None)


class SelectedQueries(nn.Module):
    """The places of the memory where an object is most likely, with the predicted box or that of the mask."""

    def __init__(self, queries: int, *, from_masks: bool) -> None:
        super().__init__()
        self.queries = queries
        self.from_masks = from_masks
        self.project = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, memory: Memory, heads: Heads, mask_map: Tensor) -> InitialQueries:
        proposals, usable = propose_boxes(memory)
        content = self.norm(self.project(memory.tokens * usable[:, None]))
        *classes, no_object = heads.to_class(content).unbind(-1)
        object_logit = torch.stack(classes, -1).logsumexp(-1) - no_object  # (B, S)
        places = object_logit.topk(self.queries, dim=1).indices[..., None]
        anchors = (heads.to_box(content) + proposals).gather(1, places.expand(-1, -1, 4))
        content = content.gather(1, places.expand(-1, -1, WIDTH))
        proposed = heads.predict(content, anchors.sigmoid(), mask_map)
        if self.from_masks:
            anchors = box_logits(mask_boxes(proposed.masks > 0))
        return InitialQueries(content.detach(), anchors.detach(), proposed)


def propose_boxes(memory: Memory) -> tuple[Tensor, Tensor]:
    """Return a box around every pixel of the memory, (S, 4) before the sigmoid, and which are usable, bool (S).

    The sides are 0.05 of the image on the first map and twice as long on each following one. A box of which a
    number is within 0.01 of 0 or 1 is not usable; it is set to infinity.
    """
    device = memory.tokens.device
    boxes = []
    for level, size in enumerate(memory.sizes):
        centres = pixel_centres(size, device=device)
        boxes.append(torch.cat([centres, torch.full_like(centres, 0.05 * 2**level)], -1))
    proposals = torch.cat(boxes)
    usable = ((proposals > 0.01) & (proposals < 0.99)).all(-1)
    return torch.logit(proposals).masked_fill(~usable[:, None], torch.inf), usable
