from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchbench import Geometry, IncompatibleError
from benchbench.engine.network.network import count_parameters
from benchbench_models.resunet import Unit, benchbench_models, build


def test_the_plugin_is_a_2d_model_named_resunet() -> None:
    (plugin,) = benchbench_models()
    assert plugin.name == "resunet"
    assert plugin.ndims == {2}
    assert plugin.build is build


@pytest.mark.parametrize(("side", "operations"), [(224, 69_254_119_424), (256, 90_454_360_064)])
def test_it_has_the_parameters_and_operations_of_the_published_code(side: int, operations: int) -> None:
    # measured with nikhilroxtomar/Semantic-Segmentation-Architecture, commit 558a6b8
    with torch.device("meta"):
        model = build(Geometry(3, 1, (side, side))).eval()
        image = torch.empty(1, 3, side, side)
    with FlopCounterMode(display=False) as counter:
        model(image)
    assert count_parameters(model) == 8_220_993
    assert counter.get_total_flops() == operations


def test_the_paper_s_fifteen_convolutions_have_its_7_8_million_weights() -> None:
    with torch.device("meta"):
        model = build(Geometry(3, 1, (224, 224)))
    shortcuts = [id(unit.shortcut) for unit in model.modules() if isinstance(unit, Unit)]
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d) and id(m) not in shortcuts]
    assert len(convolutions) == 15
    assert sum(count_parameters(m) for m in convolutions) == 7_782_913


def test_a_unit_adds_its_convolutions_to_a_projection_of_its_input() -> None:
    unit = Unit(1, 1).eval()
    with torch.no_grad():
        for convolution in (unit.body[2], unit.body[5]):
            convolution.weight.zero_()[..., 1, 1] = 1
            convolution.bias.zero_()
        unit.shortcut.weight.fill_(10)
        unit.shortcut.bias.fill_(0)
        output = unit(torch.tensor([[[[-2.0, 3.0]]]]))
    # normalised by a mean of 0 and a deviation of 1, the two convolutions only rectify their input
    torch.testing.assert_close(output, torch.tensor([[[[-20.0, 33.0]]]]), rtol=1e-4, atol=0)


def test_the_first_unit_does_not_normalise_the_image() -> None:
    first, second, *_ = build(Geometry(3, 1, (16, 16)), width=4).encoder
    assert isinstance(first.body[0], nn.Conv2d)
    assert isinstance(second.body[0], nn.BatchNorm2d)


def test_depth_is_the_number_of_halvings() -> None:
    model = build(Geometry(1, 2, (32, 16)), width=2, depth=4)
    assert [unit.shortcut.out_channels for unit in model.encoder] == [2, 4, 8, 16, 32]
    assert [unit.stride for unit in model.encoder] == [1, 2, 2, 2, 2]
    assert model(torch.rand(2, 1, 32, 16)).shape == (2, 2, 32, 16)


def test_the_shortcut_of_a_unit_with_a_stride_is_a_convolution_with_that_stride() -> None:
    torch.manual_seed(0)
    unit = Unit(4, 8, stride=2)
    x = torch.rand(2, 4, 6, 10)
    for parameter in unit.body.parameters():
        nn.init.zeros_(parameter)
    expected = nn.functional.conv2d(x, unit.shortcut.weight, unit.shortcut.bias, stride=2)
    torch.testing.assert_close(unit(x), expected)


@pytest.mark.slow
def test_narrow_networks_of_channels_last_images_corrupt_no_memory() -> None:
    script = """
import torch
from benchbench import Geometry
from benchbench_models.resunet import build

for width in (4, 8):
    model = build(Geometry(3, 1, (64, 64)), width=width).to(memory_format=torch.channels_last)
    images = torch.rand(8, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    for _ in range(20):
        model(images).mean().backward()
"""
    # in another process, because a failure is a segmentation fault
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_normalised_shortcut_adds_a_scale_and_a_shift_to_every_channel_of_a_unit() -> None:
    with torch.device("meta"):
        plain, normalised = (build(Geometry(3, 1, (224, 224)), shortcut_norm=norm) for norm in (False, True))
    channels = 64 + 128 + 256 + 512 + 256 + 128 + 64
    assert count_parameters(normalised) - count_parameters(plain) == 2 * channels


def test_four_blocks_with_max_pooling_and_transposed_convolutions_have_the_weights_counted_by_hand() -> None:
    widths = (64, 128, 256, 512, 1024)
    expected = 64 + 1  # the head
    above = 3
    for channels in widths:
        expected += unit_weights(above, channels) - (0 if channels > 64 else 2 * above)
        above = channels
    for channels in reversed(widths[:-1]):
        expected += above * channels * 4 + channels  # a transposed convolution of 2×2
        expected += unit_weights(2 * channels, channels)
        above = channels
    with torch.device("meta"):
        model = build(
            Geometry(3, 1, (256, 256)), depth=4, downsample="max_pool", upsample="transposed", shortcut_norm=True
        )
    assert count_parameters(model) == expected == 32_445_057


def unit_weights(above: int, channels: int) -> int:
    convolutions = 9 * above * channels + channels + 9 * channels * channels + channels
    norms = 2 * above + 2 * channels
    return convolutions + norms + above * channels + channels + 2 * channels


def test_max_pooling_and_transposed_convolutions_keep_the_size() -> None:
    model = build(Geometry(1, 2, (32, 16)), width=2, depth=2, downsample="max_pool", upsample="transposed")
    assert model(torch.rand(2, 1, 32, 16)).shape == (2, 2, 32, 16)
    assert not any(unit.stride > 1 for unit in model.modules() if isinstance(unit, Unit))
    assert isinstance(model.encoder[1][0], nn.MaxPool2d)


def test_one_error_reports_every_problem() -> None:
    with pytest.raises(IncompatibleError) as caught:
        build(Geometry(3, 1, (36, 32)), width=0)
    assert caught.value.problems == (
        "resunet: width is 0, expected at least 1; choose another",
        "resunet: patch is [36, 32], expected multiples of 8 at depth 3; change the protocol's patch or the depth",
    )
