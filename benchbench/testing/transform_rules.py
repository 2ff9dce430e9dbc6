"""Rules for the transform of a plugin."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchbench.contract import TransformPlugin
from benchbench.testing.extension_candidate import SHARED, ExtensionCandidate
from benchbench.testing.report import Rule, fault

_SIZE = 16
_TRIES = 8


def _samples(candidate: ExtensionCandidate) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield an image and its label for each number of axes that the transform supports."""
    assert isinstance(candidate.plugin, TransformPlugin), "the rules are those of transforms"
    for ndim in sorted(candidate.plugin.ndims):
        patch = (_SIZE,) * ndim
        image = torch.rand(2, *patch, generator=torch.Generator().manual_seed(ndim))
        label = torch.zeros(patch, dtype=torch.uint8)
        inner = tuple(slice(3, 9) for _ in patch)
        label[inner] = 3
        yield f"{ndim}D", image, label


def _apply(candidate: ExtensionCandidate, image: Tensor, label: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    transform = candidate.build()
    image, label = transform(image.clone(), label.clone(), torch.Generator().manual_seed(seed))
    return image, label


def form_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    for where, image, label in _samples(candidate):
        for seed in range(_TRIES):
            new_image, new_label = _apply(candidate, image, label, seed)
            for part, new, old in (("image", new_image, image), ("label", new_label, label)):
                if new.shape != old.shape or new.dtype != old.dtype:
                    finding = f"{where}: returned {part} {tuple(new.shape)} {new.dtype}"
                    yield fault(finding, f"{tuple(old.shape)} {old.dtype}", "keep shape and type")
                    return


def value_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    for where, image, label in _samples(candidate):
        for seed in range(_TRIES):
            new_image, new_label = _apply(candidate, image, label, seed)
            strange = sorted(set(new_label.unique().tolist()) - {0, 3})
            if strange:
                advice = "move labels by the nearest voxel, and do not interpolate them"
                yield fault(f"{where}: found values {strange} in a label of 0 and 3", "0 and 3", advice)
                return
            if not bool(torch.isfinite(new_image).all()):
                yield fault(f"{where}: the image has values that are no numbers", "finite ones", "correct it")
                return


def generator_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    advice = "draw all random numbers from the generator that is given"
    for where, image, label in _samples(candidate):
        torch.manual_seed(0)
        first = _apply(candidate, image, label, 1)
        torch.manual_seed(1)
        second = _apply(candidate, image, label, 1)
        if not torch.equal(first[0], second[0]) or not torch.equal(first[1], second[1]):
            yield fault(f"{where}: one seed gives two results", "one", advice)


RULES = (
    Rule("form", "image and label keep shape and type", form_faults, is_prerequisite=True),
    Rule("values", "labels keep their values, and images stay finite", value_faults),
    Rule("seeded", "the generator decides every draw", generator_faults),
    *SHARED,
)
