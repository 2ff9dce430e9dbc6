"""The choice between processing samples one at a time and all together."""

from __future__ import annotations

from torch import Tensor


def one_at_a_time(images: Tensor) -> bool:
    """Return True on a CPU, whose cache holds one sample; a GPU is faster with all samples together."""
    return bool(images.device.type == "cpu")
