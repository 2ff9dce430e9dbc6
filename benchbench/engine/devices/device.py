"""The devices of this machine, and the most memory that was used on one."""

from __future__ import annotations

import sys

import torch

from benchbench.errors import UsageError


def resolve_devices(requested: str) -> tuple[str, ...]:
    """Return the devices for `auto` (every GPU, else the CPU), `cpu` or a list as in `cuda:0,cuda:1`.

    Raises:
        UsageError: this machine does not have a requested device; no other device takes its place.
    """
    present = tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
    if requested == "auto":
        return present or ("cpu",)
    devices = []
    for name in requested.split(","):
        device = "cuda:0" if name.strip() == "cuda" else name.strip()
        if device not in {"cpu", *present}:
            raise UsageError(f"--device {device}: not found; this machine has {', '.join(('cpu', *present))}")
        devices.append(device)
    return tuple(devices)


def peak_memory_bytes(device: torch.device) -> int | None:
    """Return the peak memory of tensors on a GPU, or of this process on a CPU; None where it is unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
