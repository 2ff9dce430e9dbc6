from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchbench import Geometry, IncompatibleError
from benchbench.engine.network.network import count_parameters, count_parameters_with_statistics
from benchbench_models.separable_unet import benchbench_models, build

CARDIAC = Geometry(in_channels=1, out_channels=3, patch=(256, 256))
SMALL = Geometry(in_channels=2, out_channels=3, patch=(32, 16))


def test_the_plugin_is_a_2d_model_named_separable_unet() -> None:
    (plugin,) = benchbench_models()
    assert plugin.name == "separable_unet"
    assert plugin.ndims == {2}
    assert plugin.build is build


@pytest.mark.parametrize(
    ("separable", "trained", "reported", "operations"),
    [
        pytest.param(False, 31_109_987, 31_125_987, 29_779_558_400, id="plain"),
        pytest.param(True, 6_014_156, 6_030_156, 4_826_267_648, id="separable"),
    ],
)
def test_the_count_with_the_running_statistics_is_the_reported_one(
    *, separable: bool, trained: int, reported: int, operations: int
) -> None:
    with torch.device("meta"):
        model = build(CARDIAC, separable=separable).eval()
        image = torch.empty(1, 1, 256, 256)
    with FlopCounterMode(display=False) as counter:
        model(image)
    assert count_parameters(model) == trained
    assert count_parameters_with_statistics(model) == reported
    assert counter.get_total_flops() == operations


def test_every_3x3_convolution_is_depthwise_without_bias_and_followed_by_a_1x1_with_one() -> None:
    model = build(SMALL, width=4, depth=2)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    pairs = list(zip(convolutions[:-1:2], convolutions[1:-1:2], strict=True))
    assert len(pairs) == 10
    for depthwise, pointwise in pairs:
        assert depthwise.groups == depthwise.in_channels == depthwise.out_channels == pointwise.in_channels
        assert (depthwise.kernel_size, pointwise.kernel_size) == ((3, 3), (1, 1))
        assert depthwise.bias is None
        assert pointwise.bias is not None


def test_the_plain_network_has_no_grouped_convolution() -> None:
    model = build(SMALL, width=4, depth=2, separable=False)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert {m.groups for m in convolutions} == {1}
    assert all(m.bias is not None for m in convolutions)
    assert len(convolutions) == 11


def test_the_joined_skip_is_normalised_before_its_block() -> None:
    model = build(SMALL, width=4, depth=2)
    assert [level.block[0].num_features for level in model.decoder] == [16, 8]
    assert all(isinstance(level.block[0], nn.BatchNorm2d) for level in model.decoder)


def test_batch_normalisation_is_that_of_keras() -> None:
    norms = [m for m in build(SMALL, width=4, depth=2).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    norms[0](torch.full((2, 4, 4, 4), 3.0))
    torch.testing.assert_close(norms[0].running_mean, torch.full((4,), 0.03))


def test_weights_are_glorot_uniform_and_biases_zero() -> None:
    torch.manual_seed(0)
    model = build(Geometry(1, 1, (32, 32)), width=16, depth=1, separable=False)
    second = model.encoder[0][3]
    bound = (6 / (16 * 9 + 16 * 9)) ** 0.5
    assert bound * 0.99 < second.weight.abs().max().item() <= bound
    up = model.decoder[0].up
    bound = (6 / (32 * 4 + 16 * 4)) ** 0.5
    assert bound * 0.99 < up.weight.abs().max().item() <= bound
    assert not any(m.bias.any() for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))


def test_every_block_ends_in_spatial_dropout_of_a_tenth() -> None:
    rates = [m.p for m in build(SMALL, width=4, depth=2).modules() if isinstance(m, nn.Dropout2d)]
    assert rates == [0.1] * 5


def test_one_error_reports_every_problem() -> None:
    with pytest.raises(IncompatibleError) as caught:
        build(Geometry(1, 1, (48, 64)), width=0, spatial_dropout=1.0)
    assert caught.value.problems == (
        "separable_unet: width is 0, expected at least 1; choose another",
        "separable_unet: spatial_dropout is 1.0, expected a probability in [0, 1); choose another",
        (
            "separable_unet: patch is [48, 64], expected multiples of 32 at depth 5;"
            " change the protocol's patch or the depth"
        ),
    )
