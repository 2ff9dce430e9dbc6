"""Tests that every rule for models fails for a model that breaks this rule alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchbench import Geometry, IncompatibleError, ModelPlugin, Published
from benchbench.testing import ConformanceError, check_model, examine_model
from benchbench.testing.candidate import Candidate, _Step


class Small(nn.Module):
    """Two convolutions that follow every rule; the other classes change one thing."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        convolution = nn.Conv2d if len(geometry.patch) == 2 else nn.Conv3d
        self.first = convolution(geometry.in_channels, 6, 3, padding=1)
        self.head = convolution(6, geometry.out_channels, 3, padding=1)

    def features(self, x: Tensor) -> Tensor:
        return self.first(x).relu()

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x))


def plugin(build: Callable[..., Any], **changes: Any) -> ModelPlugin:
    fields: dict[str, Any] = {"name": "toy", "build": build, "source": "none", "ndims": frozenset({2})}
    return ModelPlugin(**{**fields, **changes})


def failed(build: Callable[..., Any], **changes: Any) -> tuple[str, ...]:
    return examine_model(plugin(build, **changes)).failed


class NoParameters(nn.Module):
    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.layers = [Small(geometry)]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](x)


class Halved(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., ::2]


class OnlyEven(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(2, -1, *x.shape[2:]))


class TupleInEval(Small):
    def forward(self, x: Tensor) -> Any:
        return (super().forward(x), None)


class NotANumber(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 0


class TupleInTraining(Small):
    def forward(self, x: Tensor) -> Any:
        return (super().forward(x),) if self.training else super().forward(x)


class CoarseFirst(Small):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return [logits[..., ::2, ::2], logits] if self.training else logits


class SameSize(Small):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return [logits, logits] if self.training else logits


class OddLoss(Small):
    def loss(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self(images)
        return logits.mean(), logits


class LossWithoutLogits(Small):
    def loss(self, images: Tensor, targets: Tensor, criterion: Callable[[Tensor], Tensor]) -> Any:
        return criterion(self(images))


class LossOfManyNumbers(Small):
    def loss(self, images: Tensor, targets: Tensor, criterion: Callable[[Tensor], Tensor]) -> Any:
        logits = self(images)
        return logits, logits[:, :, ::2]


class Idle(Small):
    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.spare = nn.Linear(2, 2)


class CannotLearn(Small):
    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits[..., :1, :1].expand_as(logits) if self.training else logits


class Seeded(Small):
    def __init__(self, geometry: Geometry) -> None:
        torch.manual_seed(4)
        super().__init__(geometry)


class DrawsWithPython(Small):
    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        nn.init.constant_(self.head.bias, random.random())  # noqa: S311 the fault under test


class DropsWithPython(Small):
    def features(self, x: Tensor) -> Tensor:
        return super().features(x) * (random.uniform(0.9, 1.1) if self.training else 1)  # noqa: S311 as above


class AlwaysDrops(Small):
    def features(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().features(x), 0.1, training=True)


class BatchStatistics(Small):
    def features(self, x: Tensor) -> Tensor:
        features = super().features(x)
        return (features - features.mean()) / features.std() + features.mean(0, keepdim=True)


class CountsInEval(Small):
    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return super().forward(x)


class HiddenState(Small):
    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.scale = 1 + torch.rand(())

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


class Mutates(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(0.5))


class Sigmoid(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sigmoid()


class Tanh(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).tanh()


class Overflows(Small):
    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits + (torch.inf if logits.dtype == torch.bfloat16 else 0)


class Breaks(Small):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise ValueError("the model fell over\nin two lines")
        return super().forward(x)


@pytest.mark.parametrize(
    ("build", "rule", "message"),
    [
        (lambda _: None, "builds", "build returned NoneType, expected an nn.Module; return the network"),
        (NoParameters, "builds", "has no parameters, expected at least one; make layers attributes"),
        (Halved, "shapes", "images (2, 2, 64, 64): returned (2, 2, 64, 32), expected (2, 2, 64, 64); crop or"),
        (OnlyEven, "shapes", "images (1, 2, 64, 64): raised RuntimeError"),
        (
            TupleInEval,
            "shapes",
            "returned tuple, expected a tensor (2, 2, 64, 64); return the finest logits alone",
        ),
        (NotANumber, "shapes", "returned nan or infinity, expected finite logits"),
        (TupleInTraining, "training output", "returned tuple, expected a tensor or a list of tensors; convert it"),
        (
            CoarseFirst,
            "training output",
            "the first head is (32, 32), expected the patch, (64, 64); put the finest",
        ),
        (SameSize, "training output", "expected every head smaller than the one before; sort them"),
        (
            Breaks,
            "training output",
            "raised ValueError: the model fell over, expected no exception; debug the plugin",
        ),
        (
            OddLoss,
            "custom loss",
            "loss(images, targets), expected loss(images, targets, criterion); use these three",
        ),
        (LossWithoutLogits, "custom loss", "returned Tensor, expected two tensors; return loss and logits"),
        (LossOfManyNumbers, "custom loss", "expected a finite scalar with a gradient; reduce it"),
        (Idle, "gradient", "no gradient reaches spare.weight, spare.bias, expected one for every parameter; use"),
        (CannotLearn, "overfits", "steps, expected above 0.8; look for a detached tensor"),
        (Seeded, "seeded", "another seed gives the same weights, expected other weights; set neither a seed"),
        (
            DrawsWithPython,
            "seeded",
            "one seed gives different weights in head.bias, expected the same weights; draw",
        ),
        (DropsWithPython, "seeded", "one seed gives training losses"),
        (
            AlwaysDrops,
            "eval",
            "a second pass gives other logits, expected the same logits; draw no random numbers",
        ),
        (BatchStatistics, "eval", "an image's logits depend on its batch"),
        (CountsInEval, "eval", "a forward pass changes seen, expected no change in eval mode"),
        (HiddenState, "round trip", "after saving and loading, logits change by"),
        (Mutates, "inputs", "eval mode modifies the images, expected unchanged images; do no in-place"),
        (Tanh, "logits", "expected no bounds; return the output of the last layer"),
        (Overflows, "bf16", "logits are nan or infinite, expected finite logits"),
    ],
)
def test_a_model_that_fails_one_rule_is_reported_with_the_fix(
    build: Callable[..., Any], rule: str, message: str
) -> None:
    report = examine_model(plugin(build))
    assert report.failed == (rule,)
    assert any(line.startswith(f"toy: 2D, {rule}: ") and message in line for line in report.lines())
    assert not any("\n" in line for line in report.lines())


def test_a_model_that_follows_every_rule_passes_in_2d_and_3d() -> None:
    check_model(plugin(Small, ndims=frozenset({2, 3})))


def test_an_activation_prevents_learning_and_fails_both_rules() -> None:
    assert failed(Sigmoid) == ("overfits", "logits")


@pytest.mark.parametrize(("gain", "has_learned"), [(0.999, True), (1.0, False)])
def test_a_model_learns_while_its_loss_falls_although_its_dice_is_0(
    monkeypatch: pytest.MonkeyPatch, gain: float, *, has_learned: bool
) -> None:
    def train(_: Candidate, *, learning_rate: float, **__: object) -> Iterator[_Step]:
        for step in range(100):
            yield _Step(0.9 if step == 60 and learning_rate == 1e-2 else 0.0, gain**step, set())

    monkeypatch.setattr(Candidate, "_train", train)
    trace = Candidate(plugin(Small), {}, Geometry(1, 1, (32, 32))).trace
    assert (trace.dice, trace.steps) == ((0.9, 61) if has_learned else (0.0, 126))


def test_every_failed_rule_is_listed() -> None:
    class Both(Tanh, Idle):
        pass

    with pytest.raises(ConformanceError) as caught:
        check_model(plugin(Both))
    assert len(caught.value.problems) == 2
    assert isinstance(caught.value, AssertionError)


def test_rules_after_a_failed_prerequisite_are_skipped() -> None:
    report = examine_model(plugin(Halved))
    assert {outcome.lines for outcome in report.outcomes[2:]} == {("fix 'shapes' first",)}


def test_a_parameter_declared_unused_is_allowed_and_one_that_is_used_is_not() -> None:
    assert failed(Idle, unused=("spare.*",)) == ()
    assert failed(Small, unused=("head.*",)) == ("gradient",)


def test_a_layer_that_begins_at_zero_does_not_hide_the_layers_before_it() -> None:
    class ZeroHead(Small):
        def __init__(self, geometry: Geometry) -> None:
            super().__init__(geometry)
            nn.init.zeros_(self.head.weight)

    assert "gradient" not in failed(ZeroHead)


def test_a_refusal_counts_as_refused_and_the_next_size_is_tried() -> None:
    def build(geometry: Geometry) -> nn.Module:
        if min(geometry.patch) < 128:
            raise IncompatibleError(f"toy: patch is {list(geometry.patch)}, expected 128; enlarge it")
        return Small(geometry)

    report = examine_model(plugin(build))
    assert report.failed == ()
    assert report.refused == ("toy: patch is [64, 64], expected 128; enlarge it",)


def test_a_model_that_refuses_everything_does_not_pass() -> None:
    def build(geometry: Geometry) -> nn.Module:
        raise IncompatibleError("toy: found something, expected something else; change it")

    report = examine_model(plugin(build))
    assert report.failed == ("builds",)
    assert "every input is refused" in next(report.lines())


def test_a_refusal_by_another_exception_is_a_fault() -> None:
    def build(geometry: Geometry) -> nn.Module:
        raise ValueError("no")

    assert "raised ValueError: no, expected no exception" in next(examine_model(plugin(build)).lines())


def undocumented(geometry: Geometry, *, width=4, depth: int) -> nn.Module:  # type: ignore[no-untyped-def] # noqa: ANN001
    """Two convolutions."""
    return Small(geometry)


def test_a_parameter_without_type_default_or_description_is_reported() -> None:
    report = examine_model(plugin(undocumented), {"depth": 1})
    assert report.failed == ("documented",)
    text = "\n".join(report.lines())
    assert "'width' has no annotation" in text
    assert "'depth' has no default" in text
    assert "'depth' is not described, expected a sentence of the docstring that names it" in text


def test_counts_are_compared_with_published_ones() -> None:
    # (2 * 9 + 1) * 6 + (6 * 9 + 1) * 1 numbers, (2 * 9 * 6 + 6 * 9) * 64 * 64 multiply-adds
    right = {"source": "a paper", "geometry": Geometry(2, 1, (64, 64)), "parameters": 169, "macs": 663_552}
    assert failed(Small, published=(Published(**right),)) == ()
    wrong = Published(**{**right, "parameters": 170})
    report = examine_model(plugin(Small, published=(wrong,)))
    assert list(report.lines()) == [
        "toy: 2D, published: {} at 2 -> 1: 169 parameters, expected 170 as in a paper; compare layer by layer"
    ]


class Interpreted(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (1 if torch.compiler.is_compiling() else 0)


@pytest.mark.slow
def test_a_model_that_compiles_to_something_else_must_declare_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # only the front end of the compiler, because generating code takes a minute
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compile_(model, backend="eager"))
    for build, changes, expected in (
        (Small, {}, ()),
        (Interpreted, {}, ("compiles",)),
        (Interpreted, {"compiles": False}, ()),
    ):
        assert examine_model(plugin(build, **changes), compiled=True).failed == expected


def test_the_check_does_not_change_the_random_numbers_of_its_caller() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    examine_model(plugin(Small))
    assert torch.equal(torch.rand(1), expected)
