"""The extras of benchbench: the purpose and the modules of each, and the error where they are missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import NamedTuple

from benchbench.errors import BenchbenchError, UsageError


class Extra(NamedTuple):
    """A group of packages that `pip install 'benchbench[NAME]'` adds."""

    purpose: str
    modules: tuple[str, ...]


EXTRAS = {
    "albumentations": Extra("transforms of albumentations", ("albumentations",)),
    "energy": Extra("energy and use of NVIDIA GPUs, --per-device auto", ("pynvml",)),
    "export": Extra("benchbench export --format onnx", ("onnx", "onnxscript", "onnxruntime")),
    "kaggle": Extra("downloads from Kaggle", ("kagglehub",)),
    "mlflow": Extra("benchbench run --report mlflow", ("mlflow",)),
    "monai": Extra("networks of MONAI", ("monai", "einops")),
    "nnunet": Extra("networks of nnU-Net", ("dynamic_network_architectures",)),
    "nrrd": Extra("NRRD files", ("nrrd",)),
    "ray": Extra("benchbench run --launch ray", ("ray",)),
    "readers": Extra('reference = "staple" of several readers', ("SimpleITK",)),
    "scikit-image": Extra("protocol.spacing and protocol.denoise", ("skimage",)),
    "slurm": Extra("benchbench run --launch slurm", ("submitit",)),
    "smp": Extra("networks of segmentation-models-pytorch", ("segmentation_models_pytorch", "timm")),
    "tensorboard": Extra("event files of the learning curves", ("tensorboard",)),
    "tiff": Extra("compressed TIFF files", ("imagecodecs",)),
    "trackio": Extra("benchbench run --report trackio", ("trackio",)),
    "tune": Extra("[tune] in a benchmark file", ("optuna",)),
    "wandb": Extra("benchbench run --report wandb", ("wandb",)),
}
"""Name of each extra -> what it is for."""


def absent_modules(modules: Iterable[str]) -> list[str]:
    """Return those of the modules that are not installed; none of them is imported."""
    return [name for name in modules if find_spec(name) is None]


def has_extra(name: str) -> bool:
    """Return True if all modules of an extra are installed."""
    return not absent_modules(EXTRAS[name].modules)


def install_command(extra: str, *, distribution: str = "benchbench") -> str:
    """Return the command that installs an extra."""
    return f"pip install '{distribution}[{extra}]'"


def describe_absent(modules: Sequence[str]) -> str:
    """Return "needs monai, which is not installed" for modules that are not there."""
    verb = "is" if len(modules) == 1 else "are"
    return f"needs {', '.join(modules)}, which {verb} not installed"


def require_extra(name: str, user: str, *, error: type[BenchbenchError] = UsageError) -> None:
    """Check that the modules of an extra are installed; `user` is the setting, file or option that needs them.

    Raises:
        BenchbenchError: of the given type, in one line: a module is missing.
    """
    absent = absent_modules(EXTRAS[name].modules)
    if absent:
        raise error(f"{user} {describe_absent(absent)}; {install_command(name)}")
