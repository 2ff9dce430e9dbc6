"""What is asked of a model's outputs: shape, heads, its own criterion, no activation, half precision."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from benchbench.contract import Geometry
from benchbench.engine.network.losses import region_masks
from benchbench.engine.network.network import STRIDE, forward
from benchbench.errors import IncompatibleError
from benchbench.testing.candidate import Candidate
from benchbench.testing.report import SkipRuleError, fault, told

_SIZES = {
    2: ((1, 1, (64, 64)), (3, 1, (64, 96)), (4, 3, (128, 128)), (1, 2, (65, 127))),
    3: ((1, 1, (32, 32, 32)), (3, 2, (32, 16, 48)), (4, 3, (17, 24, 31))),
}
"""In and out channels and a size of image; 2D images are padded to multiples of 32, 3D ones go as they are."""
_WIDE = (2.0, -2.0, 1.0, -1.0)
"""Times the weights drawn; of the other sign as well, for what stays on one side then does so by an activation."""


def builds(candidate: Candidate) -> Iterator[str]:
    model = candidate.build()
    if not isinstance(model, nn.Module):
        yield fault(f"build returned {type(model).__name__}", "an nn.Module", "return the network itself")
    elif not any(True for _ in model.parameters()):
        mend = "make layers attributes, or put them into an nn.ModuleList"
        yield fault("the module has no parameters", "some", mend)


def shapes(candidate: Candidate) -> Iterator[str]:
    yield from _shape_faults(candidate.build().eval(), candidate.geometry, candidate.geometry.patch)
    for in_channels, out_channels, size in _SIZES[len(candidate.geometry.patch)]:
        patch = size if len(size) == 3 else tuple(-(-side // STRIDE) * STRIDE for side in size)
        geometry = Geometry(in_channels, out_channels, patch)
        try:
            model = candidate.build(geometry=geometry).eval()
        except IncompatibleError:
            continue  # rightly so
        yield from _shape_faults(model, geometry, size)


def training_output(candidate: Candidate) -> Iterator[str]:
    model = candidate.build().train()
    if hasattr(model, "loss"):
        raise SkipRuleError("it has a loss of its own")
    images, _ = candidate.batch()
    found = model(images)
    heads = [found] if isinstance(found, Tensor) else found
    if not isinstance(heads, list) or not heads or not all(isinstance(head, Tensor) for head in heads):
        yield fault(f"returned {type(found).__name__}", "a tensor or a list of tensors", "convert it")
        return
    expected = (len(images), candidate.geometry.out_channels)
    for number, head in enumerate(heads):
        if tuple(head.shape[:2]) != expected or head.ndim != images.ndim:
            wanted = f"{expected} and the space"
            yield fault(f"head {number} is {tuple(head.shape)}", wanted, "give every head the same channels")
    sizes = [tuple(head.shape[2:]) for head in heads]
    if sizes[0] != candidate.geometry.patch:
        wanted = f"the patch, {candidate.geometry.patch}"
        yield fault(f"the first head is {sizes[0]}", wanted, "put the finest first")
    if any(
        coarse == fine or any(a > b for a, b in zip(coarse, fine, strict=True)) for fine, coarse in pairwise(sizes)
    ):
        mend = "sort them, and leave them at the size of their level"
        yield fault(f"heads are {sizes}", "each smaller than the one before", mend)


def own_loss(candidate: Candidate) -> Iterator[str]:
    model = candidate.build().train()
    if not hasattr(model, "loss"):
        raise SkipRuleError("it has none")
    names = list(inspect.signature(model.loss).parameters)
    if names != ["images", "targets", "criterion"]:
        yield fault(f"loss({', '.join(names)})", "loss(images, targets, criterion)", "take these three")
        return
    images, labels = candidate.batch()
    regions = candidate.geometry.out_channels
    returned = model.loss(images, region_masks(labels, regions), _plain_criterion)
    if not isinstance(returned, tuple) or [isinstance(each, Tensor) for each in returned] != [True, True]:
        yield fault(f"returned {type(returned).__name__}", "two tensors", "return loss and logits")
        return
    loss, found = returned
    if loss.ndim or not loss.requires_grad or not torch.isfinite(loss):
        shown = loss.detach().flatten()[:3].tolist()
        yield fault(f"the loss is {shown}", "a finite scalar with a gradient", "reduce it, and detach nothing")
    expected = (len(images), regions, *candidate.geometry.patch)
    if tuple(found.shape) != expected:
        yield fault(f"its logits are {tuple(found.shape)}", f"{expected}", "return those of the finest head")


@torch.no_grad()
def logits(candidate: Candidate) -> Iterator[str]:
    images, _ = candidate.batch()
    low, high = 0.0, 0.0
    for factor in _WIDE:
        found = candidate.build().eval().apply(partial(_widen, factor=factor))(images)
        if torch.isfinite(found).all():
            low, high = min(low, float(found.min())), max(high, float(found.max()))
    where = f"[{low:.3g}, {high:.3g}] with weights drawn wide"
    mend = "return what the last layer gives: the protocol's loss decides between sigmoid and softmax"
    if low == 0 or high == 0:
        yield fault(f"logits lie in {where}", "both signs", mend)
    elif max(-low, high) <= 1:
        yield fault(f"logits stay in {where}", "no bounds", mend)


def half_precision(candidate: Candidate) -> Iterator[str]:
    images, _ = candidate.batch()
    model = candidate.build().eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model(images)
    if not torch.isfinite(found).all():
        yield fault("logits are nan or infinite", "finite ones", "compute sums, exponentials and norms in float32")
    expected = (len(images), candidate.geometry.out_channels, *candidate.geometry.patch)
    if tuple(found.shape) != expected:
        yield fault(f"logits are {tuple(found.shape)}", f"{expected}", "let no shape depend on the precision")


@torch.no_grad()
def _shape_faults(model: nn.Module, geometry: Geometry, size: tuple[int, ...]) -> Iterator[str]:
    for count in (2, 1):
        given, expected = (count, geometry.in_channels, *size), f"{(count, geometry.out_channels, *size)}"
        try:
            found = forward(model, torch.randn(given))
        except Exception as error:  # noqa: BLE001 whatever a plugin raises is a fault to be told
            mend = "compute them, or raise IncompatibleError in build"
            yield fault(f"images {given}: {told(error)}", f"logits {expected}", mend)
            return
        if not isinstance(found, Tensor):
            mend = "return the finest logits alone in eval mode"
            yield fault(f"images {given}: returned {type(found).__name__}", f"a tensor {expected}", mend)
        elif f"{tuple(found.shape)}" != expected:
            yield fault(f"images {given}: returned {tuple(found.shape)}", expected, "crop or resize the output")
        elif not torch.isfinite(found).all():
            mend = "look at divisions, roots and norms"
            yield fault(f"images {given}: returned nan or infinity", "finite logits", mend)


def _widen(layer: nn.Module, *, factor: float) -> None:
    """Multiplies the weights of a layer and moves them from where they may be zero."""
    for parameter in layer.parameters(recurse=False):
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        parameter.mul_(factor).add_(torch.randn_like(parameter), alpha=0.5 / fan_in**0.5)


def _plain_criterion(heads: Tensor | list[Tensor]) -> Tensor:
    return (heads if isinstance(heads, Tensor) else heads[0]).square().mean()
