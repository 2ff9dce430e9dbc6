"""Intensity transforms of a batch: each function changes `images` (B, C, *patch), of two or three axes, in place.

The other arguments are (B,), one number per sample, float64 on the CPU: nothing waits for the device.
"""

from __future__ import annotations

import cv2
import torch
from torch import Tensor
from torch.nn import functional

from benchbench.engine.augmentation import samples
from benchbench.engine.augmentation.axes import multiply_batch

_BLUR_REACH = 4
"""Standard deviations after which a Gaussian is cut off."""


def brighten(images: Tensor, amounts: Tensor) -> None:
    """Add an amount to every value."""
    images.add_(_per_sample(amounts, images))


def multiply(images: Tensor, factors: Tensor) -> None:
    """Multiply every value by a factor."""
    images.mul_(_per_sample(factors, images))


def stretch_contrast(images: Tensor, factors: Tensor) -> None:
    """Multiply the distance from the channel's mean, clipped to the range that the channel had."""
    for part in _parts(images):
        low, high = _range(part)
        mean = part.mean(_spatial_axes(part), keepdim=True)
        offset = mean * _per_sample(1 - factors, part)
        part.mul_(_per_sample(factors, part)).add_(offset)
        _clip(part, low, high)


def stretch_from_zero(images: Tensor, factors: Tensor) -> None:
    """Multiply every value, clipped to the range that the channel had."""
    for part in _parts(images):
        low, high = _range(part)
        part.mul_(_per_sample(factors, part))
        _clip(part, low, high)


def apply_gamma(images: Tensor, powers: Tensor) -> None:
    """Raise each channel, scaled to [0, 1] by its own range and back, to a power; a constant channel stays."""
    for part in _parts(images):
        low, high = _range(part)
        span = high - low
        part.sub_(low).div_(torch.where(span > 0, span, 1))
        part.pow_(_per_sample(powers, part)).mul_(span).add_(low)


def add_noise(images: Tensor, sigmas: Tensor, seeds: Tensor) -> None:
    """Add Gaussian noise, independent in every value, which depends on the sample's seed and the device type."""
    generators = [torch.Generator(images.device).manual_seed(seed) for seed in seeds.tolist()]
    for part in _parts(images):
        noise = torch.empty_like(part)
        for sample_noise, generator in zip(noise, generators, strict=True):
            sample_noise.normal_(generator=generator)
        part.add_(noise.mul_(_per_sample(sigmas, part)))


def blur(images: Tensor, sigmas: Tensor) -> None:
    """Blur by a Gaussian whose width is in pixels; the outermost pixels are repeated beyond the border."""
    kernels = _gaussians(sigmas)
    if images.ndim == 4:
        _blur_slices(images, kernels)
    elif samples.one_at_a_time(images):
        for sample, kernel in zip(images, kernels, strict=True):
            _blur_volumes_by_opencv(sample, kernel)
    else:
        matrices = [_blur_matrices(kernels, size).to(images, non_blocking=True) for size in images.shape[2:]]
        images.copy_(multiply_batch(images, matrices))


def _blur_slices(images: Tensor, kernels: Tensor) -> None:
    count, channels, height, width = images.shape
    kernels = kernels.to(images.device, images.dtype, non_blocking=True)
    kernels = kernels.repeat_interleave(channels, 0)[:, None]
    reach = kernels.shape[-1] // 2
    planes = images.view(1, count * channels, height, width)
    planes = functional.pad(planes, (reach, reach, reach, reach), mode="replicate")
    planes = functional.conv2d(planes, kernels[..., None, :], groups=count * channels)
    planes = functional.conv2d(planes, kernels[..., :, None], groups=count * channels)
    images.copy_(planes.view(images.shape))


def _blur_volumes_by_opencv(volumes: Tensor, kernel: Tensor) -> None:
    """Blur (C, D, H, W) in place; several times faster than a convolution of torch, and as exact."""
    weights, identity = kernel.float().numpy(), torch.ones(1).numpy()
    for volume in volumes.numpy():
        columns = volume.reshape(len(volume), -1)
        blurred = cv2.sepFilter2D(columns, -1, identity, weights, borderType=cv2.BORDER_REPLICATE)
        for layer, target in zip(blurred.reshape(volume.shape), volume, strict=True):
            cv2.sepFilter2D(layer, -1, weights, weights, dst=target, borderType=cv2.BORDER_REPLICATE)


def _blur_matrices(kernels: Tensor, size: int) -> Tensor:
    """Return matrices (B, size, size) that do the same as kernels (B, odd) along an axis."""
    count, width = kernels.shape
    covered = torch.arange(size)[:, None] + torch.arange(width) - width // 2
    covered = covered.clamp(0, size - 1).expand(count, -1, -1)
    matrices = torch.zeros(count, size, size, dtype=kernels.dtype)
    return matrices.scatter_add_(2, covered, kernels[:, None].expand(-1, size, -1))


def _gaussians(sigmas: Tensor) -> Tensor:
    """Return weights (B, odd); each row ends at its own reach, so that a sample does not depend on the others."""
    sigmas = sigmas.clamp_min(1e-6)[:, None]  # a sigma of 0 is the identity, and must not give 0 / 0
    reaches = (_BLUR_REACH * sigmas).round()
    reach = int(reaches.max())
    steps = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (steps / sigmas) ** 2)
    weights = weights.where(steps.abs() <= reaches, 0)
    return weights / weights.sum(1, keepdim=True)


def _parts(images: Tensor) -> list[Tensor]:
    """Return views to change in turn: the batch, or each channel of volumes on a CPU, whose cache holds one."""
    if images.ndim == 5 and samples.one_at_a_time(images):
        return list(images.split(1, dim=1))
    return [images]


def _per_sample(amounts: Tensor, images: Tensor) -> Tensor:
    """Return (B,) as (B, 1, *1) with the type and device of the images."""
    amounts = amounts.to(images.device, images.dtype, non_blocking=True)
    ones = [1] * (images.ndim - 1)
    return amounts.view(-1, *ones)


def _spatial_axes(images: Tensor) -> tuple[int, ...]:
    return tuple(range(2, images.ndim))


def _range(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and highest value of every channel, both (B, C, *1)."""
    axes = _spatial_axes(images)
    return images.amin(axes, keepdim=True), images.amax(axes, keepdim=True)


def _clip(images: Tensor, low: Tensor, high: Tensor) -> None:
    # one after the other: clamp with two tensors is 3 times slower on a CPU
    torch.maximum(images, low, out=images)
    torch.minimum(images, high, out=images)
