"""How the samples of a batch are processed: one at a time, or all together."""

from __future__ import annotations

from torch import Tensor


def one_at_a_time(images: Tensor) -> bool:
    """Return True on a CPU, whose cache holds one sample; a GPU is faster with all samples together."""
    return bool(images.device.type == "cpu")
