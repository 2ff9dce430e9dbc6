"""Rules for a model's behaviour: it learns, is reproducible, and keeps no state outside its state dict."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from benchbench.testing.candidate import LEARNED_DICE, Candidate
from benchbench.testing.report import SkipRuleError, abbreviate, describe_exception, fault

_TOLERANCE = 1e-3  # of the largest logit: the order of sums may differ


def gradient_faults(candidate: Candidate) -> Iterator[str]:
    unreached = []
    misdeclared = []
    for name, parameter in candidate.build().named_parameters():
        if not parameter.requires_grad:
            continue
        is_reached = name in candidate.trace.reached
        is_declared_unused = candidate.is_unused(name)
        if not is_reached and not is_declared_unused:
            unreached.append(name)
        elif is_reached and is_declared_unused:
            misdeclared.append(name)
    if unreached:
        advice = "use them in the forward pass, delete them, or name them in ModelPlugin.unused"
        yield fault(f"no gradient reaches {abbreviate(unreached)}", "one for every parameter", advice)
    if misdeclared:
        expected = "none, as ModelPlugin.unused declares"
        yield fault(f"a gradient reaches {abbreviate(misdeclared)}", expected, "narrow its patterns")


def overfitting_faults(candidate: Candidate) -> Iterator[str]:
    trace = candidate.trace
    if trace.dice <= LEARNED_DICE:
        finding = f"Dice of one batch is {trace.dice:.3f} after {trace.steps} steps"
        advice = "look for a detached tensor, an activation on the output or a missing skip connection"
        yield fault(finding, f"above {LEARNED_DICE}", advice)


def pretrained_faults(candidate: Candidate) -> Iterator[str]:
    """Yield a fault where a model names its weights and not the data sets that they saw."""
    model = candidate.build(seed=0)
    weights = getattr(model, "pretrained", "")
    if not weights:
        raise SkipRuleError("the model starts from random numbers")
    names = getattr(model, "pretrained_on", ())
    is_named = isinstance(names, tuple) and bool(names) and all(isinstance(name, str) and name for name in names)
    if not is_named:
        advice = "set the attribute pretrained_on, so that no table ranks weights that saw the test patients"
        yield fault(f"weights {weights!r} and pretrained_on = {names!r}", "a tuple of names of data sets", advice)


def seed_faults(candidate: Candidate) -> Iterator[str]:
    first = candidate.build(seed=0)
    second = candidate.build(seed=0)
    other = candidate.build(seed=1)
    advice = "draw from torch's global generator only"
    if changed := _differing_parameters(first, second):
        yield fault(f"one seed gives different weights in {abbreviate(changed)}", "the same weights", advice)
    if not _differing_parameters(first, other) and not getattr(first, "pretrained", ""):
        expected = "other weights"
        yield fault("another seed gives the same weights", expected, "set neither a seed nor constants in build")
    second.load_state_dict(first.state_dict())
    loss = _seeded_loss(candidate, first)
    repeated = _seeded_loss(candidate, second)
    if loss != repeated:
        yield fault(f"one seed gives training losses {loss} and {repeated}", "the same loss", advice)


def _seeded_loss(candidate: Candidate, model: nn.Module) -> float:
    """Return the loss of one training step with a fixed seed."""
    images, labels = candidate.batch()
    torch.manual_seed(3)
    loss, _ = candidate.step(model.train(), images, labels)
    return float(loss.detach())


@torch.no_grad()
def eval_faults(candidate: Candidate) -> Iterator[str]:
    model = candidate.build()
    images, labels = candidate.batch(3)
    candidate.step(model.train(), images.clone(), labels)  # moves running statistics away from 0 and 1
    model.eval()
    before = _tensors(model)
    first = model(images.clone())
    second = model(images.clone())
    if not torch.equal(first, second):
        yield fault("a second pass gives other logits", "the same logits", "draw no random numbers in eval mode")
    elif (difference := _relative_difference(model(images[:1]), first[:1])) > _TOLERANCE:
        finding = f"an image's logits depend on its batch, by {difference:.2g} of the largest"
        advice = "normalise by the image or by running statistics, never by the batch"
        yield fault(finding, "no difference", advice)
    changed = [name for name, tensor in _tensors(model).items() if not torch.equal(tensor, before[name])]
    if changed:
        finding = f"a forward pass changes {abbreviate(changed)}"
        yield fault(finding, "no change in eval mode", "change it in training mode only")


@torch.no_grad()
def round_trip_faults(candidate: Candidate) -> Iterator[str]:
    model = candidate.build()
    images, labels = candidate.batch()
    candidate.step(model.train(), images.clone(), labels)
    state = model.state_dict()
    non_tensors = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if non_tensors:
        finding = f"{abbreviate(non_tensors)} in the state dict is not a tensor"
        yield fault(finding, "tensors only", "register a buffer instead")
        return
    # a run also saves copies, so one tensor may have two names
    copies = {name: tensor.clone().contiguous() for name, tensor in state.items()}
    loaded = candidate.build(seed=1)
    loaded.load_state_dict(load(save(copies)))
    difference = _relative_difference(_seeded_logits(loaded, images), _seeded_logits(model, images))
    if difference > _TOLERANCE:
        finding = f"after saving and loading, logits change by {difference:.2g} of the largest"
        yield fault(finding, "no change", "make every tensor a parameter or a buffer")


def _seeded_logits(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits in eval mode with a fixed seed: another rule reports random draws."""
    torch.manual_seed(5)
    logits: Tensor = model.eval()(images.clone())
    return logits


def input_faults(candidate: Candidate) -> Iterator[str]:
    images, labels = candidate.batch()
    advice = "do no in-place operation on the inputs"
    passed_images = images.clone()
    with torch.no_grad():
        candidate.build().eval()(passed_images)
    if not torch.equal(passed_images, images):
        yield fault("eval mode modifies the images", "unchanged images", advice)
    passed_images = images.clone()
    passed_labels = labels.clone()
    candidate.step(candidate.build().train(), passed_images, passed_labels)
    if not torch.equal(passed_images, images) or not torch.equal(passed_labels, labels):
        yield fault("training modifies the images or labels", "unchanged inputs", advice)


@torch.no_grad()
def compilation_faults(candidate: Candidate) -> Iterator[str]:
    if not candidate.plugin.compiles:
        raise SkipRuleError("the plugin declares compiles=False")
    model = candidate.build().eval()
    images, _ = candidate.batch()
    advice = "correct the model, or declare compiles=False in the plugin"
    try:
        logits = torch.compile(model)(images)
    except Exception as error:  # noqa: BLE001 the compiler raises exceptions of any type
        yield fault(describe_exception(error), "logits", advice)
        return
    if (difference := _relative_difference(logits, model(images))) > _TOLERANCE:
        yield fault(f"the logits change by {difference:.2g} of the largest", "no change", advice)


def _relative_difference(logits: Tensor, expected: Tensor) -> float:
    """Return the largest difference as a share of the largest expected logit; infinity if it is nan."""
    scale = expected.abs().max().clamp(min=1e-6)
    difference = float((logits - expected).abs().max() / scale)
    return math.inf if math.isnan(difference) else difference


def _differing_parameters(one: nn.Module, other: nn.Module) -> list[str]:
    others = dict(other.named_parameters())
    return [name for name, weights in one.named_parameters() if not torch.equal(weights, others[name])]


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the tensors of the state dict."""
    return {name: value.clone() for name, value in model.state_dict().items() if isinstance(value, Tensor)}
