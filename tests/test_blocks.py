"""The blocks on their own, and the properties of every network that is built of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from benchbench import Geometry
from benchbench_models import attention_unet, resunet, separable_unet, unet
from benchbench_models.blocks import AttentionGate, Layers, Norm, ResidualBlock, doubled_widths, plain_block
from benchbench_models.drop_block import DropBlock

EVERYTHING = partial(
    unet.build,
    widths=(4, 6, 8, 8),
    norm="instance",
    activation="leaky_relu",
    down="stride",
    residual=True,
    attention=True,
    drop_block=0.1,
    drop_block_steps=4,
    deep_supervision=2,
    init="kaiming",
)
NETWORKS = pytest.mark.parametrize(
    ("build", "space"),
    [
        pytest.param(partial(unet.build, width=4, depth=2), (16, 32), id="unet 2D"),
        pytest.param(partial(unet.build, width=4, depth=2, norm="group"), (8, 16, 8), id="unet 3D"),
        pytest.param(EVERYTHING, (24, 16), id="unet 2D with everything"),
        pytest.param(EVERYTHING, (24, 16, 8), id="unet 3D with everything"),
        pytest.param(partial(separable_unet.build, width=4, depth=2), (16, 32), id="separable_unet"),
        pytest.param(
            partial(separable_unet.build, width=4, depth=2, separable=False), (16, 32), id="separable_unet plain"
        ),
        pytest.param(partial(resunet.build, width=4), (16, 32), id="resunet"),
        pytest.param(partial(attention_unet.build, width=4, depth=2), (16, 32), id="attention_unet"),
    ],
)


def build_seeded(
    build: Callable[..., nn.Module], space: tuple[int, ...], *, batch: int = 2
) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return build(Geometry(3, 2, space)), torch.rand(batch, 3, *space)


def heads(logits: Tensor | list[Tensor]) -> list[Tensor]:
    return [logits] if isinstance(logits, Tensor) else logits


@NETWORKS
def test_logits_are_as_large_as_the_patch_even_for_one_image(
    build: Callable[..., nn.Module], space: tuple[int, ...]
) -> None:
    model, images = build_seeded(build, space, batch=1)
    before = images.clone()
    assert heads(model.train()(images))[0].shape == (1, 2, *space)
    assert model.eval()(images).shape == (1, 2, *space)
    assert torch.equal(images, before)


@NETWORKS
def test_the_gradient_reaches_every_parameter(build: Callable[..., nn.Module], space: tuple[int, ...]) -> None:
    model, images = build_seeded(build, space)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d | nn.Dropout2d):
            layer.eval()  # batch statistics would cancel the biases before them
    sum(head.square().mean() for head in heads(model(images))).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@NETWORKS
def test_the_state_survives_safetensors(build: Callable[..., nn.Module], space: tuple[int, ...]) -> None:
    model, images = build_seeded(build, space)
    model(images)  # changes running statistics and steps from their initial values
    other = build(Geometry(3, 2, space))
    other.load_state_dict(load(save(model.state_dict())))
    with torch.no_grad():
        assert torch.equal(model.eval()(images), other.eval()(images))


@NETWORKS
def test_logits_of_a_sample_do_not_depend_on_its_batch(
    build: Callable[..., nn.Module], space: tuple[int, ...]
) -> None:
    model, images = build_seeded(build, space, batch=3)
    model(images)
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images)[1:2], model(images[1:2]))


@NETWORKS
def test_bfloat16_stays_finite(build: Callable[..., nn.Module], space: tuple[int, ...]) -> None:
    model, images = build_seeded(build, space)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = heads(model(images * 100))
    sum(head.float().square().mean() for head in logits).backward()
    assert all(head.isfinite().all() for head in logits)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_logits_and_counts_the_same_steps() -> None:
    torch.compiler.reset()
    build = partial(EVERYTHING, widths=(4, 6, 8), deep_supervision=1)
    model, images = build_seeded(build, (24, 16))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    heads(compiled(images))[0].mean().backward()
    assert {m.taken.item() for m in model.modules() if isinstance(m, DropBlock)} == {1}
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), model(images))


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("batch", nn.BatchNorm3d), ("instance", nn.InstanceNorm3d), ("group", nn.GroupNorm)],
)
def test_a_norm_learns_a_scale_and_a_shift(norm: Norm, kind: type[nn.Module]) -> None:
    (layer,) = Layers(ndim=3, norm=norm).normalisation(12)
    assert isinstance(layer, kind)
    assert layer.weight.shape == layer.bias.shape == (12,)


@pytest.mark.parametrize(("channels", "groups"), [(32, 8), (8, 8), (12, 4), (3, 1), (1, 1)])
def test_group_norm_has_eight_groups_or_as_many_as_divide_the_channels(channels: int, groups: int) -> None:
    (layer,) = Layers(ndim=2, norm="group").normalisation(channels)
    assert layer.num_groups == groups


def test_activations_are_relu_and_leaky_relu() -> None:
    x = torch.tensor([-1.0, 2.0])
    relu = Layers(ndim=2).activation_layer()
    leaky_relu = Layers(ndim=2, activation="leaky_relu").activation_layer()
    assert relu(x.clone()).tolist() == [0, 2]
    torch.testing.assert_close(leaky_relu(x.clone()), torch.tensor([-0.01, 2.0]))


def test_a_residual_block_of_zero_weights_rectifies_its_input() -> None:
    block = ResidualBlock(Layers(ndim=2, norm="none"), 2, 2)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(block(x), x.relu())


@pytest.mark.parametrize(("out_channels", "stride", "projected"), [(4, 1, False), (6, 1, True), (4, 2, True)])
def test_a_residual_block_projects_its_input_if_size_or_channels_change(
    out_channels: int, stride: int, *, projected: bool
) -> None:
    block = ResidualBlock(Layers(ndim=3), 4, out_channels, stride=stride)
    assert [type(layer) for layer in block.shortcut] == [nn.Conv3d, nn.BatchNorm3d] * projected
    if projected:
        assert block.shortcut[0].kernel_size == (3, 3, 3)
    assert block(torch.rand(2, 4, 8, 8, 8)).shape == (2, out_channels, *[8 // stride] * 3)


def test_the_stride_of_a_plain_block_is_in_its_first_convolution() -> None:
    block = plain_block(Layers(ndim=2), 3, 5, stride=2)
    convolutions = [m for m in block if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels, m.stride[0]) for m in convolutions] == [(3, 5, 2), (5, 5, 1)]


def test_a_gate_has_one_weight_per_voxel_for_all_channels() -> None:
    torch.manual_seed(0)
    gate = AttentionGate(Layers(ndim=2), 4, kernel=3)
    skip = torch.rand(2, 4, 8, 8) + 1
    weights = gate(torch.rand(2, 4, 8, 8), skip) / skip
    assert weights.shape == skip.shape
    torch.testing.assert_close(weights, weights[:, :1].expand(-1, 4, -1, -1))
    assert 0 < weights.min() < weights.max() < 1


def test_widths_double_at_every_halving() -> None:
    assert doubled_widths(3, 3) == (3, 6, 12, 24)
