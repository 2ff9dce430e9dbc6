"""Times benchbench's 2D augmentation against albumentations and torchvision, on the same CPU threads.

    python benchmarks/speed/augment_2d.py --threads 1

Each contender starts from a batch of uint8 images and masks, unless its line says otherwise, and returns a
float32 batch in [0, 1] and its masks. Images are mirrored along each axis and transposed with p = 0.5; rotation
by up to 15 degrees, brightness +-0.2 and contrast 0.8 to 1.2 have the p of the table. Each contender has its
own random numbers, so the kinds of transforms agree, not the values. Contenders take turns; the first round is
not counted.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from race import race, report
from torch import Tensor
from torch.nn import functional

from benchbench.engine.augmentation.augment import augment
from benchbench.spec.augmentation import AugmentStep, Brightness, Contrast, Flip, Rotate, Transpose

DEGREES, BRIGHTNESS, CONTRAST = 15.0, 0.2, (0.8, 1.2)

Bytes = NDArray[np.uint8]
Contender = Callable[[], tuple[Tensor, Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    images, masks = synthesise(options.batch, options.size)
    for p in (1.0, 0.5):
        shape = f"{options.size}x{options.size}x3"
        print(f"\np = {p}: batch {options.batch} of {shape}, {options.threads} thread(s)")
        contenders = {
            "benchbench": ours(images, masks, p),
            "benchbench, from float32": ours(images, masks, p, from_float=True),
            "albumentations": peers_albumentations(images, masks, p),
        }
        try:
            contenders["torchvision v2"] = peers_torchvision(images, masks, p)
        except ImportError:
            print("torchvision is not installed: left out")
        seconds = race(contenders, rounds=options.rounds, check=check)
        report(seconds, units=options.batch, unit="image")


def synthesise(count: int, size: int) -> tuple[Bytes, Bytes]:
    """Return smooth images (count, size, size, 3) with some noise, and masks of blobs (count, size, size)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 4, size // 16, size // 16, generator=generator)
    smooth = functional.interpolate(coarse, size=(size, size), mode="bicubic")
    noise = torch.randn(count, 3, size, size, generator=generator)
    planes = (128 + 50 * smooth[:, :3] + 8 * noise).clamp(0, 255).to(torch.uint8)
    images = planes.permute(0, 2, 3, 1).contiguous()
    masks = (smooth[:, 3] > 0.6).to(torch.uint8)
    return images.numpy(), masks.numpy()


def ours(images: Bytes, masks: Bytes, p: float, *, from_float: bool = False) -> Contender:
    """Return benchbench's augmentation as the training loop calls it.

    The planes are uint8 in memory and each batch is converted to float; with `from_float` they are float already.
    """
    steps: list[AugmentStep] = [
        Flip(name="flip"),
        Transpose(name="transpose"),
        Rotate(name="rotate", degrees=DEGREES, p=p),
        Brightness(name="brightness", limit=BRIGHTNESS, p=p),
        Contrast(name="contrast", range=CONTRAST, p=p),
    ]
    planes, labels = _planes(images), torch.from_numpy(masks)
    generator = torch.Generator().manual_seed(0)
    if from_float:
        floats = planes.float().div_(255)
        return lambda: augment(floats, labels, steps, generator=generator)
    return lambda: augment(planes.float().div_(255), labels, steps, generator=generator)


def peers_albumentations(images: Bytes, masks: Bytes, p: float) -> Contender:
    # without this the import asks the package index for a newer version
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations  # noqa: PLC0415

    transform = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.VerticalFlip(p=0.5),
            albumentations.Transpose(p=0.5),
            albumentations.Rotate(limit=DEGREES, border_mode=cv2.BORDER_CONSTANT, p=p),
            albumentations.RandomBrightnessContrast(BRIGHTNESS, (CONTRAST[0] - 1, CONTRAST[1] - 1), p=p),
        ]
    )

    def run() -> tuple[Tensor, Tensor]:
        results = [transform(image=image, mask=mask) for image, mask in zip(images, masks, strict=True)]
        planes = [torch.from_numpy(result["image"]).permute(2, 0, 1) for result in results]
        labels = [torch.from_numpy(result["mask"]) for result in results]
        return torch.stack(planes).float().div_(255), torch.stack(labels)

    return run


def peers_torchvision(images: Bytes, masks: Bytes, p: float) -> Contender:
    from torchvision import tv_tensors  # noqa: PLC0415
    from torchvision.transforms import InterpolationMode, v2  # noqa: PLC0415

    jitter = v2.ColorJitter(brightness=BRIGHTNESS, contrast=CONTRAST)
    transform = v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            v2.RandomVerticalFlip(0.5),
            v2.RandomApply([v2.RandomRotation(DEGREES, interpolation=InterpolationMode.BILINEAR)], p),
            v2.RandomApply([jitter], p),
        ]
    )
    planes, labels = _planes(images), torch.from_numpy(masks)

    def change(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        image, mask = transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
        swap = random.random() < 0.5  # noqa: S311
        return (image.mT, mask.mT) if swap else (image, mask)

    def run() -> tuple[Tensor, Tensor]:
        pairs = [change(image, mask) for image, mask in zip(planes, labels, strict=True)]
        changed_images = [image.as_subclass(Tensor) for image, _ in pairs]
        changed_masks = [mask.as_subclass(Tensor) for _, mask in pairs]
        return torch.stack(changed_images).float().div_(255), torch.stack(changed_masks)

    return run


def _planes(images: Bytes) -> Tensor:
    """Return images (B, H, W, C) as (B, C, H, W)."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def check(name: str, result: tuple[Tensor, Tensor]) -> None:
    images, _ = result
    assert images.dtype == torch.float32, name
    assert 0.2 < float(images.mean()) < 0.8, name


if __name__ == "__main__":
    main()
