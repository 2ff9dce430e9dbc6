"""Memory that the volumes and windows of one case after another are predicted in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchbench.engine.batches.sampling import to_float
from benchbench.engine.preparation.prepared_case import PreparedCase


class WindowBuffer:
    """Memory for each use, as large as the largest case so far needed.

    A CPU takes longer to get new memory than to fill it. A GPU gets new tensors: its allocator keeps freed memory.
    """

    def __init__(self) -> None:
        self._memory: dict[str, Tensor] = {}

    def take(self, use: str, shape: Sequence[int], *, device: torch.device) -> Tensor:
        """Return float32 values of any content; the next call for the same use returns the same memory."""
        if device.type != "cpu":
            return torch.empty(*shape, device=device)
        size = math.prod(shape)
        memory = self._memory.get(use)
        if memory is None or len(memory) < size:
            self._memory.pop(use, None)  # freed first, so that both are never held
            # NumPy asks the system for large pages, in which windows are read and written faster
            memory = self._memory[use] = torch.from_numpy(np.empty(size, np.float32))
        return memory[:size].view(*shape)


def load_volume(case: PreparedCase, buffer: WindowBuffer, *, device: torch.device) -> Tensor:
    """Return the image of a case (C, *space), on the device, as `place_volume` does."""
    return place_volume(torch.from_numpy(case.image()), buffer, device=device)


def place_volume(image: Tensor, buffer: WindowBuffer, *, device: torch.device) -> Tensor:
    """Return an image (C, *space) as stored, on the device; one that is there already is not copied.

    On a CPU it is float32, because windows overlap and each would be converted again.
    """
    if device.type == "cpu" and image.dtype == torch.float16:
        volume = buffer.take("volume", image.shape, device=device)
        return volume.copy_(image)
    image = image.to(device)
    if image.dtype == torch.uint8:
        return to_float(image)
    return image
