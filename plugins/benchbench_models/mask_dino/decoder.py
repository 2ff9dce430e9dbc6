"""The decoder: queries attend to each other and to the maps around their boxes, and predict after every layer.

Source: Li et al. 2023, arXiv:2206.02777; Zhang et al. 2023, arXiv:2203.03605.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchbench_models.mask_dino.deformable import DeformableAttention, Memory
from benchbench_models.mask_dino.denoising import Noised, attention_mask
from benchbench_models.mask_dino.design import Selection
from benchbench_models.mask_dino.heads import Heads, Prediction
from benchbench_models.mask_dino.layers import WIDTH, FeedForward, Perceptron
from benchbench_models.mask_dino.pixel_decoder import LEVELS
from benchbench_models.mask_dino.position import box_position
from benchbench_models.mask_dino.selection import LearnedQueries, SelectedQueries

_HEADS = 8
_FEEDFORWARD = 2048


class Decoded(NamedTuple):
    """The predictions of the queries and of the noised queries."""

    predictions: list[Prediction]
    """Predictions of the initial queries and after each layer, or only after the last layer."""
    noised: list[Prediction]
    """The same predictions of the noised queries; empty without them."""
    proposed: Prediction | None
    """Predictions of the encoder at the selected places; None where queries are learned."""


class DecoderLayer(nn.Module):
    """Self-attention, deformable attention around the box and feed-forward, each followed by normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attention = nn.MultiheadAttention(WIDTH, _HEADS, batch_first=True)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attention = DeformableAttention(WIDTH, levels=LEVELS)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.feed_forward = FeedForward(_FEEDFORWARD)
        nn.init.xavier_uniform_(self.self_attention.out_proj.weight)

    def forward(self, x: Tensor, position: Tensor, boxes: Tensor, memory: Memory, mask: Tensor | None) -> Tensor:
        """Return the queries (B, Q, C) from queries x, their position (B, Q, C) and boxes (B, Q, 4).

        mask (Q, Q) is true where a query may not attend to another one.
        """
        placed = x + position
        attended, _ = self.self_attention(placed, placed, x, attn_mask=mask, need_weights=False)
        x = self.norm1(x + attended)
        x = self.norm2(x + self.attention(x + position, boxes, memory))
        return self.feed_forward(x)


class Decoder(nn.Module):
    """Predicts classes, boxes and masks from the memory, finest map first, and the mask map."""

    def __init__(self, classes: int, *, layers: int, queries: int, selection: Selection) -> None:
        super().__init__()
        if selection == "learned":
            self.start: nn.Module = LearnedQueries(queries)
        else:
            self.start = SelectedQueries(queries, from_masks=selection == "two_stage+mask_boxes")
        self.label_content = nn.Embedding(classes, WIDTH)
        self.to_position = Perceptron(2 * WIDTH, WIDTH, WIDTH)
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(layers))
        self.heads = Heads(classes)
        for linear in (self.to_position[0], self.to_position[-1]):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self, memory: Memory, mask_map: Tensor, *, noised: Noised | None = None, every_layer: bool = False
    ) -> Decoded:
        """Return the predictions of the initial queries and after every layer, or only after the last layer."""
        content, anchors, proposed = self.start(memory, self.heads, mask_map)
        mask, noised_count = None, 0
        if noised is not None:
            mask = attention_mask(noised, queries=content.shape[1])
            noised_count = noised.anchors.shape[1]
            noised_content = self.label_content(noised.labels) * noised.is_real[..., None]
            content = torch.cat([noised_content, content], 1)
            anchors = torch.cat([noised.anchors, anchors], 1)
        boxes = layer_boxes = anchors.sigmoid()
        predictions = [self.heads.predict(content, boxes, mask_map)] if every_layer else []
        for number, layer in enumerate(self.layers, start=1):
            position = self.to_position(box_position(layer_boxes, WIDTH // 2))
            content = layer(content, position, layer_boxes, memory, mask)
            if every_layer or number == len(self.layers):
                normalised = self.heads.norm(content)
                refined = self.heads.refine(normalised, boxes)
                predictions.append(self.heads.predict(normalised, refined, mask_map))
            # the boxes of a layer go to the next one without their gradient; those that are predicted keep it
            boxes = self.heads.refine(content, layer_boxes)
            layer_boxes = boxes.detach()
        if noised is None:
            return Decoded(predictions, [], proposed)
        noised_predictions = [prediction.queries(slice(noised_count)) for prediction in predictions]
        predictions = [prediction.queries(slice(noised_count, None)) for prediction in predictions]
        return Decoded(predictions, noised_predictions, proposed)
