from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from benchbench import Geometry, IncompatibleError, ModelPlugin
from benchbench.engine.cost.network_cost import measure_built_model, measure_cost, measure_receptive_field
from benchbench.launch.preflight import find_refusals

FLAT = Geometry(3, 4, (8, 8))


def plugin(build: Callable[..., nn.Module], *ndims: int) -> ModelPlugin:
    return ModelPlugin(name="toy", build=build, source="none", ndims=frozenset(ndims or {2}))


def convolution(geometry: Geometry, *, kernel: int = 3, layers: int = 1, dilation: int = 1) -> nn.Module:
    channels = [geometry.in_channels, *[geometry.out_channels] * layers]
    padding = dilation * (kernel // 2)
    pairs = pairwise(channels)
    return nn.Sequential(*(nn.Conv2d(a, b, kernel, padding=padding, dilation=dilation) for a, b in pairs))


def test_a_convolution_costs_what_can_be_worked_out_by_hand() -> None:
    cost = measure_cost(plugin(convolution), FLAT, {})
    assert cost.parameters == cost.trainable == 3 * 4 * 9 + 4
    assert cost.macs == 3 * 4 * 9 * 8 * 8
    assert cost.uncounted == cost.idle == ()


def test_attention_is_counted_by_its_parts() -> None:
    class Attention(nn.Module):
        def __init__(self, _: Geometry) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=16, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[2:])

    tokens, width, inner = 64, 4, 16
    projections = 4 * tokens * width * width
    products = 2 * tokens * tokens * width
    mlp = 2 * tokens * width * inner
    enabled = torch.backends.mha.get_fastpath_enabled()
    cost = measure_cost(plugin(Attention), Geometry(4, 4, (8, 8)), {})
    assert cost.macs == projections + products + mlp
    assert cost.uncounted == cost.idle == ()
    assert torch.backends.mha.get_fastpath_enabled() == enabled


def test_frozen_and_shared_parameters_are_counted_as_such() -> None:
    def build(geometry: Geometry) -> nn.Module:
        shared = nn.Conv2d(3, 3, 1)
        return nn.Sequential(shared, shared, nn.Conv2d(3, 4, 1).requires_grad_(requires_grad=False))

    cost = measure_cost(plugin(build), FLAT, {})
    assert (cost.parameters, cost.trainable) == (12 + 16, 12)
    assert cost.macs == (9 + 9 + 12) * 64


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Several(nn.Module):
    """A convolution, a norm, an operation that nothing counts, and a head of training."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(geometry.in_channels, geometry.out_channels, 1)
        self.norm = nn.BatchNorm2d(geometry.out_channels)
        self.scale = Scale()
        self.second_head = nn.Conv2d(geometry.in_channels, geometry.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        logits = self.scale(self.norm(self.convolution(x)))
        return [logits, self.second_head(x)] if self.training else logits


def test_uncounted_and_idle_modules_are_named() -> None:
    cost = measure_cost(plugin(Several), FLAT, {})
    assert cost.uncounted == ("scale",)
    assert cost.idle == ("second_head",)
    assert cost.macs == 3 * 4 * 64


class ReadsWhileBuilt(nn.Module):
    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.rate = torch.linspace(0, 1, 3)[1].item()
        self.convolution = nn.Conv2d(geometry.in_channels, geometry.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x) * self.rate


class ReadsWhileRun(ReadsWhileBuilt):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum().item() == 0 else x


@pytest.mark.parametrize("build", [ReadsWhileBuilt, ReadsWhileRun])
def test_a_model_that_reads_values_is_counted_too(build: Callable[..., nn.Module]) -> None:
    assert measure_cost(plugin(build), FLAT, {}).macs == 3 * 4 * 64
    assert find_refusals(plugin(build), FLAT, {}) == ()


@pytest.mark.parametrize("build", [Several, ReadsWhileRun])
def test_a_built_model_has_the_same_cost_and_stays_unchanged(build: Callable[..., nn.Module]) -> None:
    model = build(FLAT).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert measure_built_model(model, FLAT) == measure_cost(plugin(build), FLAT, {})
    assert model.training
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_parameter_as_argument_of_a_module_does_not_stop_counting() -> None:
    class Queries(nn.Module):
        def __init__(self, geometry: Geometry) -> None:
            super().__init__()
            self.queries = nn.Parameter(torch.ones(1, geometry.in_channels, *geometry.patch))
            self.convolution = nn.Conv2d(geometry.in_channels, geometry.out_channels, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.convolution(x) + self.convolution(self.queries)

    assert measure_cost(plugin(Queries), FLAT, {}).macs == 2 * 3 * 4 * 64


def test_counting_does_not_change_the_random_numbers_of_its_caller() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    cost = measure_cost(plugin(ReadsWhileBuilt), FLAT, {})
    measure_receptive_field(plugin(ReadsWhileBuilt), FLAT, {}, macs=cost.macs)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("params", "side"),
    [({}, 3), ({"kernel": 5}, 5), ({"layers": 3}, 7), ({"dilation": 4}, 9), ({"kernel": 1}, 1)],
)
def test_the_receptive_field_of_convolutions_is_the_one_worked_out_by_hand(
    params: dict[str, int], side: int
) -> None:
    geometry = Geometry(3, 4, (32, 48))
    field = measure_receptive_field(plugin(convolution), geometry, params, macs=1)
    assert field == ((side, side), (32, 48))


def test_a_network_that_sees_the_whole_image_has_its_size_as_field() -> None:
    def build(geometry: Geometry) -> nn.Module:
        return nn.Sequential(convolution(geometry), nn.InstanceNorm2d(geometry.out_channels))

    assert measure_receptive_field(plugin(build), FLAT, {}, macs=1) == ((8, 8), (8, 8))


def test_a_costly_input_is_halved_until_it_is_cheap() -> None:
    geometry = Geometry(1, 1, (64, 64))
    assert measure_receptive_field(plugin(convolution), geometry, {}, macs=3 * 10**11)[1] == (16, 16)


def test_a_model_of_other_axes_or_one_that_refuses_has_no_cost() -> None:
    def build(geometry: Geometry) -> nn.Module:
        raise IncompatibleError("toy: patch is odd, expected even; change it")

    with pytest.raises(IncompatibleError, match=r"toy: patch is \[8, 8, 8\], but this model is 2D"):
        measure_cost(plugin(convolution), Geometry(1, 1, (8, 8, 8)), {})
    with pytest.raises(IncompatibleError, match="toy: patch is odd"):
        measure_cost(plugin(build), FLAT, {})
    assert find_refusals(plugin(build), FLAT, {}) == ("toy: patch is odd, expected even; change it",)
