"""The regions that cases lack by declaration, as marks in the labels of their samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import MOST_REGIONS


class UnlabelledRegions:
    """The regions that are not labelled in some cases."""

    def __init__(self, cases: Sequence[PreparedCase]) -> None:
        self._bits = torch.tensor([case.unlabelled_bits for case in cases], dtype=torch.int32)
        self.exist = bool(self._bits.any())
        """True if one of the cases lacks a region; otherwise labels stay as they are."""

    def mark(self, labels: Tensor, cases: Tensor) -> Tensor:
        """Return bit masks (B, *space) marked with the regions that each sample lacks; `cases` are numbers."""
        if not self.exist:
            return labels
        return mark_unlabelled(labels, self._bits[cases.cpu()])


def mark_unlabelled(labels: Tensor, unlabelled: Tensor) -> Tensor:
    """Return bit masks (B, *space) as int32 with the regions that each sample lacks by declaration.

    Bit k of `unlabelled` (B,) is set where region k of a sample is not labelled; it becomes bit 8 + k of all
    its voxels. The functions of `engine.network.regions` understand both kinds of bit masks, which differ in type.
    """
    marks = unlabelled.to(labels.device, torch.int32) << MOST_REGIONS
    return labels.to(torch.int32) | marks.view(-1, *[1] * (labels.ndim - 1))
