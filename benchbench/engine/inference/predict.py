"""Predicts a case, slice by slice or window by window, and counts voxels on the case's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor, nn

from benchbench.engine.batches.sampling import Slices, in_order, to_float
from benchbench.engine.inference.counting import count_voxels, with_background
from benchbench.engine.inference.postprocess import decide
from benchbench.engine.inference.window import count_windows, predict_windows, sum_mirrored
from benchbench.engine.network.losses import region_masks
from benchbench.engine.network.network import autocast, forward
from benchbench.engine.preparation.placement import Placement
from benchbench.engine.preparation.prepare import PreparedCase
from benchbench.images.arrays import Integers, Mask
from benchbench.spec.inference import Postprocess
from benchbench.spec.protocol import Activation, Protocol

_BATCH = 16  # in eval mode a slice's logits do not depend on the others


@dataclass(frozen=True)
class Predictor:
    """One or several checkpoints of a model that predict together, as a protocol says."""

    models: Sequence[nn.Module]
    protocol: Protocol
    device: torch.device

    @torch.inference_mode()
    def probabilities(self, prepared: PreparedCase) -> Tensor:
        """(K, *volume) float32, on the device, over what was kept of the case's own grid.

        K regions for sigmoids; background and classes for softmax. In 2D the volume is the stack of slices, each
        scaled back linearly. The device holds the volume, the result and the activations of one batch or window.
        """
        for model in self.models:
            model.eval()
        if prepared.placement:
            return self._stack_slices(prepared, prepared.placement)
        image = torch.from_numpy(prepared.image()).to(self.device)
        inference = self.protocol.inference
        mean = predict_windows(
            self._mean,
            to_float(image) if image.dtype == torch.uint8 else image,
            patch=self.protocol.patch,
            overlap=inference.overlap,
            importance=inference.importance,
            flips=inference.flips,
        )
        return self._finish(mean[None])[0]

    def masks(
        self,
        prepared: PreparedCase,
        probabilities: Tensor,
        *,
        regions: Sequence[str],
        postprocess: Postprocess | None,
    ) -> Mask:
        """The regions on the whole of the case's own grid, in the axes of its frame: (S, K, H, W)."""
        if postprocess is None:
            kept = decide_masks(probabilities, self._activation).cpu().numpy()
        else:
            kept = decide(probabilities.cpu().numpy(), postprocess, regions=regions)
        return prepared.frame.paste(kept).swapaxes(0, 1)

    def passes(self, prepared: PreparedCase) -> int:
        """How many images go through a network for a case: each slice or window, mirror image and checkpoint."""
        inference, patch = self.protocol.inference, self.protocol.patch
        space = [stop - start for start, stop in prepared.frame.box]
        images = space[0] if prepared.placement else count_windows(space, patch, overlap=inference.overlap)
        return images * (2 ** len(patch) if inference.flips else 1) * len(self.models)

    def _stack_slices(self, prepared: PreparedCase, placement: Placement) -> Tensor:
        slices = Slices([prepared], device=self.device)
        stack = []
        for chosen in in_order(len(slices), batch=_BATCH):
            images, _ = slices.batch(chosen)
            mean = sum_mirrored(self._mean, images) / 4 if self.protocol.inference.flips else self._mean(images)
            stack.append(_scaled_back(self._finish(mean), placement))
        return torch.cat(stack).transpose(0, 1)

    def _mean(self, images: Tensor) -> Tensor:
        """The mean over checkpoints of what is averaged, (B, K, *patch) float32."""
        parts = []
        for model in self.models:
            with autocast(self.device, self.protocol.precision):
                logits = forward(model, images)
            parts.append(logits.float() if self._averages_logits else activate(logits.float(), self._activation))
        return parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)

    def _finish(self, mean: Tensor) -> Tensor:
        return activate(mean, self._activation) if self._averages_logits else mean

    @property
    def _activation(self) -> Activation:
        return self.protocol.activation

    @property
    def _averages_logits(self) -> bool:
        return self.protocol.inference.average == "logits"


@dataclass(frozen=True)
class Ensemble:
    """Several models of one protocol that predict together, each counted alike however many checkpoints it has."""

    members: Sequence[Predictor]

    @torch.inference_mode()
    def probabilities(self, prepared: PreparedCase) -> Tensor:
        """The mean of what the members give, (K, *volume) float32; that volume is on the device twice."""
        first, *others = self.members
        total = first.probabilities(prepared)
        for member in others:
            total += member.probabilities(prepared)
        return total / len(self.members)

    def masks(
        self,
        prepared: PreparedCase,
        probabilities: Tensor,
        *,
        regions: Sequence[str],
        postprocess: Postprocess | None,
    ) -> Mask:
        """As a member alone decides them."""
        return self.members[0].masks(prepared, probabilities, regions=regions, postprocess=postprocess)


def activate(logits: Tensor, activation: Activation) -> Tensor:
    """Probabilities (B, K, *space): of each region by itself, or of one class a voxel."""
    return logits.softmax(1) if activation == "softmax" else logits.sigmoid()


def decide_masks(probabilities: Tensor, activation: Activation) -> Tensor:
    """(K, *space) -> one mask a region, bool: above one half, or the most probable class but background."""
    if activation == "sigmoid":
        return probabilities > 0.5
    classes = torch.arange(1, len(probabilities), device=probabilities.device)
    return probabilities.argmax(0, keepdim=True) == classes.view(-1, *[1] * (probabilities.ndim - 1))


def count_case(prepared: PreparedCase, masks: Mask) -> Integers:
    """tp, fp, fn, tn of each slice and region (S, K, 4), on the case's own grid."""
    reference = region_masks(torch.from_numpy(prepared.native_label()), masks.shape[1])
    return count_voxels(reference, torch.from_numpy(masks)).numpy()


def resized_truth(prepared: PreparedCase, protocol: Protocol, *, regions: int) -> Mask:
    """The truth of slices as a network is taught it, put back on the case's own grid: (S, K, H, W).

    It is taken for probabilities, 0 or 1, and decided on as a network's are.
    """
    assert prepared.placement is not None, "volumes are not resized"
    stack = []
    for slices in torch.from_numpy(prepared.label()).split(_BATCH):
        masks = region_masks(slices, regions)
        certain = (with_background(masks) if protocol.activation == "softmax" else masks).float()
        stack.append(_scaled_back(certain, prepared.placement))
    kept = decide_masks(torch.cat(stack).transpose(0, 1), protocol.activation)
    return prepared.frame.paste(kept.numpy()).swapaxes(0, 1)


def _scaled_back(probabilities: Tensor, placement: Placement) -> Tensor:
    """(B, K, *patch) -> (B, K, H, W) of the slice's own size."""
    (top, left), (height, width) = placement.offset, placement.scaled
    probabilities = probabilities[..., top : top + height, left : left + width]
    if placement.scaled == placement.native:
        return probabilities
    return F.interpolate(probabilities, placement.native, mode="bilinear", align_corners=False)
