"""Cases with the label of another patient, moved to another place: a control that nothing can be learned from.

The usual place of a lesion or an organ alone can score well, so that each label is also flipped and shifted around
the edges of the image. A network trained on these labels knows nothing that a test case could confirm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchbench.engine.preparation.labels import sample_foreground
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import IGNORED, BitMasks


@dataclass(frozen=True)
class MovedCase(PreparedCase):
    """A case with the image of one patient and the label of another."""

    source: PreparedCase
    """The case that the label is from."""
    shift: tuple[float, float, float]
    """Shift along each axis, as a fraction of its length."""
    flips: tuple[bool, bool, bool]
    """True for each axis that is reversed."""

    def label(self) -> BitMasks:
        return self._move(self.source.label(), super().label())

    def native_label(self) -> BitMasks:
        return self._move(self.source.native_label(), super().native_label())

    def foreground(self) -> NDArray[np.int32]:
        regions = max(1, self.source.present_bits.bit_length())
        return sample_foreground(self.label(), regions=regions)

    @property
    def present_bits(self) -> int:
        return self.source.present_bits

    @property
    def unlabelled_bits(self) -> int:
        """Regions that are not labelled in the image's case or in the label's."""
        return super().unlabelled_bits | self.source.unlabelled_bits

    def _move(self, other: BitMasks, replaced: BitMasks) -> BitMasks:
        """Return the other label in the shape of the replaced one, which keeps its ignored voxels."""
        moved = np.asarray(other) & ~np.uint8(IGNORED)
        for axis, size in enumerate(replaced.shape):
            places = (np.arange(size) + 0.5) * moved.shape[axis] / size
            nearest = places.astype(np.int64)
            if self.flips[axis]:
                nearest = nearest[::-1]
            moved = np.roll(moved.take(nearest, axis=axis), round(self.shift[axis] * size), axis=axis)
        is_ignored = np.asarray(replaced) == IGNORED
        result: BitMasks = np.where(is_ignored, np.asarray(replaced), moved).astype(np.uint8)
        return result


def move_labels(
    train: Sequence[PreparedCase], validation: Sequence[PreparedCase], *, seed: int
) -> dict[str, tuple[PreparedCase, ...]]:
    """Return both parts, every case with the label of the next patient in a random order of all of them."""
    generator = np.random.default_rng(seed)
    by_patient: dict[str, list[PreparedCase]] = {}
    for prepared in (*train, *validation):
        by_patient.setdefault(prepared.case.patient, []).append(prepared)
    patients = np.array(sorted(by_patient))
    order = generator.permutation(patients).tolist()
    following = dict(zip(order, [*order[1:], order[0]], strict=True))

    def moved(prepared: PreparedCase) -> PreparedCase:
        others = by_patient[following[prepared.case.patient]]
        source = others[int(generator.integers(len(others)))]
        first, second, third = generator.random(3).tolist()
        flips = generator.random(3) < 0.5
        return MovedCase(
            prepared.case,
            prepared.folder,
            source,
            (first, second, third),
            (bool(flips[0]), bool(flips[1]), bool(flips[2])),
        )

    return {"train": tuple(map(moved, train)), "validation": tuple(map(moved, validation))}
