"""Instance normalisation of volumes that keeps the memory layout of its input."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

_LAYOUT = torch.channels_last_3d


class LayoutKeepingInstanceNorm3d(nn.InstanceNorm3d):
    """Instance normalisation that gives an output, and a gradient, in channels_last_3d where its input has it.

    torch's own copies such a volume to the contiguous layout. The two are equal up to rounding, and compute the
    statistics of bf16 and fp16 in fp32. Inputs of another layout, and running statistics, are left to torch's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised volumes (B, C, *space) of x (B, C, *space)."""
        is_here = x.ndim == 5 and x.is_contiguous(memory_format=_LAYOUT) and not x.is_contiguous()
        if not is_here or self.track_running_stats:
            return super().forward(x)
        weight, bias = self.weight, self.bias
        if weight is None:
            weight = torch.ones(x.shape[1], dtype=_statistics_type(x), device=x.device)
            bias = torch.zeros_like(weight)
        return _InstanceNorm.apply(x, weight, bias, self.eps)


class _InstanceNorm(torch.autograd.Function):
    """Batch normalisation of one volume after the other, which torch computes in this layout without a copy."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        output = torch.empty_like(x)
        means = torch.empty(x.shape[:2], dtype=_statistics_type(x), device=x.device)  # (B, C)
        factors = torch.empty_like(means)  # 1 / standard deviation
        for volume, normalised, mean, factor in zip(_images(x), _images(output), means, factors, strict=True):
            results = {"out": normalised, "save_mean": mean, "save_invstd": factor}
            torch.ops.aten.native_batch_norm.out(volume, weight, bias, None, None, True, 0.0, eps, **results)
        context.save_for_backward(x, weight, means, factors)
        context.eps = eps
        return output

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, means, factors = context.saved_tensors
        gradients = _images(gradient.contiguous(memory_format=_LAYOUT))
        volumes = zip(gradients, _images(x), means, factors, strict=True)
        if len(x) == 1:
            of_volume, of_weight, of_bias = _gradients_of_image(*next(volumes), weight=weight, eps=context.eps)
            return of_volume.view(x.shape), of_weight, of_bias, None
        joined = torch.empty_like(x)
        of_weights, of_biases = [], []
        for result, volume in zip(_images(joined), volumes, strict=True):
            of_volume, of_weight, of_bias = _gradients_of_image(*volume, weight=weight, eps=context.eps)
            result.copy_(of_volume)
            of_weights.append(of_weight)
            of_biases.append(of_bias)
        return joined, reduce(torch.add, of_weights), reduce(torch.add, of_biases), None


def _images(volumes: Tensor) -> tuple[Tensor, ...]:
    """Return volumes (B, C, D, H, W) as B images (1, C, D * H, W) in the same memory.

    On a GPU, torch has normalisations of channels_last for images, and slower ones for volumes.
    """
    batch, channels, depth, height, width = volumes.shape
    return volumes.view(batch, channels, depth * height, width).split(1)


def _gradients_of_image(
    gradient: Tensor, x: Tensor, mean: Tensor, factor: Tensor, *, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of an image x (1, C, H, W), of the weights and of the biases."""
    is_training, output_mask = True, [True, True, True]
    return torch.ops.aten.native_batch_norm_backward(
        gradient, x, weight, None, None, mean, factor, is_training, eps, output_mask
    )


def _statistics_type(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
