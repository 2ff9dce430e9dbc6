"""Memory of the machine in which batches are put together before they are copied to a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def empty_for_copies(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return uninitialised memory of the machine, from which the device copies while the CPU works on.

    For a GPU it is page-locked: from other memory the CPU waits until all earlier work of the GPU is done. torch
    gives a block to another batch only when its copy has ended, so that a few blocks serve a whole training.
    """
    return torch.empty(tuple(shape), dtype=dtype, pin_memory=device.type == "cuda")


def stack_to(device: torch.device, arrays: Sequence[Tensor]) -> Tensor:
    """Return arrays of one shape as a batch (B, ...) on the device, of their type."""
    batch = empty_for_copies((len(arrays), *arrays[0].shape), arrays[0].dtype, device)
    torch.stack(list(arrays), out=batch)
    return batch.to(device, non_blocking=True)
