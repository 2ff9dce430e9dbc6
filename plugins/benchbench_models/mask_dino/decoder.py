"""The decoder: queries look at each other and around their boxes, and say what they see after every layer.

Source: Li et al. 2023, arXiv:2206.02777; Zhang et al. 2023, arXiv:2203.03605.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchbench_models.mask_dino.deformable import DeformableAttention, Memory
from benchbench_models.mask_dino.denoising import Noised, hidden_from
from benchbench_models.mask_dino.design import Selection
from benchbench_models.mask_dino.heads import Heads, Prediction
from benchbench_models.mask_dino.layers import WIDTH, FeedForward, Perceptron
from benchbench_models.mask_dino.pixel_decoder import LEVELS
from benchbench_models.mask_dino.position import box_position
from benchbench_models.mask_dino.selection import ChosenQueries, LearnedQueries

_HEADS = 8
_FEEDFORWARD = 2048


class Decoded(NamedTuple):
    """What the queries said, and the noised ones beside them."""

    predictions: list[Prediction]
    """At the start and after each layer, or after the last alone."""
    noised: list[Prediction]
    """The same of the noised queries; empty without."""
    proposed: Prediction | None


class DecoderLayer(nn.Module):
    """Self-attention, deformable attention about the box, feed-forward, each normalised after."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attention = nn.MultiheadAttention(WIDTH, _HEADS, batch_first=True)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attention = DeformableAttention(WIDTH, levels=LEVELS)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.feed_forward = FeedForward(_FEEDFORWARD)
        nn.init.xavier_uniform_(self.self_attention.out_proj.weight)

    def forward(self, x: Tensor, position: Tensor, boxes: Tensor, memory: Memory, hidden: Tensor | None) -> Tensor:
        """Queries x and their position (B, Q, C), boxes (B, Q, 4); hidden (Q, Q): what each may not see."""
        here = x + position
        x = self.norm1(x + self.self_attention(here, here, x, attn_mask=hidden, need_weights=False)[0])
        x = self.norm2(x + self.attention(x + position, boxes, memory))
        return self.feed_forward(x)


class Decoder(nn.Module):
    """The memory, finest map first, and the mask map -> what the queries say of them."""

    def __init__(self, classes: int, *, layers: int, queries: int, selection: Selection) -> None:
        super().__init__()
        if selection == "learned":
            self.start: nn.Module = LearnedQueries(queries)
        else:
            self.start = ChosenQueries(queries, from_masks=selection == "two_stage+mask_boxes")
        self.label_content = nn.Embedding(classes, WIDTH)
        self.to_position = Perceptron(2 * WIDTH, WIDTH, WIDTH)
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(layers))
        self.heads = Heads(classes)
        for linear in (self.to_position[0], self.to_position[-1]):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self, memory: Memory, mask_map: Tensor, *, noised: Noised | None = None, every_layer: bool = False
    ) -> Decoded:
        """The heads run at the start and after every layer, or after the last alone."""
        content, anchors, proposed = self.start(memory, self.heads, mask_map)
        hidden, ahead = None, 0
        if noised is not None:
            hidden, ahead = hidden_from(noised, queries=content.shape[1]), noised.anchors.shape[1]
            extra = self.label_content(noised.labels) * noised.is_real[..., None]
            content, anchors = torch.cat([extra, content], 1), torch.cat([noised.anchors, anchors], 1)
        boxes = seen = anchors.sigmoid()
        predictions = [self.heads.predict(content, boxes, mask_map)] if every_layer else []
        for number, layer in enumerate(self.layers, start=1):
            content = layer(content, self.to_position(box_position(seen, WIDTH // 2)), seen, memory, hidden)
            if every_layer or number == len(self.layers):
                once = self.heads.norm(content)
                predictions.append(self.heads.predict(once, self.heads.refine(once, boxes), mask_map))
            # a layer's boxes go to the next without their gradient; what is reported keeps it
            boxes = self.heads.refine(content, seen)
            seen = boxes.detach()
        return Decoded(
            [each.queries(slice(ahead, None)) for each in predictions],
            [each.queries(slice(ahead)) for each in predictions] if ahead else [],
            proposed,
        )
