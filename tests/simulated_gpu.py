"""A GPU for machines without one: its tensors name `cuda:0` as their device and hold real numbers on the CPU.

    environment = build(folder)      # once: two libraries, by g++; the variables for the process to start
    with simulate() as counts: ...   # in that process

It refuses what a GPU would refuse: an operation on tensors of both devices. It counts kernels, copies, bytes and
synchronisations, the last ones with the line of benchbench that waits. A kernel is an operation of ATen that is no
view; kernels inside of an operation, streams, graphs, several devices and times are not simulated.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

GPU = torch.device("cuda:0")
FREE_BYTES = 64 * 2**30
MOST_DEVICES = 127  # gradients look for the context of every device that could be there
NOT_COUNTED = {
    "_unsafe_view",
    "lift_fresh",
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "set_",
    "resize_",
}
"""Operations that launch nothing, next to all views."""
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim"}
"""Operations of which the CPU needs the result."""
COPYING = {"clone", "copy_", "_to_copy"}
"""Operations that only copy, perhaps to another type or layout."""
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
RUNTIME = """
static signed char devices = 0;
extern "C" void simulate_devices(int count) { devices = count; }
namespace c10 { namespace cuda {
bool hasPrimaryContext(signed char) { return false; }
signed char device_count() noexcept { return devices; }
} }
"""
"""Functions of torch's CUDA library that its gradients ask, in place of a driver."""
DRIVER = """
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 0; return 0; }
"""
LIBRARY = "SIMULATED_GPU_LIBRARY"
STAGED_BYTES = 64 * 1024
"""Copies to the GPU of more bytes make the CPU wait unless they are from page-locked memory."""
PAGE_LOCKED = WeakTensorKeyDictionary()


@dataclass
class Counts:
    """The work of the simulated GPU."""

    kernels: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    """Reason and place -> number of times that the CPU waited for the GPU."""
    uploads: int = 0
    """Copies from the CPU."""
    copies: int = 0
    """Kernels that only copy within the GPU, perhaps to another type or layout."""
    traffic_bytes: int = 0
    """Bytes that kernels read and write: all of their tensors, each time."""

    def clear(self) -> None:
        self.kernels = self.uploads = self.copies = self.traffic_bytes = 0
        self.waits.clear()

    def wait(self, reason: str) -> None:
        self.waits[f"{reason} in {_place()}"] += 1


COUNTS = Counts()


class GpuTensor(torch.Tensor):
    """A tensor on the simulated GPU."""

    values: torch.Tensor

    @staticmethod
    def __new__(cls: type[Self], values: torch.Tensor, requires_grad: bool = False) -> Self:
        with torch.inference_mode(mode=False):  # a tensor of that mode could not be a view of another one
            meta = torch.empty_strided(values.size(), values.stride(), dtype=values.dtype, device="meta")
            tensor = torch.Tensor._make_subclass(
                cls, meta, requires_grad, dispatch_device=True, device_for_backend_keys=GPU
            )
        tensor.values = values
        return tensor

    @classmethod
    def __torch_dispatch__(cls, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _carry_out(function, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:
        return f"GpuTensor({tuple(self.shape)}, {self.dtype})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            copied: Any = GpuTensor(self.values.detach().clone())
            if isinstance(self, torch.nn.Parameter):
                copied = torch.nn.Parameter(copied, self.requires_grad)
            memo[id(self)] = copied
        return memo[id(self)]

    def numpy(self, **_: Any) -> Any:
        raise TypeError("a tensor on a GPU has no NumPy array; copy it to the CPU first")

    def tolist(self) -> Any:
        COUNTS.wait("tolist")
        return self.values.tolist()


class _Mode(TorchDispatchMode):
    """Takes every operation, also those that make new tensors on the GPU."""

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # in inference mode, operations that consist of others arrive whole
        if function is not torch.ops.prim.device.default and _consists_of_others(function):
            with self:
                return function.decompose(*args, **(kwargs or {}))
        return _carry_out(function, args, kwargs or {})


def build(folder: Path) -> dict[str, str]:
    """Compile the libraries into a folder and return the variables of a process that simulates a GPU."""
    for name, text, suffix in (("runtime.so", RUNTIME, ".cpp"), ("libcuda.so.1", DRIVER, ".c")):
        source = (folder / name).with_suffix(suffix)
        source.write_text(text)
        subprocess.run(
            ["g++" if suffix == ".cpp" else "gcc", "-shared", "-fPIC", "-o", folder / name, source], check=True
        )
    runtime = str(folder / "runtime.so")
    return {LIBRARY: runtime, "LD_PRELOAD": runtime, "LD_LIBRARY_PATH": str(folder)}


@contextlib.contextmanager
def simulate() -> Iterator[Counts]:
    """Simulate one GPU; what it did is counted from here on."""
    _replace_functions_of_torch()
    torch._C._ensureCUDADeviceGuardSet()  # takes a guard without a driver, as long as there is no device
    ctypes.CDLL(os.environ[LIBRARY]).simulate_devices(MOST_DEVICES)
    COUNTS.clear()
    with _Mode():
        yield COUNTS


def _replace_functions_of_torch() -> None:
    properties = SimpleNamespace(
        name="simulated", uuid="simulated", major=9, minor=0, multi_processor_count=132, total_memory=FREE_BYTES
    )
    answers: dict[str, Any] = {
        "is_available": True,
        "device_count": 1,
        "current_device": 0,
        "mem_get_info": (FREE_BYTES, FREE_BYTES),
        "max_memory_allocated": 0,
        "memory_allocated": 0,
        "empty_cache": None,
        "reset_peak_memory_stats": None,
        "get_device_name": "simulated",
        "get_device_properties": properties,
        "get_device_capability": (9, 0),
        "is_bf16_supported": True,
        "is_current_stream_capturing": False,
        "_lazy_init": None,
        "set_device": None,
        "manual_seed": None,
        "manual_seed_all": None,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, _answering(answer))
    torch.cuda.synchronize = lambda *_: COUNTS.wait("synchronize")
    torch.cuda.get_rng_state = lambda *_: torch.get_rng_state()
    torch.cuda.set_rng_state = lambda state, *_: torch.set_rng_state(state)
    torch.Generator = _Generator  # type: ignore[assignment, misc]
    torch.tensor = _tensor
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch.backends.cudnn.enabled = False  # its operations are kernels of the library
    torch.backends.mha.set_fastpath_enabled(False)
    for switch in ("enable_flash_sdp", "enable_mem_efficient_sdp", "enable_cudnn_sdp"):
        getattr(torch.backends.cuda, switch)(False)


def _answering(answer: Any) -> Any:
    return lambda *_, **__: answer


_cpu_tensor = torch.tensor
_CpuGenerator = torch.Generator


class _GeneratorType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _CpuGenerator)


class _Generator(metaclass=_GeneratorType):
    """Generators of the GPU draw on the CPU."""

    def __new__(cls, device: Any = "cpu") -> Any:  # noqa: ARG004
        return _CpuGenerator("cpu")


def _tensor(data: Any, *, device: Any = None, **options: Any) -> torch.Tensor:
    if device is None or torch.device(device).type != "cuda":
        return _cpu_tensor(data, device=device, **options)
    COUNTS.wait("torch.tensor on the GPU")
    return GpuTensor(_cpu_tensor(data, **options))


def _carry_out(function: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    if function is torch.ops.prim.device.default:
        return GPU
    name = function._schema.name.split("::")[1]
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    on_gpu = [tensor for tensor in tensors if isinstance(tensor, GpuTensor)]
    target = kwargs.get("device")
    goes_to_gpu = target is not None and torch.device(target).type == "cuda"
    if not on_gpu and not goes_to_gpu:
        return _compute_on_host(function, args, kwargs)
    options = {**kwargs, **({"device": torch.device("cpu")} if goes_to_gpu else {})}
    is_counted = False
    if name in {"_to_copy", "copy_"} and _is_between_devices(tensors, target, goes_to_gpu=goes_to_gpu):
        _count_copy(
            name, args, kwargs, goes_to_gpu=goes_to_gpu or (isinstance(args[0], GpuTensor) and name == "copy_")
        )
    else:
        _check_devices(name, tensors)
        is_counted = _count(function, name, args)
    result = _compute(function, name, tree_map(_values, args), tree_map(_values, options))
    if is_counted:
        results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        outputs = [kwargs[argument.name] for argument in function._schema.arguments if argument.is_out]
        read = [tensor for tensor in on_gpu if not any(tensor is output for output in outputs)]
        COUNTS.traffic_bytes += sum(tensor.numel() * tensor.element_size() for tensor in (*read, *results))
    if target is not None and not goes_to_gpu:
        return result
    if name == "_local_scalar_dense":
        return result
    wrapped = {id(tensor.values): tensor for tensor in on_gpu}
    originals = {id(tensor) for tensor in tensors if not isinstance(tensor, GpuTensor)}

    def wrap(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or id(leaf) in originals:
            return leaf
        known = wrapped.get(id(leaf))  # of an operation in place
        return GpuTensor(leaf) if known is None else known

    return tree_map(wrap, result)


def _compute(function: Any, name: str, args: Any, kwargs: Any) -> Any:
    """Return the result of an operation; in float32, rounded, where a CPU has none for the short types of a GPU."""
    try:
        return function(*args, **kwargs)
    except (NotImplementedError, RuntimeError) as error:
        if not re.search("half|bfloat16", str(error), re.IGNORECASE):
            raise
    if name in {"_softmax", "_log_softmax"}:  # the last argument asks for a result in float32
        return function(args[0].float(), args[1], False)
    if name in {"_softmax_backward_data", "_log_softmax_backward_data"}:  # the last one is the type of the result
        return function(*args[:3], torch.float32).to(args[3])
    (short,) = {leaf.dtype for leaf in tree_leaves((args, kwargs)) if _is_short(leaf)}
    long_args, long_kwargs = tree_map(lambda leaf: leaf.float() if _is_short(leaf) else leaf, (args, kwargs))
    result = function(*long_args, **long_kwargs)
    return tree_map(lambda leaf: leaf.to(short) if isinstance(leaf, torch.Tensor) else leaf, result)


def _is_short(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.dtype in {torch.float16, torch.bfloat16}


def _compute_on_host(function: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """Return the result of an operation on the CPU; page-locked memory needs a driver, and is only remembered."""
    if not kwargs.get("pin_memory"):
        return function(*args, **kwargs)
    result = function(*args, **{**kwargs, "pin_memory": False})
    PAGE_LOCKED[result] = True
    return result


def _consists_of_others(function: Any) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(function.name(), "CompositeImplicitAutograd")


def _values(leaf: Any) -> Any:
    return leaf.values if isinstance(leaf, GpuTensor) else leaf


def _is_between_devices(tensors: list[torch.Tensor], target: Any, *, goes_to_gpu: bool) -> bool:
    kinds = {isinstance(tensor, GpuTensor) for tensor in tensors}
    if target is None:
        return len(kinds) == 2
    return goes_to_gpu not in kinds


def _count_copy(name: str, args: Any, kwargs: Mapping[str, Any], *, goes_to_gpu: bool) -> None:
    if not goes_to_gpu:
        COUNTS.wait("copy to the CPU")
        return
    COUNTS.uploads += 1
    is_asynchronous = kwargs.get("non_blocking", False) or (name == "copy_" and len(args) > 2 and args[2])
    source = args[1] if name == "copy_" else args[0]
    if not is_asynchronous:
        COUNTS.wait("blocking copy to the GPU")
    elif source.numel() * source.element_size() > STAGED_BYTES and source not in PAGE_LOCKED:
        COUNTS.wait("copy from memory that is not page-locked")


def _check_devices(name: str, tensors: list[torch.Tensor]) -> None:
    """Refuse tensors of both devices, except for scalars, and for indices, which are copied."""
    others = [tensor for tensor in tensors if not isinstance(tensor, GpuTensor) and tensor.ndim]
    if not others or len(others) == len(tensors):
        return
    if name not in INDEXING:
        shapes = [tuple(tensor.shape) for tensor in others]
        raise RuntimeError(f"{name}: tensors {shapes} are on the CPU and others on the GPU")
    COUNTS.wait("index on the CPU")


def _count(function: Any, name: str, args: Any) -> bool:
    """Count the kernels of an operation; return False if it has none."""
    if function.is_view or name in NOT_COUNTED:
        return False
    COUNTS.copies += name in COPYING
    if name in WAITING:
        COUNTS.wait(name)
    if name in INDEXING:
        indices = [index for index in args[1] if isinstance(index, torch.Tensor)]
        if any(index.dtype == torch.bool for index in indices):
            COUNTS.wait("index by a mask")
    # the gradients of a convolution are a kernel for each that is asked for
    COUNTS.kernels += sum(args[-1]) if name == "convolution_backward" else 1
    return True


def _place() -> str:
    """Return the file and line of the project that is nearest to the operation."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if {"benchbench", "benchbench_models"} & set(path.parts[:-1]):
            return f"{path.name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "torch"
