from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchbench import Geometry, IncompatibleError
from benchbench.engine.network.network import count_parameters
from benchbench_models.attention_unet import benchbench_models, build


def test_the_plugin_is_a_2d_model_named_attention_unet() -> None:
    (plugin,) = benchbench_models()
    assert plugin.name == "attention_unet"
    assert plugin.ndims == {2}
    assert plugin.build is build


def test_it_has_the_parameters_and_operations_of_the_published_code() -> None:
    # measured with LeeJunHyun/Image_Segmentation, commit 5e9da93
    with torch.device("meta"):
        model = build(Geometry(3, 1, (256, 256))).eval()
        image = torch.empty(1, 3, 256, 256)
    with FlopCounterMode(display=False) as counter:
        model(image)
    assert count_parameters(model) == 34_878_573
    assert counter.get_total_flops() == 132_849_860_608


def test_a_closed_gate_sets_its_skip_to_zero() -> None:
    torch.manual_seed(0)
    model = build(Geometry(1, 1, (16, 16)), width=4, depth=2).eval()
    image = torch.rand(1, 1, 16, 16)
    joined: list[torch.Tensor] = []
    model.decoder[-1].block.register_forward_pre_hook(lambda _, given: joined.append(given[0]))
    with torch.no_grad():
        model(image)
        model.decoder[-1].gate.weight[1].bias.fill_(-1e4)
        model(image)
    opened, closed = joined
    assert torch.equal(opened[:, :4], closed[:, :4])
    assert opened[:, 4:].any()
    assert not closed[:, 4:].any()


def test_every_convolution_has_a_bias_and_gates_are_1x1() -> None:
    model = build(Geometry(3, 2, (32, 32)), width=4, depth=2)
    assert all(m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d))
    gates = [m for name, m in model.named_modules() if ".gate." in name and isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels) for m in gates] == [(8, 4), (8, 4), (4, 1), (4, 2), (4, 2), (2, 1)]
    assert {m.kernel_size for m in gates} == {(1, 1)}


def test_one_error_reports_every_problem() -> None:
    with pytest.raises(IncompatibleError) as caught:
        build(Geometry(3, 1, (40, 32)), width=1)
    assert caught.value.problems == (
        "attention_unet: width is 1, expected at least 2; choose another",
        (
            "attention_unet: patch is [40, 32], expected multiples of 16 at depth 4;"
            " change the protocol's patch or the depth"
        ),
    )
