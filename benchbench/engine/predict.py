"""Predicts a case slice by slice, puts the result back on the case's own grid and counts voxels there."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

from benchbench.engine.losses import region_masks
from benchbench.engine.network import autocast, forward
from benchbench.engine.prepare import Placement, PreparedCase
from benchbench.engine.sampling import Slices, in_order
from benchbench.engine.train import count_voxels
from benchbench.protocol import Protocol

_BATCH = 16  # in eval mode a slice's logits do not depend on the others


@torch.inference_mode()
def predict_case(
    model: nn.Module,
    prepared: PreparedCase,
    *,
    protocol: Protocol,
    device: torch.device,
) -> NDArray[np.bool_]:
    """The predicted masks (S, K, H, W) of a case on its own grid.

    Probabilities, not masks, are scaled back: bilinear, then compared.
    """
    model.eval()
    slices = Slices([prepared], device=device)
    placement = prepared.placement()
    masks = []
    for chosen in in_order(len(slices), batch=_BATCH):
        images, _ = slices.batch(chosen)
        with autocast(device, protocol.precision):
            logits = forward(model, images)
        masks.append(_decide(logits.float(), placement, softmax=protocol.activation == "softmax").cpu())
    return torch.cat(masks).numpy()


def count_case(prepared: PreparedCase, masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """tp, fp, fn, tn of each slice and region (S, K, 4), on the case's own grid."""
    reference = region_masks(torch.from_numpy(prepared.native_label()), masks.shape[1])
    return count_voxels(reference, torch.from_numpy(masks)).numpy()


def _decide(logits: Tensor, placement: Placement, *, softmax: bool) -> Tensor:
    probabilities = logits.softmax(1) if softmax else logits.sigmoid()
    (top, left), (height, width) = placement.offset, placement.scaled
    probabilities = probabilities[..., top : top + height, left : left + width]
    if placement.scaled != placement.native:
        probabilities = F.interpolate(probabilities, placement.native, mode="bilinear", align_corners=False)
    if not softmax:
        return probabilities > 0.5
    classes = torch.arange(1, probabilities.shape[1], device=logits.device)
    return probabilities.argmax(1, keepdim=True) == classes.view(-1, 1, 1)
