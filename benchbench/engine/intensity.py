"""Changing the values of a batch: each function changes `images` (B, C, H, W) in place.

What is given beside them is (B,), one number a sample, float64 on the CPU: nothing waits for the device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_BLUR_REACH = 4
"""Where a Gaussian is cut off, in standard deviations."""


def brighten(images: Tensor, amounts: Tensor) -> None:
    """Adds an amount to every value."""
    images.add_(_each(amounts, images))


def stretch_contrast(images: Tensor, factors: Tensor) -> None:
    """Multiplies the distance from the channel's mean, clipped to the range that the channel had."""
    low, high = _range(images)
    rest = images.mean((2, 3), keepdim=True) * _each(1 - factors, images)
    images.mul_(_each(factors, images)).add_(rest)
    # one after the other: clamp with two tensors is 3 times slower on a CPU
    torch.maximum(images, low, out=images)
    torch.minimum(images, high, out=images)


def bend_gamma(images: Tensor, powers: Tensor) -> None:
    """Raises each channel, as a share of its own range, to a power; a constant channel stays as it is."""
    low, high = _range(images)
    span = high - low
    images.sub_(low).div_(torch.where(span > 0, span, 1)).pow_(_each(powers, images)).mul_(span).add_(low)


def add_noise(images: Tensor, sigmas: Tensor, seeds: Tensor) -> None:
    """Adds Gaussian noise, independent in every value; a sample's own seed decides it, device by device."""
    generator = torch.Generator(images.device)
    noise = torch.empty_like(images)
    for own, seed in zip(noise, seeds.tolist(), strict=True):
        own.normal_(generator=generator.manual_seed(seed))
    images.add_(noise.mul_(_each(sigmas, images)))


def blur(images: Tensor, sigmas: Tensor) -> None:
    """Blurs by a Gaussian of a width in pixels, the border continued by its last pixels."""
    count, channels, height, width = images.shape
    kernels = _gaussians(sigmas).to(images.device, images.dtype, non_blocking=True)
    kernels = kernels.repeat_interleave(channels, 0)[:, None]
    reach = kernels.shape[-1] // 2
    planes = images.view(1, count * channels, height, width)
    planes = functional.pad(planes, (reach, reach, reach, reach), mode="replicate")
    planes = functional.conv2d(planes, kernels[..., None, :], groups=count * channels)
    planes = functional.conv2d(planes, kernels[..., :, None], groups=count * channels)
    images.copy_(planes.view(images.shape))


def _gaussians(sigmas: Tensor) -> Tensor:
    """(B, odd) weights, each cut off at its own reach, so that a sample does not depend on the others."""
    sigmas = sigmas.clamp_min(1e-6)[:, None]  # 0 is the identity, not 0 / 0
    reaches = (_BLUR_REACH * sigmas).round()
    reach = int(reaches.max())
    steps = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (steps / sigmas) ** 2).where(steps.abs() <= reaches, 0)
    return weights / weights.sum(1, keepdim=True)


def _each(amounts: Tensor, images: Tensor) -> Tensor:
    """(B, 1, 1, 1) of the images' kind."""
    return amounts.to(images.device, images.dtype, non_blocking=True)[:, None, None, None]


def _range(images: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest value of every channel, (B, C, 1, 1) both."""
    return images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
