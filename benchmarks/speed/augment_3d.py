"""Times benchbench's augmentation of volumes against MONAI's transforms, on the same CPU threads.

    python benchmarks/speed/augment_3d.py --threads 1

A contender cuts patches from a case (5, 135, 169, 136) in memory, with a probability of 0.4 around a voxel of
the foreground, and augments them by the recipe of BraTS 2021: zoom 1 to 1.4, noise, blur, brightness and
contrast with p = 0.15 for each of them, flips along each axis with p = 0.5. benchbench zooms with cubic
interpolation, MONAI with linear, because it has no cubic one for volumes. Each contender has its own random
numbers, so the kinds of transforms agree, not the values. Contenders take turns; the first round is not
counted.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import cv2
import numpy as np
import torch
from race import race, report
from torch import Tensor
from torch.nn import functional

from benchbench.engine.augmentation.augment import augment
from benchbench.spec.augmentation import AugmentStep, Blur, Contrast, Flip, MultiplicativeBrightness, Noise, Scale

SHAPE = (135, 169, 136)
CHANNELS, BATCH, FOREGROUND = 5, 2, 0.4
STEPS: tuple[AugmentStep, ...] = (
    Scale(name="scale", range=(1.0, 1.4), interpolation="cubic", p=0.15),
    Flip(name="flip", p=0.5),
    Noise(name="noise", sigma=(0.0, 0.33), p=0.15),
    Blur(name="blur", sigma=(0.5, 1.5), p=0.15),
    MultiplicativeBrightness(name="multiplicative_brightness", range=(0.7, 1.3), p=0.15),
    Contrast(name="contrast", range=(0.65, 1.5), about="zero", p=0.15),
)

Contender = Callable[[], tuple[Tensor, Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patches", type=int, default=24, help="a round, of the same seed in every round")
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    image, label = synthesise()
    task = {"size": options.size, "patches": options.patches}
    contenders = {
        "benchbench, in place": ours(image, label, in_place=True, **task),
        "benchbench, new tensors": ours(image, label, in_place=False, **task),
    }
    try:
        contenders["MONAI"] = monai(image, label, **task)
    except ImportError:
        print("MONAI is not installed: left out")
    print(f"{options.patches} patches (5, {options.size}^3) and their labels, {options.threads} thread(s)")
    report(race(contenders, rounds=options.rounds, check=check), units=options.patches, unit="patch")


def synthesise() -> tuple[Tensor, Tensor]:
    """Return a smooth image (5, *SHAPE) with noise, zero outside an ellipsoid, and a label map of blobs."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, CHANNELS + 1, *(size // 12 for size in SHAPE), generator=generator)
    smooth = functional.interpolate(coarse, size=SHAPE, mode="trilinear")[0]
    noise = 0.2 * torch.randn(CHANNELS, *SHAPE, generator=generator)
    axes = [torch.linspace(-1, 1, size) for size in SHAPE]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    brain = places.square().sum(0) < 1
    image = (smooth[:CHANNELS] + noise) * brain
    label = (smooth[CHANNELS] > 1) & brain
    return image, label.to(torch.uint8)


def ours(image: Tensor, label: Tensor, *, size: int, patches: int, in_place: bool) -> Contender:
    """Return benchbench's augmentation, with patches that are cut into the same tensors again and again."""
    foreground = label.nonzero().numpy()
    images = torch.empty(BATCH, CHANNELS, size, size, size)
    labels = torch.empty(BATCH, size, size, size, dtype=torch.uint8)

    def draw_patch(generator: np.random.Generator) -> tuple[slice, ...]:
        last_start = np.array(SHAPE) - size
        if generator.random() < FOREGROUND:
            voxel = foreground[generator.integers(len(foreground))]
            starts = np.clip(voxel - generator.integers(size, size=3), 0, last_start)
        else:
            starts = generator.integers(last_start + 1)
        return tuple(slice(start, start + size) for start in starts)

    def run() -> tuple[Tensor, Tensor]:
        places, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
        for _ in range(patches // BATCH):
            for patch, patch_label in zip(images, labels, strict=True):
                where = draw_patch(places)
                patch.copy_(image[:, *where])
                patch_label.copy_(label[where])
            result = augment(images, labels, STEPS, generator=generator, in_place=in_place)
        return result

    return run


def monai(image: Tensor, label: Tensor, *, size: int, patches: int) -> Contender:
    """Return MONAI's fastest form: the foreground is looked up once, and metadata are not tracked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import monai.transforms as mt  # noqa: PLC0415
        from monai.data import set_track_meta  # noqa: PLC0415
    set_track_meta(False)
    keys = ("image", "label")
    width = (0.5, 1.5)
    case = mt.FgBgToIndicesd("label", fg_postfix="_inside", bg_postfix="_outside")(
        {"image": image, "label": label[None]}
    )
    transform = mt.Compose(
        [
            mt.RandCropByPosNegLabeld(
                keys,
                "label",
                (size, size, size),
                pos=FOREGROUND,
                neg=1 - FOREGROUND,
                fg_indices_key="label_inside",
                bg_indices_key="label_outside",
            ),
            mt.RandZoomd(keys, prob=0.15, min_zoom=1.0, max_zoom=1.4, mode=("trilinear", "nearest")),
            *(mt.RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in range(3)),
            mt.RandGaussianNoised("image", prob=0.15, std=0.33),
            mt.RandGaussianSmoothd("image", sigma_x=width, sigma_y=width, sigma_z=width, prob=0.15),
            mt.RandScaleIntensityd("image", factors=0.3, prob=0.15),
            mt.RandScaleIntensityFixedMeand(
                "image", factors=(-0.35, 0.5), preserve_range=True, fixed_mean=False, prob=0.15
            ),
        ]
    )

    def run() -> tuple[Tensor, Tensor]:
        transform.set_random_state(0)
        for _ in range(patches):
            (result,) = transform(dict(case))
        return result["image"][None].contiguous(), result["label"].contiguous()

    return run


def check(name: str, result: tuple[Tensor, Tensor]) -> None:
    images, labels = result
    assert images.dtype == torch.float32, name
    assert images.shape[1:] == (CHANNELS, *labels.shape[1:]), name
    assert 0.2 < float(images.std()) < 2, name


if __name__ == "__main__":
    main()
