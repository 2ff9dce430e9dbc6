"""Changing the values of a batch: each function changes `images` (B, C, *patch), of two or three axes, in place.

What is given beside them is (B,), one number a sample, float64 on the CPU: nothing waits for the device.
"""

from __future__ import annotations

import cv2
import torch
from torch import Tensor
from torch.nn import functional

from benchbench.engine.augmentation import geometry_2d
from benchbench.engine.augmentation.axes import multiply_all

_BLUR_REACH = 4
"""Where a Gaussian is cut off, in standard deviations."""


def brighten(images: Tensor, amounts: Tensor) -> None:
    """Adds an amount to every value."""
    images.add_(_each(amounts, images))


def multiply(images: Tensor, factors: Tensor) -> None:
    """Multiplies every value by a factor."""
    images.mul_(_each(factors, images))


def stretch_contrast(images: Tensor, factors: Tensor) -> None:
    """Multiplies the distance from the channel's mean, clipped to the range that the channel had."""
    for part in _parts(images):
        low, high = _range(part)
        rest = part.mean(_axes(part), keepdim=True) * _each(1 - factors, part)
        part.mul_(_each(factors, part)).add_(rest)
        _clip(part, low, high)


def stretch_from_zero(images: Tensor, factors: Tensor) -> None:
    """Multiplies every value, clipped to the range that the channel had."""
    for part in _parts(images):
        low, high = _range(part)
        part.mul_(_each(factors, part))
        _clip(part, low, high)


def bend_gamma(images: Tensor, powers: Tensor) -> None:
    """Raises each channel, as a share of its own range, to a power; a constant channel stays as it is."""
    for part in _parts(images):
        low, high = _range(part)
        span = high - low
        part.sub_(low).div_(torch.where(span > 0, span, 1)).pow_(_each(powers, part)).mul_(span).add_(low)


def add_noise(images: Tensor, sigmas: Tensor, seeds: Tensor) -> None:
    """Adds Gaussian noise, independent in every value; a sample's own seed decides it, device by device."""
    generators = [torch.Generator(images.device).manual_seed(seed) for seed in seeds.tolist()]
    for part in _parts(images):
        noise = torch.empty_like(part)
        for own, generator in zip(noise, generators, strict=True):
            own.normal_(generator=generator)
        part.add_(noise.mul_(_each(sigmas, part)))


def blur(images: Tensor, sigmas: Tensor) -> None:
    """Blurs by a Gaussian of a width in pixels, the border continued by its last pixels."""
    kernels = _gaussians(sigmas)
    if images.ndim == 4:
        _blur_slices(images, kernels)
    elif geometry_2d.one_by_one(images):
        for sample, kernel in zip(images, kernels, strict=True):
            _blur_volumes_by_opencv(sample, kernel)
    else:
        matrices = [_blur_matrices(kernels, size).to(images, non_blocking=True) for size in images.shape[2:]]
        images.copy_(multiply_all(images, matrices))


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
    """Changes (C, D, H, W) in place; several times faster than a convolution, and as exact."""
    weights, one = kernel.float().numpy(), torch.ones(1).numpy()
    for volume in volumes.numpy():
        layers = volume.reshape(len(volume), -1)
        layers = cv2.sepFilter2D(layers, -1, one, weights, borderType=cv2.BORDER_REPLICATE).reshape(volume.shape)
        for layer, target in zip(layers, volume, strict=True):
            cv2.sepFilter2D(layer, -1, weights, weights, dst=target, borderType=cv2.BORDER_REPLICATE)


def _blur_matrices(kernels: Tensor, size: int) -> Tensor:
    """(B, size, size) that do the same as kernels (B, odd) along an axis."""
    count, width = kernels.shape
    seen = torch.arange(size)[:, None] + torch.arange(width) - width // 2
    matrices = torch.zeros(count, size, size, dtype=kernels.dtype)
    return matrices.scatter_add_(
        2, seen.clamp(0, size - 1).expand(count, -1, -1), kernels[:, None].expand(-1, size, -1)
    )


def _gaussians(sigmas: Tensor) -> Tensor:
    """(B, odd) weights, each cut off at its own reach, so that a sample does not depend on the others."""
    sigmas = sigmas.clamp_min(1e-6)[:, None]  # 0 is the identity, not 0 / 0
    reaches = (_BLUR_REACH * sigmas).round()
    reach = int(reaches.max())
    steps = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (steps / sigmas) ** 2).where(steps.abs() <= reaches, 0)
    return weights / weights.sum(1, keepdim=True)


def _parts(images: Tensor) -> list[Tensor]:
    """What is changed at once: everything, but of volumes on a CPU one channel, which its cache holds."""
    if images.ndim == 5 and geometry_2d.one_by_one(images):
        return list(images.split(1, dim=1))
    return [images]


def _each(amounts: Tensor, images: Tensor) -> Tensor:
    """(B, 1, *1) of the images' kind."""
    return amounts.to(images.device, images.dtype, non_blocking=True).view(-1, *[1] * (images.ndim - 1))


def _axes(images: Tensor) -> tuple[int, ...]:
    return tuple(range(2, images.ndim))


def _range(images: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest value of every channel, (B, C, *1) both."""
    return images.amin(_axes(images), keepdim=True), images.amax(_axes(images), keepdim=True)


def _clip(images: Tensor, low: Tensor, high: Tensor) -> None:
    # one after the other: clamp with two tensors is 3 times slower on a CPU
    torch.maximum(images, low, out=images)
    torch.minimum(images, high, out=images)
