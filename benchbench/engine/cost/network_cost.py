"""Counts what a model costs: parameters, multiply-adds of one image, and what it sees of that image.

Counting runs on torch's meta device, without memory or time for the numbers, wherever the model allows that.
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
from benchbench.errors import IncompatibleError

COUNTER = f"FlopCounterMode of torch {torch.__version__.partition('+')[0]}"
"""Counts convolutions and matrix products: not biases, normalisation, activations or interpolation."""

_PLACES = (("meta", "meta"), ("cpu", "meta"), ("cpu", "cpu"))  # where it is built, where it runs
_FREE = (nn.PReLU, nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._NormBase)  # noqa: SLF001 what norms have in common
_SEEN_WITHIN_MACS = 3 * 10**10  # a second or two, forward and back


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a model costs at a geometry, at batch 1 in eval mode."""

    geometry: Geometry
    parameters: int
    """All of them, shared ones once."""
    trainable: int
    macs: int
    """Multiply-adds as `COUNTER` counts them; half of what it calls FLOPs."""
    uncounted: tuple[str, ...]
    """Modules with parameters that ran without a counted operation, normalisation apart: not free, not counted."""
    idle: tuple[str, ...]
    """Modules with parameters that did not run: the heads and branches of training."""


def measure_cost(plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any]) -> Cost:
    """The cost of a model built for a geometry.

    Raises:
        IncompatibleError: the model cannot be built for it.
    """
    _check_ndim(plugin, geometry)
    *places, last = _PLACES
    for place in places:
        try:
            return _measure(plugin, geometry, params, place)
        except IncompatibleError:
            raise
        except (RuntimeError, NotImplementedError):
            continue  # it asks a tensor for its values, which meta tensors have not
    return _measure(plugin, geometry, params, last)


def measure_cost_of(model: nn.Module, geometry: Geometry) -> Cost:
    """The cost of a model that is built already and stays as it is; counted on its own device if need be."""
    try:
        return _count(copy.deepcopy(model), geometry, "meta")
    except (RuntimeError, NotImplementedError):  # as above
        return _count(copy.deepcopy(model), geometry, str(next(model.parameters()).device))


def measure_receptive_field(
    plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any], *, macs: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Size of the box of pixels that move the centre of the output, and of the input that this was seen on.

    By the gradient of an untrained network in eval mode; a box as large as the input may be larger. `macs` is the
    cost at the geometry: an input too costly for that is halved until it is not.

    Raises:
        IncompatibleError: the network cannot be built for an input so small.
    """
    ndim = len(geometry.patch)
    halvings = max(0, math.ceil(math.log2(max(macs, 1) / _SEEN_WITHIN_MACS) / ndim))
    small = geometry._replace(patch=tuple(size // 2**halvings for size in geometry.patch))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = plugin.build(small, **params).eval().requires_grad_(requires_grad=False)
        image = torch.randn(1, small.in_channels, *small.patch, requires_grad=True)
        centre = tuple(size // 2 for size in small.patch)
        model(image)[(0, slice(None), *centre)].sum().backward()
    assert image.grad is not None, "it requires one"
    moved = image.grad[0].abs().sum(0).nonzero()  # (N, ndim)
    extent = moved.amax(0) - moved.amin(0) + 1 if len(moved) else torch.zeros(ndim, dtype=torch.int64)
    return tuple(extent.tolist()), small.patch


def _check_ndim(plugin: ModelPlugin, geometry: Geometry) -> None:
    if len(geometry.patch) not in plugin.ndims:
        built = " or ".join(f"{each}D" for each in sorted(plugin.ndims))
        raise IncompatibleError(
            f"{plugin.name}: patch is {list(geometry.patch)}, but this model is {built}; give as many axes"
        )


def _measure(plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any], place: tuple[str, str]) -> Cost:
    built, run = place
    with torch.random.fork_rng(devices=[]), torch.device(built):
        model = plugin.build(geometry, **params)
    return _count(model, geometry, run)


def _count(model: nn.Module, geometry: Geometry, run: str) -> Cost:
    """The cost of a model that is of no more use afterwards."""
    parameters, trainable = sum(each.numel() for each in model.parameters()), count_parameters(model)
    # the counter follows what has a gradient, and falls over a parameter that is handed to a module
    model = model.eval().requires_grad_(requires_grad=False).to(run)
    image = torch.zeros(1, geometry.in_channels, *geometry.patch, device=run)
    with torch.no_grad(), _without_fast_path(), FlopCounterMode(display=False) as counter:
        work = _work(model, image, counter)
    return Cost(
        geometry=geometry,
        parameters=parameters,
        trainable=trainable,
        macs=counter.get_total_flops() // 2,
        uncounted=tuple(name for name, flops in work.items() if flops == 0),
        idle=tuple(name for name, _ in _weighted(model) if name not in work),
    )


def _work(model: nn.Module, image: Tensor, counter: FlopCounterMode) -> dict[str, int]:
    """FLOPs of each module with parameters of its own that runs, its submodules' included."""
    begun: dict[str, int] = {}
    work: dict[str, int] = {}

    def begin(name: str) -> None:
        begun[name] = counter.get_total_flops()

    def end(name: str) -> None:
        work[name] = work.get(name, 0) + counter.get_total_flops() - begun[name]

    handles = []
    for name, module in _weighted(model):
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: begin(name)))
        handles.append(module.register_forward_hook(lambda *_, name=name: end(name)))
    model(image)
    for handle in handles:
        handle.remove()
    return work


def _weighted(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules that a counted operation is expected of."""
    # the projection of an attention belongs to it and never runs by itself
    parts = {
        id(part) for each in model.modules() if isinstance(each, nn.MultiheadAttention) for part in each.children()
    }
    for name, module in model.named_modules():
        has_weights = any(True for _ in module.parameters(recurse=False))
        if has_weights and id(module) not in parts and not isinstance(module, _FREE):
            yield name or "the model itself", module


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """Attention by its parts; its fused form is not counted."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
