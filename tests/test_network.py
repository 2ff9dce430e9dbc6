from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from benchbench import Geometry, IncompatibleError, ModelPlugin
from benchbench.engine.network.losses import compute_loss, deep_supervision_loss
from benchbench.engine.network.network import (
    autocast,
    check_output,
    count_parameters,
    forward,
    forward_with_loss,
    geometry_for,
)
from benchbench.spec.loss import Loss
from benchbench.spec.protocol import Protocol


def protocol(loss: str = "bce", patch: tuple[int, int] = (32, 32)) -> Protocol:
    optimizer = {"name": "adam", "lr": 1.0}
    return Protocol.model_validate({"patch": patch, "epochs": 1, "batch": 1, "optimizer": optimizer, "loss": loss})


class Recorder(nn.Module):
    """Gives its input back and remembers its shape."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.shape = tuple(images.shape)
        return images


@pytest.mark.parametrize("size", [(32, 64), (33, 31), (100, 5), (1, 1)])
def test_images_of_any_size_are_padded_to_32_and_logits_cropped_back(size: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *size)
    model = Recorder()
    assert torch.equal(forward(model, images), images)
    assert all(side % 32 == 0 for side in model.shape[2:])


def test_softmax_has_one_more_output_for_the_background() -> None:
    assert geometry_for(protocol("bce"), channels=3, regions=2) == Geometry(3, 2, (32, 32))
    assert geometry_for(protocol("ce", (33, 32)), channels=3, regions=2) == Geometry(3, 3, (64, 32))


def test_a_cpu_never_computes_in_half_precision() -> None:
    with autocast(torch.device("cpu"), "bf16"):
        assert nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 2, 2)).dtype == torch.float32


def test_shared_parameters_count_once_and_frozen_ones_not_at_all() -> None:
    shared = nn.Linear(2, 3)
    frozen = nn.Linear(5, 7).requires_grad_(requires_grad=False)
    assert count_parameters(nn.Sequential(shared, shared, frozen)) == 9


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda images: [images], "returned list, expected a tensor (2, 1, 32, 32)"),
        (lambda images: images[:, :, ::2], "returned shape (2, 1, 16, 32), expected (2, 1, 32, 32)"),
        (lambda images: images / 0, "returned nan or infinite logits"),
    ],
)
def test_a_model_with_the_wrong_output_is_refused_before_training(output: Any, message: str) -> None:
    class Model(nn.Conv2d):
        def forward(self, input: torch.Tensor) -> Any:  # noqa: A002 torch's name
            return output(input)

    plugin = ModelPlugin(name="odd", build=Model, source="none", ndims=frozenset({2}))
    with pytest.raises(IncompatibleError) as caught:
        check_output(plugin, Model(1, 1, 1), Geometry(1, 1, (32, 32)), protocol())
    assert "model 'odd'" in str(caught.value)
    assert message in str(caught.value)


class Heads(nn.Conv2d):
    """In training a second head of half the size; in eval mode the first alone."""

    def forward(self, input: torch.Tensor) -> Any:  # noqa: A002 torch's name
        fine = super().forward(input)
        return [fine, nn.functional.avg_pool2d(fine, 2)] if self.training else fine


def test_padding_of_every_head_is_cropped_before_the_loss() -> None:
    torch.manual_seed(0)
    model = Heads(1, 1, 1)
    images, labels = torch.randn(2, 1, 20, 36), torch.ones(2, 20, 36, dtype=torch.uint8)
    loss, logits = forward_with_loss(model, images, labels, protocol(), regions=1)
    fine = model.eval()(images)
    coarse = nn.functional.avg_pool2d(fine, 2)
    assert torch.equal(logits, fine)
    assert loss.item() == pytest.approx(
        deep_supervision_loss(Loss(name="bce"), [fine, coarse], labels).item(), rel=1e-5
    )


def test_the_loss_of_a_model_gets_masks_of_the_padded_size_and_the_criterion_of_the_protocol() -> None:
    class Own(nn.Conv2d):
        def loss(self, images: torch.Tensor, targets: torch.Tensor, criterion: Any) -> Any:
            assert targets.dtype == torch.bool
            assert targets.shape == (2, 2, *images.shape[2:])
            logits = self(images)
            return criterion(logits) + targets.sum(), logits

    model = Own(1, 2, 1)
    images, labels = torch.randn(2, 1, 20, 36), torch.zeros(2, 20, 36, dtype=torch.uint8)
    labels[0, 0, 0] = 3  # in both regions
    loss, logits = forward_with_loss(model, images, labels, protocol(), regions=2)
    assert logits.shape == (2, 2, 20, 36)
    assert loss.item() == pytest.approx(2 + compute_loss(Loss(name="bce"), model(images), labels).item(), rel=1e-5)
