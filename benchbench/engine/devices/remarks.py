"""Lines that a user should read before anything is trained on the devices that were chosen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchbench.errors import UsageError

_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)[af]?$")
_FIRST_WITH_BF16 = 8  # compute capability of Ampere
_DRIVER = Path("/proc/driver/nvidia/version")
_CARDS = (Path("/proc/driver/nvidia/gpus"), "*"), (Path("/dev"), "nvidia[0-9]*")


class Gpu(NamedTuple):
    """The properties that decide whether torch can use a GPU, and how."""

    device: str
    name: str
    capability: tuple[int, int]
    architectures: tuple[str, ...]
    """The architectures for which torch has code, such as sm_90 or, as PTX, compute_90."""


def read_gpus(devices: Sequence[str]) -> list[Gpu]:
    """Return the GPUs among these devices; this starts CUDA in the process."""
    gpus = []
    for device in dict.fromkeys(devices):
        if device.startswith("cuda"):
            number = torch.device(device)
            name, capability = torch.cuda.get_device_name(number), torch.cuda.get_device_capability(number)
            gpus.append(Gpu(device, name, capability, tuple(torch.cuda.get_arch_list())))
    return gpus


def check_gpus(gpus: Sequence[Gpu]) -> None:
    """Refuse GPUs for which torch has no code; every kernel would fail on them.

    Raises:
        UsageError: with every such GPU.
    """
    reasons = {gpu.device: unsupported_reason(gpu) for gpu in gpus}
    advice = "install another torch, or use --device cpu"
    problems = [f"--device {device}: {reason}; {advice}" for device, reason in reasons.items() if reason]
    if problems:
        raise UsageError(*problems)


def device_remarks(
    requested: str, devices: Sequence[str], gpus: Sequence[Gpu], precisions: Iterable[str] = ()
) -> list[str]:
    """Return a line for an NVIDIA GPU that `auto` cannot use, and for each GPU that computes bf16 by emulation.

    `precisions` are those of the protocols that will run.
    """
    remarks = []
    if requested == "auto" and tuple(devices) == ("cpu",) and has_nvidia_card():
        remarks.append(f"--device auto: runs use the CPU, because {reason_without_gpu()}")
    if "bf16" in precisions:
        remarks += [_emulation_remark(gpu) for gpu in gpus if is_bf16_emulated(gpu)]
    return remarks


def _emulation_remark(gpu: Gpu) -> str:
    return (
        f"{gpu.device}: {gpu.name} computes bf16 by emulation, slower than fp32; set protocol.precision to fp16 or"
        " fp32"
    )


def is_bf16_emulated(gpu: Gpu) -> bool:
    """Return True for an NVIDIA GPU of an architecture before Ampere."""
    return gpu.capability[0] < _FIRST_WITH_BF16


def has_nvidia_card() -> bool:
    """Return True if the system lists an NVIDIA GPU, whether or not torch can use it."""
    return any(any(folder.glob(pattern)) for folder, pattern in _CARDS)


def reason_without_gpu() -> str:
    """Return why torch uses no GPU of a machine that has one, and the remedy."""
    if torch.version.cuda is None:
        return "this torch is built without CUDA; install the one that PyPI has for Linux"
    driver = driver_version()
    installed = f"driver {driver}" if driver else "the driver"
    return (
        f"torch {torch.__version__} is built for CUDA {torch.version.cuda} and finds no GPU with {installed};"
        " update the driver, install a torch for an older CUDA, or check CUDA_VISIBLE_DEVICES"
    )


def driver_version() -> str:
    """Return the version of the NVIDIA kernel module; '' where there is none."""
    try:
        words = _DRIVER.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return ""
    return next((word for word in words if word.count(".") >= 1 and word.replace(".", "").isdecimal()), "")


def unsupported_reason(gpu: Gpu) -> str:
    """Return why torch has no code for a GPU; '' if it has.

    Code for an architecture runs on later ones of the same generation, and its PTX form on all later ones.
    """
    major, minor = gpu.capability
    for architecture in gpu.architectures:
        match = _ARCHITECTURE.match(architecture)
        if match is None:
            return ""  # a form of name that is not known yet
        kind, generation, step = match[1], int(match[2]), int(match[3])
        is_older = (generation, step) <= (major, minor)
        if is_older and (kind == "compute" or generation == major):
            return ""
    if not gpu.architectures:
        return ""
    return f"torch {torch.__version__} has no code for sm_{major}{minor}, only for {', '.join(gpu.architectures)}"
