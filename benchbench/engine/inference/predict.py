"""Predicts the probabilities and masks of a case on its own grid, slice by slice or window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor, nn

from benchbench.engine.batches.sampling import Slices, ordered_batches, windows_at_once
from benchbench.engine.batches.unlabelled import mark_unlabelled
from benchbench.engine.inference.counting import count_regions
from benchbench.engine.inference.postprocess import decide
from benchbench.engine.inference.window import count_windows, predict_windows, sum_over_flips
from benchbench.engine.inference.window_buffer import WindowBuffer, load_volume
from benchbench.engine.network.network import autocast, forward
from benchbench.engine.network.regions import (
    activate,
    activate_in_place,
    masks_of_probabilities,
    region_masks,
    with_background,
)
from benchbench.engine.preparation.placement import Placement
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.preparation.resample import restore
from benchbench.images.arrays import BitMasks, Integers, Mask
from benchbench.spec.inference import Postprocess
from benchbench.spec.protocol import Activation, Protocol

_BATCH = 16  # in eval mode the logits of a slice do not depend on the other slices


@dataclass(frozen=True)
class Predictor:
    """One or several checkpoints of a model that predict together under a protocol."""

    models: Sequence[nn.Module]
    protocol: Protocol
    device: torch.device
    _buffer: WindowBuffer = field(default_factory=WindowBuffer, init=False, repr=False, compare=False)

    @torch.inference_mode()
    def probabilities(self, prepared: PreparedCase) -> Tensor:
        """Return probabilities (K, *volume) float32, on the device, of the cropped part of the case's own grid.

        K regions with a sigmoid; background and classes with a softmax. In 2D the volume is the stack of slices,
        resized back linearly. The device holds the volume, the result and the activations of one batch or window.
        The next call overwrites the result: the memory of a volume is used for one case after another.
        """
        for model in self.models:
            model.eval()
        if prepared.placement:
            return self._predict_slices(prepared, prepared.placement)
        image = load_volume(prepared, self._buffer, device=self.device)
        mean = self._predict_in_windows(image, self._buffer)
        probabilities = mean
        if self._averages_logits:
            probabilities = activate_in_place(mean[None], self._activation)[0]
        return probabilities if prepared.grid is None else restore(probabilities, prepared.grid)

    def masks(
        self,
        prepared: PreparedCase,
        probabilities: Tensor,
        *,
        regions: Sequence[str],
        postprocess: Postprocess | None,
    ) -> Mask:
        """Return the masks of the regions on the whole grid of the case, (S, K, H, W) in the axes of its frame."""
        if postprocess is None:
            masks = masks_of_probabilities(probabilities[None], self._activation)[0].cpu().numpy()
        else:
            masks = decide(probabilities.cpu().numpy(), postprocess, regions=regions)
        return prepared.frame.paste(masks).swapaxes(0, 1)

    def passes(self, prepared: PreparedCase) -> int:
        """Return how often a network runs for a case: the slices or windows times flips times checkpoints."""
        patch, inference = self.protocol.patch, self.protocol.inference
        space = prepared.space
        if not prepared.placement:
            images = count_windows(space, patch, overlap=inference.overlap)
        elif self.protocol.resize == "fit":
            images = space[0]
        else:
            images = space[0] * count_windows(space[1:], patch, overlap=inference.overlap)
        if inference.flips:
            images *= 2 ** len(patch)
        return images * len(self.models)

    def _predict_slices(self, prepared: PreparedCase, placement: Placement) -> Tensor:
        slices = Slices([prepared], device=self.device, context=self.protocol.context)
        stack = []
        if self.protocol.resize == "spacing":
            for number in range(len(slices)):
                images, _ = slices.batch(torch.tensor([number]))
                mean = self._predict_in_windows(images[0])[None]
                stack.append(_resized_back(self._to_probabilities(mean), placement))
            return torch.cat(stack).transpose(0, 1)
        for numbers in ordered_batches(len(slices), batch=_BATCH, device=slices.index_device):
            images, _ = slices.batch(numbers)
            if self.protocol.inference.flips:
                mean = sum_over_flips(self._mean_over_models, images, buffer=self._buffer) / 4
            else:
                mean = self._mean_over_models(images)
            stack.append(_resized_back(self._to_probabilities(mean), placement))
        return torch.cat(stack).transpose(0, 1)

    def _predict_in_windows(self, image: Tensor, buffer: WindowBuffer | None = None) -> Tensor:
        """Return the mean logits or probabilities (K, *space) of an image (C, *space); new without a buffer."""
        inference = self.protocol.inference
        return predict_windows(
            self._mean_over_models,
            image,
            patch=self.protocol.patch,
            overlap=inference.overlap,
            importance=inference.importance,
            batch=windows_at_once(self.protocol.batch, image.device),
            flips=inference.flips,
            buffer=buffer,
        )

    def _mean_over_models(self, images: Tensor) -> Tensor:
        """Return the mean logits or probabilities (B, K, *patch) float32, whichever the protocol averages."""
        results = []
        for model in self.models:
            with autocast(self.device, self.protocol.precision):
                logits = forward(model, images)
            result = logits.float()
            if not self._averages_logits:
                result = activate(result, self._activation)
            results.append(result)
        if len(results) == 1:
            return results[0]
        return torch.stack(results).mean(0)

    def _to_probabilities(self, mean: Tensor) -> Tensor:
        if self._averages_logits:
            return activate(mean, self._activation)
        return mean

    @property
    def _activation(self) -> Activation:
        return self.protocol.activation

    @property
    def _averages_logits(self) -> bool:
        return self.protocol.inference.average == "logits"


@dataclass(frozen=True)
class Ensemble:
    """Several models of one protocol that predict together; a model has one vote, however many checkpoints."""

    members: Sequence[Predictor]

    @torch.inference_mode()
    def probabilities(self, prepared: PreparedCase) -> Tensor:
        """Return the mean probabilities of the members (K, *volume) float32; the device holds two such volumes."""
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
        """Return the masks that a single member returns for these probabilities."""
        return self.members[0].masks(prepared, probabilities, regions=regions, postprocess=postprocess)


def count_case(prepared: PreparedCase, masks: Mask) -> Integers:
    """Return tp, fp, fn, tn of each slice and region (S, K, 4), on the case's own grid, without ignored voxels.

    A region without label has counts of 0.
    """
    return count_against(prepared, masks, prepared.native_label())


def count_against(prepared: PreparedCase, masks: Mask, bits: BitMasks) -> Integers:
    """Return the counts of `count_case` against other bit masks (S, H, W), such as those of a reader."""
    labels = _marked(prepared, bits)
    return count_regions(torch.from_numpy(masks), labels, has_background=False).numpy()


def native_bits(prepared: PreparedCase) -> Tensor:
    """Return the bit masks (S, H, W) of a case on its own grid, marked with the regions that it lacks."""
    return _marked(prepared, prepared.native_label())


def _marked(prepared: PreparedCase, bits: BitMasks) -> Tensor:
    labels = torch.from_numpy(bits)
    if not prepared.unlabelled_bits:
        return labels
    return mark_unlabelled(labels, torch.full((len(labels),), prepared.unlabelled_bits))


def resized_reference(prepared: PreparedCase, protocol: Protocol, *, regions: int) -> Mask:
    """Return the reference after resizing or resampling and back to the case's own grid: (S, K, H, W).

    The resized masks count as probabilities of 0 or 1, and become masks again as those of a network do.
    """
    if prepared.placement is None:
        return _resampled_reference(prepared, protocol, regions=regions)
    stack = []
    for slices in torch.from_numpy(prepared.label()).split(_BATCH):
        masks = region_masks(slices, regions)
        if protocol.activation == "softmax":
            masks = with_background(masks)
        stack.append(_resized_back(masks.float(), prepared.placement))
    reference = masks_of_probabilities(torch.cat(stack), protocol.activation).transpose(0, 1)
    return prepared.frame.paste(reference.numpy()).swapaxes(0, 1)


def _resampled_reference(prepared: PreparedCase, protocol: Protocol, *, regions: int) -> Mask:
    """Return the masks (S, K, H, W) of a resampled volume on the case's own grid."""
    masks = region_masks(torch.from_numpy(prepared.label())[None], regions)
    if protocol.activation == "softmax":
        masks = with_background(masks)
    probabilities = masks[0].float()
    if prepared.grid is not None:
        probabilities = restore(probabilities, prepared.grid)
    reference = masks_of_probabilities(probabilities[None], protocol.activation)[0].numpy()
    return prepared.frame.paste(reference).swapaxes(0, 1)


def _resized_back(probabilities: Tensor, placement: Placement) -> Tensor:
    """Return probabilities (B, K, *patch) as (B, K, H, W) in the own size of the slice."""
    (top, left), (height, width) = placement.offset, placement.scaled
    probabilities = probabilities[..., top : top + height, left : left + width]
    if placement.scaled == placement.native:
        return probabilities
    return F.interpolate(probabilities, placement.native, mode="bilinear", align_corners=False)
