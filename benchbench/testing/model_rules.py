"""What is asked of every model: of its outputs, its state and its repeatability."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from benchbench.contract import Geometry
from benchbench.cost import measure_cost
from benchbench.engine.network import STRIDE, forward
from benchbench.errors import IncompatibleError
from benchbench.meaning import meanings
from benchbench.plugins import keyword_parameters
from benchbench.testing.candidate import LEARNED, Candidate
from benchbench.testing.report import Rule, SkipRuleError

_SIZES = {
    2: ((1, 1, (64, 64)), (3, 1, (64, 96)), (4, 3, (128, 128)), (1, 2, (65, 127))),
    3: ((1, 1, (32, 32, 32)), (3, 2, (32, 16, 48)), (4, 3, (17, 24, 31)), (1, 1, (32, 64, 32))),
}
"""In and out channels and a size of image; 2D images are padded to multiples of 32, 3D ones go as they are."""
_CLOSE = 1e-3  # of the largest logit: sums are taken in another order


def model_rules(*, compiled: bool) -> Iterator[Rule[Candidate]]:
    """Every rule, from the ground up; `compiled` adds the slow one."""
    yield Rule("builds", "it is built, or refuses with an IncompatibleError", builds, is_ground=True)
    yield Rule("shapes", "logits are as large as the image, of every size and batch", shapes, is_ground=True)
    yield Rule("training output", "a tensor, or a list of logits, finest first", training_output, is_ground=True)
    yield Rule(
        "own loss", "a criterion of its own takes and gives what the contract says", own_loss, is_ground=True
    )
    yield Rule("gradient", "a gradient reaches every parameter that is not declared unused", gradient)
    yield Rule("overfits", f"one batch is learned to a Dice above {LEARNED}", overfits)
    yield Rule("seeded", "weights and training follow torch's seed", seeded)
    yield Rule("eval", "in eval mode an image's logits depend on that image alone", evaluates)
    yield Rule("round trip", "the state dict says everything that the logits depend on", round_trip)
    yield Rule("inputs", "images and targets stay as they were", inputs)
    yield Rule("logits", "no activation on the output", logits)
    yield Rule("bf16", "logits and loss are finite under bf16 autocast", half_precision)
    yield Rule("documented", "every parameter has a type, a default and a meaning", documented)
    yield Rule("published", "it has as many parameters and multiply-adds as published", published)
    if compiled:
        yield Rule("compiles", "torch.compile gives the same logits, or is declared not to", compiles)


def builds(candidate: Candidate) -> Iterator[str]:
    model = candidate.build()
    if not isinstance(model, nn.Module):
        yield f"build returned {type(model).__name__}, expected an nn.Module; return the network itself"
    elif not any(True for _ in model.parameters()):
        yield "the module has no parameters, expected some; register layers as attributes or in an nn.ModuleList"


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


@torch.no_grad()
def _shape_faults(model: nn.Module, geometry: Geometry, size: tuple[int, ...]) -> Iterator[str]:
    for count in (2, 1):
        given, expected = (count, geometry.in_channels, *size), (count, geometry.out_channels, *size)
        try:
            found = forward(model, torch.randn(given))
        except Exception as error:  # noqa: BLE001 whatever a plugin raises is a fault to be told
            yield (
                f"images {given}: raised {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}, expected "
                f"logits {expected}; compute them, or raise IncompatibleError in build"
            )
            return
        if not isinstance(found, Tensor):
            mend = "return the finest logits alone in eval mode"
            yield f"images {given}: returned {type(found).__name__}, expected a tensor {expected}; {mend}"
        elif tuple(found.shape) != expected:
            yield f"images {given}: returned {tuple(found.shape)}, expected {expected}; crop or resize the output"
        elif not torch.isfinite(found).all():
            yield f"images {given}: returned nan or infinity, expected finite logits; look at divisions and norms"


def training_output(candidate: Candidate) -> Iterator[str]:
    model = candidate.build().train()
    if hasattr(model, "loss"):
        raise SkipRuleError("it has a loss of its own")
    images, _ = candidate.batch()
    found = model(images)
    if not isinstance(found, Tensor | list) or not len(found):
        yield f"returned {type(found).__name__}, expected a tensor or a list of tensors; convert it"
        return
    heads = [found] if isinstance(found, Tensor) else found
    if odd := [type(head).__name__ for head in heads if not isinstance(head, Tensor)]:
        yield f"returned a list with {', '.join(odd)}, expected tensors only; convert them"
        return
    expected = (len(images), candidate.geometry.out_channels)
    for number, head in enumerate(heads):
        if tuple(head.shape[:2]) != expected or head.ndim != images.ndim:
            yield f"head {number} is {tuple(head.shape)}, expected {expected} and the space; give each as many channels"
    sizes = [tuple(head.shape[2:]) for head in heads]
    if sizes[0] != candidate.geometry.patch:
        yield f"the first head is {sizes[0]}, expected the patch {candidate.geometry.patch}; put the finest first"
    if any(min(a, b) != b or a == b for a, b in zip(sizes, sizes[1:], strict=False)):
        yield f"heads are {sizes}, expected each smaller than the one before; sort them and leave them at their size"


def own_loss(candidate: Candidate) -> Iterator[str]:
    model = candidate.build().train()
    if not hasattr(model, "loss"):
        raise SkipRuleError("it has none")
    names = list(inspect.signature(model.loss).parameters)
    if names != ["images", "targets", "criterion"]:
        yield f"loss({', '.join(names)}), expected loss(images, targets, criterion); take these three"
        return
    images, labels = candidate.batch()
    regions = candidate.geometry.out_channels
    targets = torch.stack([labels >> region & 1 > 0 for region in range(regions)], 1)
    returned = model.loss(
        images, targets, lambda logits: (logits[0] if isinstance(logits, list) else logits).mean()
    )
    if (
        not isinstance(returned, tuple)
        or len(returned) != 2
        or not all(isinstance(each, Tensor) for each in returned)
    ):
        yield f"returned {type(returned).__name__}, expected two tensors, loss and logits; return (loss, logits)"
        return
    loss, found = returned
    expected = (len(images), regions, *candidate.geometry.patch)
    if loss.ndim or not loss.requires_grad or not torch.isfinite(loss):
        yield f"the loss is {loss.detach().flatten()[:3].tolist()}, expected a finite scalar with a gradient; reduce it"
    if tuple(found.shape) != expected:
        yield f"its logits are {tuple(found.shape)}, expected {expected}; return those of the finest head"


def gradient(candidate: Candidate) -> Iterator[str]:
    names = [name for name, each in candidate.build().named_parameters() if each.requires_grad]
    reached = candidate.trace.reached
    if lost := [name for name in names if name not in reached and not candidate.is_unused(name)]:
        mend = "use them in the forward pass, delete them, or name them in ModelPlugin.unused"
        yield f"none reaches {_some(lost)}, expected every parameter; {mend}"
    if found := [name for name in names if name in reached and candidate.is_unused(name)]:
        yield f"one reaches {_some(found)}, expected none as ModelPlugin.unused says; narrow its patterns"


def overfits(candidate: Candidate) -> Iterator[str]:
    trace = candidate.trace
    if trace.dice <= LEARNED:
        mend = "look for a detached tensor, an activation on the output or a dropped skip"
        yield f"Dice is {trace.dice:.3f} after {trace.steps} steps on one batch, expected above {LEARNED}; {mend}"


def seeded(candidate: Candidate) -> Iterator[str]:
    first, again, other = (candidate.build(seed=seed) for seed in (0, 0, 1))
    if changed := _differing(first, again):
        mend = "draw weights from torch's global generator only"
        yield f"the same seed gives other weights in {_some(changed)}, expected the same; {mend}"
    if not _differing(first, other) and not getattr(first, "pretrained", ""):
        yield "another seed gives the same weights, expected others; do not set a seed or a constant in build"
    images, labels = candidate.batch()
    again.load_state_dict(first.state_dict())
    losses = []
    for model in (first, again):
        torch.manual_seed(3)
        losses.append(float(candidate.step(model.train(), images, labels)[0].detach()))
    if losses[0] != losses[1]:
        yield f"the same seed gives losses {losses[0]} and {losses[1]}, expected one; draw from torch's generator only"


@torch.no_grad()
def evaluates(candidate: Candidate) -> Iterator[str]:
    model = candidate.build()
    images, labels = candidate.batch(3)
    candidate.step(model.train(), images, labels)  # moves running statistics from 0 and 1
    model.eval()
    before = _state(model)
    together, again = model(images), model(images)
    if not torch.equal(together, again):
        yield "the same images give other logits the second time, expected the same; switch randomness off in eval mode"
    elif (apart := _apart(together[:1], model(images[:1]))) > _CLOSE:
        mend = "normalise by the image or by running statistics, never by the batch"
        yield f"the logits of an image change by {apart:.2g} of the largest with its batch, expected none; {mend}"
    if changed := [name for name, tensor in _state(model).items() if not torch.equal(tensor, before[name])]:
        yield f"a forward pass changes {_some(changed)}, expected none in eval mode; update them in training mode only"


@torch.no_grad()
def round_trip(candidate: Candidate) -> Iterator[str]:
    model, other = candidate.build(), candidate.build(seed=1)
    images, labels = candidate.batch()
    candidate.step(model.train(), images, labels)
    state = model.state_dict()
    if odd := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        yield f"{_some(odd)} in the state dict is no tensor, expected tensors only; register a buffer instead"
        return
    other.load_state_dict(load(save({name: tensor.clone().contiguous() for name, tensor in state.items()})))
    if (apart := _apart(model.eval()(images), other.eval()(images))) > _CLOSE:
        mend = "make every tensor a parameter or a buffer"
        yield f"the logits change by {apart:.2g} of the largest with the weights saved and loaded, expected none; {mend}"


def inputs(candidate: Candidate) -> Iterator[str]:
    images, labels = candidate.batch()
    for mode in ("eval", "training"):
        given, masks = images.clone(), labels.clone()
        model = candidate.build().train(mode == "training")
        with torch.set_grad_enabled(mode == "training"):
            if mode == "training":
                candidate.step(model, given, masks)
            else:
                model(given)
        if not torch.equal(given, images) or not torch.equal(masks, labels):
            yield f"in {mode} mode the images or targets are changed, expected not; no in-place operation on the input"


@torch.no_grad()
def logits(candidate: Candidate) -> Iterator[str]:
    model = candidate.build().eval()
    images, _ = candidate.batch()
    state = {name: tensor.clone() for name, tensor in model.named_parameters()}
    low, high = 0.0, 0.0
    for factor in (2.0, -2.0):  # weights as wide as training never makes them, and of the other sign
        torch.manual_seed(11)
        for name, parameter in model.named_parameters():
            parameter.copy_(state[name] * factor + 0.2 * torch.randn_like(parameter))
        found = model(images)
        if torch.isfinite(found).all():
            low, high = min(low, float(found.min())), max(high, float(found.max()))
    mend = "return what the last layer gives: the protocol's loss decides between sigmoid and softmax"
    if low == high:
        yield "the logits are all the same with weights drawn wide, expected both signs; use the features"
    elif low >= 0 or high <= 0:
        yield f"logits lie in [{low:.3g}, {high:.3g}] with weights drawn wide, expected both signs; {mend}"
    elif max(-low, high) <= 1:
        yield f"logits stay in [{low:.3g}, {high:.3g}] with weights drawn wide, expected no bounds; {mend}"


def half_precision(candidate: Candidate) -> Iterator[str]:
    images, _ = candidate.batch()
    model = candidate.build()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model.eval()(images)
    if not torch.isfinite(found).all():
        yield "logits are nan or infinite, expected finite; compute sums, exponentials and norms in float32"
    expected = (len(images), candidate.geometry.out_channels, *candidate.geometry.patch)
    if tuple(found.shape) != expected:
        yield f"logits are {tuple(found.shape)}, expected {expected}; let the shape not depend on the precision"


def documented(candidate: Candidate) -> Iterator[str]:
    build = candidate.plugin.build
    yield from undocumented(keyword_parameters(build), meanings(build))


def undocumented(parameters: dict[str, inspect.Parameter], said: dict[str, str]) -> Iterator[str]:
    """A line for each parameter of a factory that lacks a type, a default or a meaning."""
    for name, parameter in parameters.items():
        if parameter.annotation is parameter.empty:
            yield f"parameter '{name}' has no annotation, expected a type to check benchmarks against; annotate it"
        if parameter.default is parameter.empty:
            yield f"parameter '{name}' has no default, expected one that a benchmark may leave alone; give it one"
        if not said[name]:
            yield f"parameter '{name}' is not spoken of, expected a sentence in the docstring that names it; add one"


def published(candidate: Candidate) -> Iterator[str]:
    for each in candidate.plugin.published:
        if len(each.geometry.patch) != len(candidate.geometry.patch):
            continue
        cost = measure_cost(candidate.plugin, each.geometry, each.params)
        for what, found, expected in (
            ("parameters", cost.trainable, each.parameters),
            ("multiply-adds", cost.macs, each.macs),
        ):
            if expected is not None and found != expected:
                place = f"{dict(each.params)} at {each.geometry.in_channels} -> {each.geometry.out_channels}"
                yield f"{place}: {found:,} {what}, expected {expected:,} as {each.source} has; compare layer by layer"


@torch.no_grad()
def compiles(candidate: Candidate) -> Iterator[str]:
    if not candidate.plugin.compiles:
        raise SkipRuleError("declared not to")
    model = candidate.build().eval()
    images, _ = candidate.batch()
    mend = "mend it, or say compiles=False in the plugin"
    try:
        found = torch.compile(model)(images)
    except Exception as error:  # noqa: BLE001 whatever the compiler raises
        yield f"raised {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}, expected logits; {mend}"
        return
    if (apart := _apart(found, model(images))) > _CLOSE:
        yield f"the logits change by {apart:.2g} of the largest, expected none; {mend}"


def _apart(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest logit; infinite where there is no number."""
    apart = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
    return apart if apart == apart else float("inf")  # noqa: PLR0124 nan


def _differing(one: nn.Module, other: nn.Module) -> list[str]:
    parameters = dict(other.named_parameters())
    return [name for name, each in one.named_parameters() if not torch.equal(each, parameters[name])]


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
