"""Counts the cost of a model: its parameters, the multiply-adds of one image, and its receptive field.

Counting runs on torch's meta device, which needs no memory and no time for numbers, wherever the model allows it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchbench.contract import Geometry, ModelPlugin
from benchbench.engine.network.network import count_parameters
from benchbench.engine.network.without_values import new_tensors_on
from benchbench.errors import IncompatibleError

COUNTER = f"FlopCounterMode of torch {torch.__version__.partition('+')[0]}"
"""Counts convolutions and matrix products, but not biases, normalisation, activations or interpolation."""

_DEVICES = (("meta", "meta"), ("cpu", "meta"), ("cpu", "cpu"))  # where a model is built, where it runs
_NOT_COUNTED = (nn.PReLU, nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._NormBase)  # noqa: SLF001 the base of norms
_FIELD_MACS = 3 * 10**10  # a second or two, forward and backward


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of a model at a geometry, with a batch of 1 in eval mode."""

    geometry: Geometry
    parameters: int
    """Number of all parameters; shared ones count once."""
    trainable: int
    """Number of trainable parameters."""
    macs: int
    """Multiply-adds as `COUNTER` counts them; half of what it calls FLOPs."""
    uncounted: tuple[str, ...]
    """Modules with parameters that ran without a counted operation, except norms; their cost is unknown."""
    idle: tuple[str, ...]
    """Modules with parameters that did not run: heads and branches for training."""


def measure_cost(plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any]) -> Cost:
    """Return the cost of a model that a plugin builds for a geometry.

    Raises:
        IncompatibleError: the model cannot be built for it.
    """
    _check_ndim(plugin, geometry)
    *earlier, last = _DEVICES
    for built_on, runs_on in earlier:
        try:
            return _build_and_count(plugin, geometry, params, built_on=built_on, runs_on=runs_on)
        except IncompatibleError:
            raise
        except (RuntimeError, NotImplementedError):
            continue  # the model reads the values of a tensor, which meta tensors do not have
    built_on, runs_on = last
    return _build_and_count(plugin, geometry, params, built_on=built_on, runs_on=runs_on)


def measure_built_model(model: nn.Module, geometry: Geometry) -> Cost:
    """Return the cost of a built model, which stays unchanged; it is counted on its device if necessary."""
    try:
        return _count(copy.deepcopy(model), geometry, "meta")
    except (RuntimeError, NotImplementedError):  # as above
        return _count(copy.deepcopy(model), geometry, str(next(model.parameters()).device))


def measure_receptive_field(
    plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any], *, macs: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the size of the box of input pixels that change the centre of the output, and the size of the input.

    The box comes from the gradient of an untrained network in eval mode. If it is as large as the input, the field
    may be larger. `macs` is the cost at the geometry: an input that costs too much is halved until it does not.

    Raises:
        IncompatibleError: the network cannot be built for an input so small.
    """
    ndim = len(geometry.patch)
    excess = max(macs, 1) / _FIELD_MACS
    halvings = max(0, math.ceil(math.log2(excess) / ndim))
    patch = tuple(size // 2**halvings for size in geometry.patch)
    small = geometry._replace(patch=patch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = plugin.build(small, **params).eval().requires_grad_(requires_grad=False)
        image = torch.randn(1, small.in_channels, *small.patch, requires_grad=True)
        centre = tuple(size // 2 for size in small.patch)
        model(image)[(0, slice(None), *centre)].sum().backward()
    assert image.grad is not None, "the image requires a gradient"
    pixels = image.grad[0].abs().sum(0).nonzero()  # (N, ndim)
    if not len(pixels):
        return (0,) * ndim, small.patch
    extent = pixels.amax(0) - pixels.amin(0) + 1
    return tuple(extent.tolist()), small.patch


def _check_ndim(plugin: ModelPlugin, geometry: Geometry) -> None:
    if len(geometry.patch) not in plugin.ndims:
        dimensions = " or ".join(f"{ndim}D" for ndim in sorted(plugin.ndims))
        raise IncompatibleError(
            f"{plugin.name}: patch is {list(geometry.patch)}, but this model is {dimensions}; give as many axes"
        )


def _build_and_count(
    plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any], *, built_on: str, runs_on: str
) -> Cost:
    with new_tensors_on(built_on):
        model = plugin.build(geometry, **params)
    return _count(model, geometry, runs_on)


def _count(model: nn.Module, geometry: Geometry, device: str) -> Cost:
    """Return the cost of a model; afterwards the model is of no use."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    trainable = count_parameters(model)
    # the counter follows what has a gradient, and fails where a parameter is an argument of a module
    model = model.eval().requires_grad_(requires_grad=False).to(device)
    image = torch.zeros(1, geometry.in_channels, *geometry.patch, device=device)
    with torch.no_grad(), _without_fast_path(), FlopCounterMode(display=False) as counter:
        flops = _flops_by_module(model, image, counter)
    return Cost(
        geometry=geometry,
        parameters=parameters,
        trainable=trainable,
        macs=counter.get_total_flops() // 2,
        uncounted=tuple(name for name, count in flops.items() if count == 0),
        idle=tuple(name for name, _ in _modules_to_count(model) if name not in flops),
    )


def _flops_by_module(model: nn.Module, image: Tensor, counter: FlopCounterMode) -> dict[str, int]:
    """Return the FLOPs of each module with parameters of its own that runs, submodules included."""
    begun: dict[str, int] = {}
    flops: dict[str, int] = {}

    def begin(name: str) -> None:
        begun[name] = counter.get_total_flops()

    def end(name: str) -> None:
        flops[name] = flops.get(name, 0) + counter.get_total_flops() - begun[name]

    handles = []
    for name, module in _modules_to_count(model):
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: begin(name)))
        handles.append(module.register_forward_hook(lambda *_, name=name: end(name)))
    model(image)
    for handle in handles:
        handle.remove()
    return flops


def _modules_to_count(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that should run a counted operation, with their names."""
    parts_of_attention: set[int] = set()
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            # its projection never runs as a module of its own
            parts_of_attention.update(id(part) for part in module.children())
    for name, module in model.named_modules():
        has_weights = any(True for _ in module.parameters(recurse=False))
        is_part = id(module) in parts_of_attention
        if has_weights and not is_part and not isinstance(module, _NOT_COUNTED):
            yield name or "the model itself", module


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """Turn off the fused form of attention, which is not counted, inside the block."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
