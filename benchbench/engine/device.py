"""Which devices there are."""

from __future__ import annotations

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
