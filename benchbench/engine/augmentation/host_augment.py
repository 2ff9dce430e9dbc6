"""Augmentation by albumentations, on the CPU: whatever `engine.augment` has no transform of its own for.

The library is archived upstream; nothing else in benchbench imports it.
"""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from benchbench.errors import IncompatibleError
from benchbench.images.arrays import BitMasks
from benchbench.spec.document import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchbench.spec.augmentation import Albumentations

Pixels = NDArray[np.float32]

_FILLS_MASK = ("mask_interpolation", "fill_mask", "mask_drop_value")
"""Parameters that could put numbers into a mask that are no regions of it."""


def check_albumentations(step: Albumentations, *, shape: tuple[int, int, int] | None = None) -> list[str]:
    """What is wrong with a step, a line each: its name, its parameters, their values.

    With the shape (H, W, C) of a patch also what happens when it is applied to one.
    """
    try:
        transform = _build(step)
        if shape is not None:
            _try(transform, shape)
    except IncompatibleError as error:
        return list(error.problems)
    return []


def apply_albumentations(
    images: Pixels, labels: BitMasks, step: Albumentations, *, seeds: Sequence[int]
) -> tuple[Pixels, BitMasks]:
    """New images (B, H, W, C) and labels (B, H, W), each sample changed as its own seed decides.

    albumentations takes images in [0, 1]; one that exceeds them is rescaled by its range before, and back after.

    Raises:
        IncompatibleError: the step is wrong, or its transform fails or changes the shape.
    """
    transform = _build(step)
    changed, changed_labels = np.empty_like(images), np.empty_like(labels)
    for number, seed in enumerate(seeds):
        # not by a Compose: it gives all its transforms one seed, so that they all happen or none does
        transform.set_random_seed(seed)
        changed[number], changed_labels[number] = _apply(transform, images[number], labels[number])
    return changed, changed_labels


def _build(step: Albumentations) -> Any:
    name, transforms = step.albumentations, _transforms()
    if name not in transforms:
        raise IncompatibleError(
            f"albumentations = {name!r}: no transform of an image and its mask; {nearest(name, list(transforms))}"
        )
    kind = transforms[name]
    problems = _check_parameters(step, list(inspect.signature(kind).parameters))
    if problems:
        raise IncompatibleError(*problems)
    # unless strict, a value that makes its validator fail is replaced by the default, with a warning
    strict = {"strict": True} if "InitSchema" in vars(kind) else {}
    try:
        return kind(**step.params, **strict)
    except (TypeError, ValueError) as error:
        raise IncompatibleError(*_explain(name, error)) from error


def _transforms() -> dict[str, Any]:
    # else the library asks the package index for a newer version whenever it is imported
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations  # noqa: PLC0415 (two seconds that most benchmarks need not spend)

    bases = (albumentations.DualTransform, albumentations.ImageOnlyTransform)
    return {
        name: kind
        for name, kind in vars(albumentations).items()
        if inspect.isclass(kind) and issubclass(kind, bases) and kind not in bases
        if not issubclass(kind, albumentations.Transform3D)
    }


def _check_parameters(step: Albumentations, known: Sequence[str]) -> list[str]:
    where = f"albumentations = {step.albumentations!r}"
    unknown = [
        f"{where}: no parameter {name!r}; {nearest(name, known)}" for name in step.params if name not in known
    ]
    filling = [
        f"{where}: {name} must be 0, found {step.params[name]!r}; the values of a mask are its regions"
        for name in _FILLS_MASK
        if name in known and step.params.get(name) not in {None, 0}
    ]
    return unknown + filling


def _explain(name: str, error: Exception) -> list[str]:
    """The library's complaint about parameters, a line for each of them."""
    where, cause = f"albumentations = {name!r}", error.__cause__
    if not isinstance(cause, ValidationError):
        return [f"{where}: {_one_line(error)}"]
    complaints: dict[str, list[str]] = {}
    for problem in cause.errors():
        parameter = str(problem["loc"][0]) if problem["loc"] else ""
        found = "" if problem["type"] == "missing" or not parameter else f", found {problem['input']!r}"
        complaints.setdefault(parameter, []).append(f"{problem['msg']}{found}")
    return [
        f"{where}: " + (f"{parameter}: " if parameter else "") + " or ".join(lines)
        for parameter, lines in complaints.items()
    ]


def _try(transform: Any, shape: tuple[int, int, int]) -> None:
    """Applies the transform once, whatever its `p`."""
    generator = np.random.default_rng(0)
    image, label = generator.random(shape, np.float32), generator.choice([0, 1, 3], shape[:2]).astype(np.uint8)
    transform.p = 1.0
    transform.set_random_seed(0)
    _, changed = _apply(transform, image, label)
    strange = np.setdiff1d(changed, label)
    if len(strange):
        raise IncompatibleError(f"{_named(transform)}: puts {strange.tolist()} into a mask that has 0, 1 and 3")


def _apply(transform: Any, image: Pixels, label: BitMasks) -> tuple[Pixels, BitMasks]:
    low, high = float(image.min()), float(image.max())
    if 0 <= low <= high <= 1:
        return _call(transform, image, label)
    span = (high - low) or 1.0
    scaled = (image - low) / span
    changed, label = _call(transform, scaled, label)
    return image if changed is scaled else changed * span + low, label


def _call(transform: Any, image: Pixels, label: BitMasks) -> tuple[Pixels, BitMasks]:
    height, width, channels = image.shape
    where = f"{_named(transform)} on {height} x {width} pixels with {channels} channels"
    try:
        result = transform(image=image, mask=label)
    except Exception as error:
        raise IncompatibleError(f"{where}: {_one_line(error)}") from error
    changed, changed_label = result["image"], result["mask"]
    if changed.shape != image.shape or changed_label.shape != label.shape:
        raise IncompatibleError(f"{where}: gives {changed.shape[0]} x {changed.shape[1]}, expected the same size")
    if changed.dtype != image.dtype or changed_label.dtype != label.dtype:
        raise IncompatibleError(f"{where}: gives {changed.dtype} for the image, expected {image.dtype}")
    return changed, changed_label


def _named(transform: Any) -> str:
    return f"albumentations = {type(transform).__name__!r}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
