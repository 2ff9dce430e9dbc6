"""The class and mask predictions of many queries, combined into one logit per class and pixel.

The source adds up class probability times mask probability over the queries, and an argmax over the classes
segments the image: `published_logits`, with which published weights give the published segmentation. The sum is
not bounded, and it suits no threshold: two queries that are half sure of a class weigh as much as one that is
sure, and a hundred that are hardly sure weigh the same. `pixel_logits` keeps the sum and turns it into a
probability in two steps.

1. The loss of the class counts a query without object a tenth (`criterion.NO_OBJECT`). Its minimum is therefore
   not at the probability of a class but at the probability if no object were ten times rarer, so a region that is
   present in one image of ten would pass a threshold of one half. Multiplying no object by ten before normalising
   reverses this.
2. The matching gives a class to one query at most. "This query is the one of class c" are therefore events that
   exclude each other: their probabilities add up to the probability P(c) that c is present, and the sum of
   probability times mask is the probability that a pixel belongs to c. Where the probabilities of all queries for
   a class add up to more than one, which is impossible, they are divided by their sum: the score is then the mean
   of the masks, weighted by the probabilities.

With one foreground class the result is P(c is present) · P(pixel in c | c is present), and a threshold of one half
asks the same as for a U-Net with a sigmoid: is the pixel more likely inside than outside? With several classes,
regions may overlap and each has queries of its own, so each is decided separately. Under a softmax the background
is one of the classes, and the largest logit is the largest probability; a class gains nothing if several queries
predict it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

from benchbench_models.mask_dino.criterion import NO_OBJECT
from benchbench_models.mask_dino.heads import Prediction

_LOWEST_SCORE = 1e-12


def class_probabilities(logits: Tensor) -> Tensor:
    """Return the probability that a query is the one of a class, (B, Q, classes).

    The logits are (B, Q, classes + 1).
    """
    shift = torch.zeros_like(logits)
    shift[..., -1] = -math.log(NO_OBJECT)
    return (logits + shift).softmax(-1)[..., :-1]


def pixel_logits(prediction: Prediction, size: tuple[int, int]) -> Tensor:
    """Return logits (B, classes, *size) of the probability that a pixel belongs to a class; within ±13.8."""
    with torch.autocast(prediction.masks.device.type, enabled=False):
        probabilities = class_probabilities(prediction.classes)
        weights = probabilities / probabilities.sum(1, keepdim=True).clamp(min=1)
        masks = F.interpolate(prediction.masks, size, mode="bilinear", align_corners=False).sigmoid()
        return torch.logit(torch.einsum("bqc,bqhw->bchw", weights, masks), eps=1e-6)


def published_logits(prediction: Prediction, size: tuple[int, int]) -> Tensor:
    """Return logits (B, classes, *size) that rise with the published scores.

    A score is the sum over queries of the softmax of the class, without no object, times the sigmoid of the mask.
    The logarithm of twice the score keeps the order of the classes, and is above 0 where the score is above 0.5.

    Source: `semantic_inference` of Cheng et al. 2022, arXiv:2112.01527, which Mask DINO uses too.
    """
    with torch.autocast(prediction.masks.device.type, enabled=False):
        classes = prediction.classes.softmax(-1)[..., :-1]
        masks = F.interpolate(prediction.masks, size, mode="bilinear", align_corners=False).sigmoid()
        scores = torch.einsum("bqc,bqhw->bchw", classes, masks)
        return torch.log(2 * scores.clamp(min=_LOWEST_SCORE))


ScoreFunction = Callable[[Prediction, tuple[int, int]], Tensor]
SCORE_RULES: Mapping[Literal["probability", "published"], ScoreFunction] = {
    "probability": pixel_logits,
    "published": published_logits,
}
