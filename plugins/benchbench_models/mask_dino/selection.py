"""The queries that the decoder starts from: learned, or chosen among what the encoder found.

Source: Li et al. 2023, arXiv:2206.02777, section 3.3; Zhu et al. 2021, arXiv:2010.04159, A.4.
Differs: places are ranked by how much likelier any class is than no object. The source, which offers the selection
only where there is no such class, ranks by the largest class logit.
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


class Start(NamedTuple):
    """What the decoder starts from."""

    content: Tensor
    """(B, Q, C)"""
    anchors: Tensor
    """Boxes (B, Q, 4), before the sigmoid."""
    proposed: Prediction | None
    """What the chosen places said, to be trained as well; None where queries are learned."""


class LearnedQueries(nn.Module):
    """The same queries for every image."""

    def __init__(self, queries: int) -> None:
        super().__init__()
        self.content = nn.Embedding(queries, WIDTH)
        self.anchors = nn.Embedding(queries, 4)

    def forward(self, memory: Memory, heads: Heads, mask_map: Tensor) -> Start:  # noqa: ARG002 as below
        batch = len(memory.tokens)
        content, anchors = (each.weight.expand(batch, -1, -1) for each in (self.content, self.anchors))
        return Start(content, anchors, None)


class ChosenQueries(nn.Module):
    """The places of the memory where an object is likeliest, with the box found there or that of its mask."""

    def __init__(self, queries: int, *, from_masks: bool) -> None:
        super().__init__()
        self.queries = queries
        self.from_masks = from_masks
        self.project = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, memory: Memory, heads: Heads, mask_map: Tensor) -> Start:
        proposals, usable = propose_boxes(memory)
        content = self.norm(self.project(memory.tokens * usable[:, None]))
        *classes, nothing = heads.to_class(content).unbind(-1)
        likelier = torch.stack(classes, -1).logsumexp(-1) - nothing  # (B, S)
        places = likelier.topk(self.queries, dim=1).indices[..., None]
        anchors = (heads.to_box(content) + proposals).gather(1, places.expand(-1, -1, 4))
        content = content.gather(1, places.expand(-1, -1, WIDTH))
        proposed = heads.predict(content, anchors.sigmoid(), mask_map)
        if self.from_masks:
            anchors = box_logits(mask_boxes(proposed.masks > 0))
        return Start(content.detach(), anchors.detach(), proposed)


def propose_boxes(memory: Memory) -> tuple[Tensor, Tensor]:
    """A box about every pixel of the memory, before the sigmoid, (S, 4), and whether it is used, (S).

    Its sides are 0.05 of the image on the first map and twice as long on each next. One that comes within 0.01 of
    the range's end stands for none and is infinite.
    """
    device = memory.tokens.device
    boxes = []
    for level, size in enumerate(memory.sizes):
        centres = pixel_centres(size, device=device)
        boxes.append(torch.cat([centres, torch.full_like(centres, 0.05 * 2**level)], -1))
    proposals = torch.cat(boxes)
    usable = ((proposals > 0.01) & (proposals < 0.99)).all(-1)
    return torch.logit(proposals).masked_fill(~usable[:, None], torch.inf), usable
