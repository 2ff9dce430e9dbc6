"""Augmentation by albumentations, on the CPU, for transforms that `engine.augmentation` does not have.

The library is archived upstream; no other module of benchbench imports it.
"""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from benchbench.errors import IncompatibleError
from benchbench.extras import require_extra
from benchbench.images.arrays import BitMasks
from benchbench.spec.document import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchbench.spec.augmentation import Albumentations

Pixels = NDArray[np.float32]

_FILLS_MASK = ("mask_interpolation", "fill_mask", "mask_drop_value")
"""Parameters that could put values into a mask that are not regions."""


def check_albumentations(step: Albumentations, *, shape: tuple[int, int, int] | None = None) -> list[str]:
    """Return a line for each fault of a step: in its name, its parameters and their values.

    With the shape (H, W, C) of a patch the transform is also applied to one.
    """
    try:
        transform = _build(step)
        if shape is not None:
            _apply_to_random_patch(transform, shape)
    except IncompatibleError as error:
        return list(error.problems)
    return []


def apply_albumentations(
    images: Pixels, labels: BitMasks, step: Albumentations, *, seeds: Sequence[int]
) -> tuple[Pixels, BitMasks]:
    """Return new images (B, H, W, C) and labels (B, H, W); the seed of each sample decides its transform.

    albumentations takes images in [0, 1]. An image that exceeds this range is rescaled by its own range before,
    and back after.

    Raises:
        IncompatibleError: the step is wrong, or its transform fails or changes the shape.
    """
    transform = _build(step)
    new_images, new_labels = np.empty_like(images), np.empty_like(labels)
    for number, seed in enumerate(seeds):
        # without Compose, which gives all its transforms one seed: all of them would happen, or none
        transform.set_random_seed(seed)
        new_images[number], new_labels[number] = _apply(transform, images[number], labels[number])
    return new_images, new_labels


def _build(step: Albumentations) -> Any:
    name, transforms = step.albumentations, _transforms()
    if name not in transforms:
        raise IncompatibleError(
            f"albumentations = {name!r}: no transform of an image and its mask; {nearest(name, list(transforms))}"
        )
    transform_class = transforms[name]
    known = list(inspect.signature(transform_class).parameters)
    problems = [*_unknown_parameters(step, known), *_mask_filling_parameters(step, known)]
    if problems:
        raise IncompatibleError(*problems)
    # unless strict, the library replaces a value that its validator rejects by the default, with a warning
    strict = {"strict": True} if "InitSchema" in vars(transform_class) else {}
    try:
        return transform_class(**step.params, **strict)
    except (TypeError, ValueError) as error:
        raise IncompatibleError(*_explain(name, error)) from error


def _transforms() -> dict[str, Any]:
    """Return the transforms of an image and its mask by name."""
    require_extra("albumentations", "protocol.augment: albumentations")
    # without this the library asks the package index for a newer version at every import
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations  # noqa: PLC0415 takes two seconds, which most benchmarks do not need

    bases = (albumentations.DualTransform, albumentations.ImageOnlyTransform)
    transforms = {}
    for name, value in vars(albumentations).items():
        is_transform = inspect.isclass(value) and issubclass(value, bases) and value not in bases
        if is_transform and not issubclass(value, albumentations.Transform3D):
            transforms[name] = value
    return transforms


def _unknown_parameters(step: Albumentations, known: Sequence[str]) -> Iterator[str]:
    for name in step.params:
        if name not in known:
            yield f"{_title(step.albumentations)}: no parameter {name!r}; {nearest(name, known)}"


def _mask_filling_parameters(step: Albumentations, known: Sequence[str]) -> Iterator[str]:
    for name in _FILLS_MASK:
        if name in known and step.params.get(name) not in {None, 0}:
            yield (
                f"{_title(step.albumentations)}: {name} must be 0, found {step.params[name]!r};"
                " the values of a mask are its regions"
            )


def _explain(name: str, error: Exception) -> list[str]:
    """Return the library's complaints, a line for each parameter."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return [f"{_title(name)}: {_one_line(error)}"]
    complaints: dict[str, list[str]] = {}
    for problem in cause.errors():
        where, complaint = _title(name), problem["msg"]
        if problem["loc"]:
            where += f": {problem['loc'][0]}"
            if problem["type"] != "missing":
                complaint += f", found {problem['input']!r}"
        complaints.setdefault(where, []).append(complaint)
    return [f"{where}: {' or '.join(messages)}" for where, messages in complaints.items()]


def _apply_to_random_patch(transform: Any, shape: tuple[int, int, int]) -> None:
    """Apply the transform once, whatever its probability `p`."""
    generator = np.random.default_rng(0)
    image = generator.random(shape, np.float32)
    label = generator.choice([0, 1, 3], shape[:2]).astype(np.uint8)
    transform.p = 1.0
    transform.set_random_seed(0)
    _, new_label = _apply(transform, image, label)
    strange = np.setdiff1d(new_label, label)
    if len(strange):
        name = _title(type(transform).__name__)
        raise IncompatibleError(f"{name}: puts {strange.tolist()} into a mask that has 0, 1 and 3")


def _apply(transform: Any, image: Pixels, label: BitMasks) -> tuple[Pixels, BitMasks]:
    low, high = float(image.min()), float(image.max())
    if 0 <= low <= high <= 1:
        return _call(transform, image, label)
    span = (high - low) or 1.0
    scaled = (image - low) / span
    new_image, new_label = _call(transform, scaled, label)
    if new_image is scaled:  # not transformed: without the rounding of scaling
        return image, new_label
    return new_image * span + low, new_label


def _call(transform: Any, image: Pixels, label: BitMasks) -> tuple[Pixels, BitMasks]:
    height, width, channels = image.shape
    where = f"{_title(type(transform).__name__)} on {height} x {width} pixels with {channels} channels"
    try:
        result = transform(image=image, mask=label)
    except Exception as error:
        raise IncompatibleError(f"{where}: {_one_line(error)}") from error
    new_image, new_label = result["image"], result["mask"]
    if new_image.shape != image.shape or new_label.shape != label.shape:
        size = f"{new_image.shape[0]} x {new_image.shape[1]}"
        raise IncompatibleError(f"{where}: returned {size}, expected the same size")
    if new_image.dtype != image.dtype or new_label.dtype != label.dtype:
        raise IncompatibleError(f"{where}: returned {new_image.dtype} for the image, expected {image.dtype}")
    return new_image, new_label


def _title(name: str) -> str:
    return f"albumentations = {name!r}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
