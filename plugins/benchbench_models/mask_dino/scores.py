"""Class and mask predictions of many queries -> one logit a class and pixel, for a threshold or an argmax.

The source adds up class probability times mask probability over the queries. Nothing bounds that sum, and it has
no threshold: two queries that half believe in a class weigh as much as one that is sure, and a hundred that hardly
do weigh the same. It serves an argmax alone. Here the sum is kept, and made a probability, in two steps.

1. The loss of the class counts a query without object for a tenth (`criterion.NO_OBJECT`). What minimises it is
   not the probability of a class but that with no object made ten times rarer, so a region that is there in one
   image of ten would pass a threshold of one half. Giving no object its ten back before normalising undoes this.
2. The pairing gives a class to one query at most. "This query is the one of class c" are therefore events that
   exclude each other: their probabilities add up to that of c being there, P(c), and the sum of probability times
   mask is the probability that a pixel belongs to c. Where queries claim more than one whole between them, which
   cannot be, their claims are divided by their sum: the score is the mean of their masks, each by its claim.

With one foreground class the result is P(c is there) · P(pixel in c | c is there), and one half asks what it asks
of a U-Net with a sigmoid: is the pixel likelier inside than outside? With several, regions may overlap and each
has queries of its own, so each is asked by itself. Under a softmax the background is one of the classes, and the
largest logit is the largest probability; a class gains nothing by being claimed twice.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

from benchbench_models.mask_dino.criterion import NO_OBJECT
from benchbench_models.mask_dino.heads import Prediction


def class_probabilities(logits: Tensor) -> Tensor:
    """How likely each query is the one of each class, (B, Q, classes), from logits (B, Q, classes + 1)."""
    shift = torch.zeros_like(logits)
    shift[..., -1] = -math.log(NO_OBJECT)
    return (logits + shift).softmax(-1)[..., :-1]


def pixel_logits(prediction: Prediction, size: tuple[int, int]) -> Tensor:
    """Logits (B, classes, *size) of the probability that a pixel belongs to a class; within ±13.8."""
    with torch.autocast(prediction.masks.device.type, enabled=False):
        claims = class_probabilities(prediction.classes)
        claims = claims / claims.sum(1, keepdim=True).clamp(min=1)
        masks = F.interpolate(prediction.masks, size, mode="bilinear", align_corners=False).sigmoid()
        return torch.logit(torch.einsum("bqc,bqhw->bchw", claims, masks), eps=1e-6)
