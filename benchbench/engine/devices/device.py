"""Which devices there are, and how much of their memory was used."""

from __future__ import annotations

import sys

import torch

from benchbench.errors import UsageError


def resolve_devices(wanted: str) -> tuple[str, ...]:
    """`auto` (every GPU, else the CPU), `cpu`, or a list such as `cuda:0,cuda:1`.

    Raises:
        UsageError: a device that is not there; nothing falls back silently.
    """
    present = tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
    if wanted == "auto":
        return present or ("cpu",)
    names = tuple("cuda:0" if name.strip() == "cuda" else name.strip() for name in wanted.split(","))
    for name in names:
        if name != "cpu" and name not in present:
            raise UsageError(f"--device {name}: not found; this machine has {', '.join(('cpu', *present))}")
    return names


def peak_memory_bytes(device: torch.device) -> int | None:
    """Most memory that tensors held on a GPU, or that this process held in all; None where neither can be told."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
