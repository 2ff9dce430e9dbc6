"""What is asked of a model that trains, is kept and used again: that it learns, repeats and hides nothing."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from benchbench.testing.candidate import LEARNED, Candidate
from benchbench.testing.report import SkipRuleError, fault, some, told

_CLOSE = 1e-3  # of the largest logit: sums are taken in another order


def gradient(candidate: Candidate) -> Iterator[str]:
    names = [name for name, each in candidate.build().named_parameters() if each.requires_grad]
    reached = candidate.trace.reached
    if lost := [name for name in names if name not in reached and not candidate.is_unused(name)]:
        mend = "use them in the forward pass, delete them, or name them in ModelPlugin.unused"
        yield fault(f"none reaches {some(lost)}", "every parameter", mend)
    if found := [name for name in names if name in reached and candidate.is_unused(name)]:
        yield fault(f"one reaches {some(found)}", "none as ModelPlugin.unused says", "narrow its patterns")


def overfits(candidate: Candidate) -> Iterator[str]:
    trace = candidate.trace
    if trace.dice <= LEARNED:
        mend = "look for a detached tensor, an activation on the output or a dropped skip"
        yield fault(f"Dice of one batch is {trace.dice:.3f} after {trace.steps} steps", f"above {LEARNED}", mend)


def seeded(candidate: Candidate) -> Iterator[str]:
    first, again, other = (candidate.build(seed=seed) for seed in (0, 0, 1))
    mend = "draw from torch's global generator only"
    if changed := _differing(first, again):
        yield fault(f"one seed gives different weights in {some(changed)}", "the same", mend)
    if not _differing(first, other) and not getattr(first, "pretrained", ""):
        yield fault("another seed gives the same weights", "others", "set neither a seed nor constants in build")
    images, labels = candidate.batch()
    again.load_state_dict(first.state_dict())
    losses = []
    for model in (first, again):
        torch.manual_seed(3)
        losses.append(float(candidate.step(model.train(), images.clone(), labels)[0].detach()))
    if losses[0] != losses[1]:
        yield fault(f"one seed gives training losses {losses[0]} and {losses[1]}", "one loss", mend)


@torch.no_grad()
def evaluates(candidate: Candidate) -> Iterator[str]:
    model = candidate.build()
    images, labels = candidate.batch(3)
    candidate.step(model.train(), images.clone(), labels)  # moves running statistics from 0 and 1
    model.eval()
    before = _state(model)
    together, again = model(images.clone()), model(images.clone())
    if not torch.equal(together, again):
        yield fault("the same images give other logits the second time", "the same", "draw nothing in eval mode")
    elif (apart := _apart(together[:1], model(images[:1]))) > _CLOSE:
        mend = "normalise by the image or by running statistics, never by the batch"
        yield fault(f"an image's logits change with its batch, by {apart:.2g} of the largest", "no change", mend)
    if changed := [name for name, tensor in _state(model).items() if not torch.equal(tensor, before[name])]:
        yield fault(
            f"a forward pass changes {some(changed)}", "no change in eval mode", "do that in training mode"
        )


@torch.no_grad()
def round_trip(candidate: Candidate) -> Iterator[str]:
    model, other = candidate.build(), candidate.build(seed=1)
    images, labels = candidate.batch()
    candidate.step(model.train(), images.clone(), labels)
    state = model.state_dict()
    if odd := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        yield fault(f"{some(odd)} of the state dict is no tensor", "tensors only", "register a buffer instead")
        return
    # as a run keeps weights: copies, so that tensors under two names may stay
    other.load_state_dict(load(save({name: tensor.clone().contiguous() for name, tensor in state.items()})))
    torch.manual_seed(5)
    expected = model.eval()(images.clone())
    torch.manual_seed(5)
    if (apart := _apart(other.eval()(images.clone()), expected)) > _CLOSE:
        mend = "make every tensor a parameter or a buffer"
        yield fault(f"saved and loaded, logits change by {apart:.2g} of the largest", "no change", mend)


def inputs(candidate: Candidate) -> Iterator[str]:
    images, labels = candidate.batch()
    mend = "do nothing in place on what comes in"
    given = images.clone()
    with torch.no_grad():
        candidate.build().eval()(given)
    if not torch.equal(given, images):
        yield fault("eval mode changes the images", "them as they were", mend)
    given, masks = images.clone(), labels.clone()
    candidate.step(candidate.build().train(), given, masks)
    if not torch.equal(given, images) or not torch.equal(masks, labels):
        yield fault("training changes the images or labels", "them as they were", mend)


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
        yield fault(told(error), "logits", mend)
        return
    if (apart := _apart(found, model(images))) > _CLOSE:
        yield fault(f"the logits change by {apart:.2g} of the largest", "no change", mend)


def _apart(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest logit; infinite where there is no number."""
    apart = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
    return apart if apart == apart else float("inf")  # noqa: PLR0124 nan


def _differing(one: nn.Module, other: nn.Module) -> list[str]:
    parameters = dict(other.named_parameters())
    return [name for name, each in one.named_parameters() if not torch.equal(each, parameters[name])]


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items() if isinstance(value, Tensor)}
