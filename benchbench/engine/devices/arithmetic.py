"""The switches of torch that decide how a device multiplies, and with which algorithms."""

from __future__ import annotations

import os
import warnings
from typing import Any, TypedDict

import torch

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_REPEATABLE_WORKSPACE = ":4096:8"  # one of the two values with which cuBLAS repeats its sums
_HAS_SWITCH_PER_OPERATION = hasattr(torch.backends.cudnn, "conv")  # from torch 2.9 on


class Arithmetic(TypedDict):
    """The switches that a run was computed with."""

    matmul: str
    """Products of fp32 matrices: "ieee", or "tf32" with 10 bits of mantissa."""
    convolution: str
    """Convolutions in fp32, likewise."""
    rnn: str
    """Recurrent layers in fp32, likewise."""
    deterministic: bool
    """True if only algorithms are used that give equal bytes for equal seeds."""
    cudnn_benchmark: bool
    """True if cuDNN measures which algorithm is fastest; the choice can differ from run to run."""


def set_arithmetic(device: torch.device, precision: str, *, deterministic: bool) -> Arithmetic:
    """Set every switch for a run, because torch's defaults and earlier runs of this process may differ.

    With `precision` "tf32", GPUs round the factors of fp32 products to 10 bits; with any other they do not, also
    in the parts of a network that compute in fp32 under autocast. torch's default is TF32 for convolutions.
    """
    _set_factors("tf32" if precision == "tf32" and device.type == "cuda" else "ieee")
    if deterministic:
        os.environ.setdefault(_WORKSPACE, _REPEATABLE_WORKSPACE)  # read at the first use of the GPU
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # it costs time, and nothing reads such memory
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = device.type == "cuda" and not deterministic
    return read_arithmetic()


def read_arithmetic() -> Arithmetic:
    """Return the present switches of this process."""
    matmul, convolution, rnn = _read_factors()
    return {
        "matmul": matmul,
        "convolution": convolution,
        "rnn": rnn,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


def _set_factors(factors: str) -> None:
    with warnings.catch_warnings():
        # torch's compiler and exporter read the earlier switches, and raise where they differ from the later ones
        warnings.simplefilter("ignore")
        torch.backends.cuda.matmul.allow_tf32 = factors == "tf32"
        torch.backends.cudnn.allow_tf32 = factors == "tf32"
    if _HAS_SWITCH_PER_OPERATION:
        for operation in _operations():
            operation.fp32_precision = factors


def _read_factors() -> tuple[str, str, str]:
    """Return the switches of matrix products, convolutions and recurrent layers."""
    if _HAS_SWITCH_PER_OPERATION:
        matmul, convolution, rnn = (operation.fp32_precision for operation in _operations())
        return matmul, convolution, rnn
    names = {True: "tf32", False: "ieee"}
    cudnn = names[torch.backends.cudnn.allow_tf32]
    return names[torch.backends.cuda.matmul.allow_tf32], cudnn, cudnn


def _operations() -> tuple[Any, Any, Any]:
    return torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn
