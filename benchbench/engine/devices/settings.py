"""Settings of a machine that change how a run is computed, but not what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Compile = Literal["off", "auto", "graph"]
"""Request to compile the training steps: not at all, where it can be done, or with CUDA graphs as well."""


@dataclass(frozen=True, kw_only=True)
class ComputeSettings:
    """The way in which this machine carries out runs; no digest depends on it."""

    deterministic: bool = False
    """True if a GPU uses deterministic algorithms only, so that equal seeds give equal bytes."""
    compile: Compile = "off"
    """Request to compile the training steps, which changes their results by rounding."""
    compile_cache: Path | None = None
    """Folder of compiled code, which runs share; None for that of torch."""
    resume_seconds: float = 60.0
    """Seconds of training that a process loses at most if it is killed without a signal to stop."""
    keeps_data_on_gpu: bool = True
    """True if the training cases stay in GPU memory where they fit; a run that then runs out of memory turns it
    off."""
    reporters: tuple[str, ...] = ()
    """Names of the plugins that receive the values of each run."""


DEFAULT_SETTINGS = ComputeSettings()
