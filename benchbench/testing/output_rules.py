"""Rules for a model's outputs: shapes, deep supervision, custom loss, no activation, half precision."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from benchbench.contract import Geometry
from benchbench.engine.network.network import STRIDE, forward
from benchbench.engine.network.regions import region_masks
from benchbench.errors import IncompatibleError
from benchbench.testing.candidate import Candidate
from benchbench.testing.report import SkipRuleError, describe_exception, fault

_INPUTS = {
    2: ((1, 1, (64, 64)), (3, 1, (64, 96)), (4, 3, (128, 128)), (1, 2, (65, 127))),
    3: ((1, 1, (32, 32, 32)), (3, 2, (32, 16, 48)), (4, 3, (17, 24, 31))),
}
"""Number of axes -> in channels, out channels and image size; only 2D images are padded, to multiples of 32."""
_WEIGHT_FACTORS = (2.0, -2.0, 1.0, -1.0)  # of both signs: logits of one sign under all of them imply an activation


def build_faults(candidate: Candidate) -> Iterator[str]:
    model = candidate.build()
    if not isinstance(model, nn.Module):
        yield fault(f"build returned {type(model).__name__}", "an nn.Module", "return the network itself")
    elif not list(model.parameters()):
        advice = "make layers attributes, or put them into an nn.ModuleList"
        yield fault("the module has no parameters", "at least one", advice)


def shape_faults(candidate: Candidate) -> Iterator[str]:
    yield from _logits_faults(candidate.build().eval(), candidate.geometry, candidate.geometry.patch)
    for in_channels, out_channels, size in _INPUTS[len(candidate.geometry.patch)]:
        patch = size if len(size) == 3 else _padded(size)
        geometry = Geometry(in_channels, out_channels, patch)
        try:
            model = candidate.build(geometry=geometry).eval()
        except IncompatibleError:
            continue  # a model may refuse a geometry
        yield from _logits_faults(model, geometry, size)


def training_faults(candidate: Candidate) -> Iterator[str]:
    model = candidate.build().train()
    if hasattr(model, "loss"):
        raise SkipRuleError("it has a custom loss")
    images, _ = candidate.batch()
    output = model(images)
    heads = [output] if isinstance(output, Tensor) else output
    if not _are_tensors(heads):
        yield fault(f"returned {type(output).__name__}", "a tensor or a list of tensors", "convert it")
        return
    expected = (len(images), candidate.geometry.out_channels)
    for number, head in enumerate(heads):
        if tuple(head.shape[:2]) != expected or head.ndim != images.ndim:
            finding = f"head {number} is {tuple(head.shape)}"
            yield fault(finding, f"{expected} and the spatial axes", "give every head the same channels")
    yield from _head_size_faults([tuple(head.shape[2:]) for head in heads], candidate.geometry.patch)


def _are_tensors(heads: object) -> bool:
    if not isinstance(heads, list) or not heads:
        return False
    return all(isinstance(head, Tensor) for head in heads)


def _head_size_faults(sizes: Sequence[tuple[int, ...]], patch: tuple[int, ...]) -> Iterator[str]:
    if sizes[0] != patch:
        yield fault(f"the first head is {sizes[0]}", f"the patch, {patch}", "put the finest first")
    if not all(_is_smaller(coarse, fine) for fine, coarse in pairwise(sizes)):
        advice = "sort them, and do not enlarge the coarse ones"
        yield fault(f"heads are {sizes}", "every head smaller than the one before", advice)


def _is_smaller(coarse: tuple[int, ...], fine: tuple[int, ...]) -> bool:
    """Return True if the sizes differ and no axis is longer."""
    return coarse != fine and all(a <= b for a, b in zip(coarse, fine, strict=True))


def custom_loss_faults(candidate: Candidate) -> Iterator[str]:
    model = candidate.build().train()
    if not hasattr(model, "loss"):
        raise SkipRuleError("it has none")
    names = list(inspect.signature(model.loss).parameters)
    if names != ["images", "targets", "criterion"]:
        finding = f"loss({', '.join(names)})"
        yield fault(finding, "loss(images, targets, criterion)", "use these three parameters")
        return
    images, labels = candidate.batch()
    regions = candidate.geometry.out_channels
    returned = model.loss(images, region_masks(labels, regions), _plain_criterion)
    if not isinstance(returned, tuple) or len(returned) != 2 or not _are_tensors(list(returned)):
        yield fault(f"returned {type(returned).__name__}", "two tensors", "return loss and logits")
        return
    yield from _loss_value_faults(*returned, expected=(len(images), regions, *candidate.geometry.patch))


def _loss_value_faults(loss: Tensor, logits: Tensor, *, expected: tuple[int, ...]) -> Iterator[str]:
    if loss.ndim or not loss.requires_grad or not torch.isfinite(loss):
        values = loss.detach().flatten()[:3].tolist()
        yield fault(f"the loss is {values}", "a finite scalar with a gradient", "reduce it, and do not detach it")
    if tuple(logits.shape) != expected:
        finding = f"its logits are {tuple(logits.shape)}"
        yield fault(finding, f"{expected}", "return the logits of the finest head")


@torch.no_grad()
def activation_faults(candidate: Candidate) -> Iterator[str]:
    images, _ = candidate.batch()
    low = high = 0.0
    for factor in _WEIGHT_FACTORS:
        model = candidate.build().eval().apply(partial(_widen, factor=factor))
        logits = model(images)
        if torch.isfinite(logits).all():
            low = min(low, float(logits.min()))
            high = max(high, float(logits.max()))
    place = f"[{low:.3g}, {high:.3g}] even with enlarged weights"
    advice = "return the output of the last layer: the protocol's loss decides between sigmoid and softmax"
    if low == 0 or high == 0:
        yield fault(f"logits are in {place}", "both signs", advice)
    elif max(-low, high) <= 1:
        yield fault(f"logits stay in {place}", "no bounds", advice)


def half_precision_faults(candidate: Candidate) -> Iterator[str]:
    images, _ = candidate.batch()
    model = candidate.build().eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    if not torch.isfinite(logits).all():
        advice = "compute sums, exponentials and norms in float32"
        yield fault("logits are nan or infinite", "finite logits", advice)
    expected = (len(images), candidate.geometry.out_channels, *candidate.geometry.patch)
    if tuple(logits.shape) != expected:
        finding = f"logits are {tuple(logits.shape)}"
        yield fault(finding, f"{expected}", "no shape may depend on the precision")


def _logits_faults(model: nn.Module, geometry: Geometry, size: tuple[int, ...]) -> Iterator[str]:
    """Yield a line for a wrong output in eval mode, for a batch of two images and for a single one."""
    for count in (2, 1):
        input_shape = (count, geometry.in_channels, *size)
        expected = (count, geometry.out_channels, *size)
        try:
            with torch.no_grad():
                logits: Any = forward(model, torch.randn(input_shape))
        except Exception as error:  # noqa: BLE001 any exception of a plugin is a fault to report
            advice = "support this size, or raise IncompatibleError in build"
            yield fault(f"images {input_shape}: {describe_exception(error)}", f"logits {expected}", advice)
            return
        if problem := _logits_fault(logits, expected):
            yield f"images {input_shape}: {problem}"


def _logits_fault(logits: Any, expected: tuple[int, ...]) -> str:
    if not isinstance(logits, Tensor):
        finding = f"returned {type(logits).__name__}"
        return fault(finding, f"a tensor {expected}", "return the finest logits alone in eval mode")
    if tuple(logits.shape) != expected:
        return fault(f"returned {tuple(logits.shape)}", f"{expected}", "crop or resize the output")
    if not torch.isfinite(logits).all():
        return fault("returned nan or infinity", "finite logits", "look at divisions, roots and norms")
    return ""


def _padded(size: tuple[int, ...]) -> tuple[int, ...]:
    """Round every size up to a multiple of the stride."""
    return tuple(-(-side // STRIDE) * STRIDE for side in size)


def _widen(layer: nn.Module, *, factor: float) -> None:
    """Multiply the weights of a layer by a factor and add noise, because they may be zero."""
    for parameter in layer.parameters(recurse=False):
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        parameter.mul_(factor).add_(torch.randn_like(parameter), alpha=0.5 / fan_in**0.5)


def _plain_criterion(heads: Tensor | list[Tensor]) -> Tensor:
    finest = heads if isinstance(heads, Tensor) else heads[0]
    return finest.square().mean()
