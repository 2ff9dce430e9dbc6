"""The U-Net: its levels, options and requirements."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from unet_of_brats import CUBE, build_brats

from benchbench import Geometry, IncompatibleError
from benchbench_models.blocks import Norm, UShape
from benchbench_models.drop_block import DropBlock
from benchbench_models.unet import benchbench_models, build

SMALL = Geometry(in_channels=3, out_channels=1, patch=(64, 32))


def test_the_plugin_is_a_model_of_2d_and_3d_named_unet() -> None:
    (plugin,) = benchbench_models()
    assert plugin.name == "unet"
    assert plugin.ndims == {2, 3}
    assert isinstance(plugin.build(SMALL), UShape)
    assert isinstance(plugin.build(CUBE), UShape)


def test_every_level_has_the_given_width() -> None:
    model = build(Geometry(1, 1, (8, 8)), widths=(3, 5, 4))
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert [m.out_channels for m in convolutions] == [3, 3, 5, 5, 4, 4, 5, 5, 3, 3]


def test_levels_are_halved_by_pooling_or_by_a_stride() -> None:
    pooled = build(SMALL, width=2, depth=2)
    strided = build(SMALL, width=2, depth=2, down="stride")
    assert [m.stride[0] for m in pooled.modules() if isinstance(m, nn.Conv2d)] == [1] * 11
    assert [m.stride[0] for m in strided.encoder.modules() if isinstance(m, nn.Conv2d)] == [1, 1, 2, 1, 2, 1]
    assert sum(isinstance(m, nn.MaxPool2d) for m in pooled.modules()) == 2
    assert not any(isinstance(m, nn.MaxPool2d) for m in strided.modules())


def test_in_training_deep_supervision_returns_logits_each_half_as_large_as_the_one_before() -> None:
    model = build(CUBE, width=2, depth=3, deep_supervision=2)
    images = torch.rand(2, 4, 16, 16, 16)
    assert [tuple(logits.shape) for logits in model.train()(images)] == [
        (2, 3, 16, 16, 16),
        (2, 3, 8, 8, 8),
        (2, 3, 4, 4, 4),
    ]
    assert model.eval()(images).shape == (2, 3, 16, 16, 16)


def test_drop_block_follows_the_convolutions_of_the_two_coarsest_blocks_of_the_encoder() -> None:
    plain = build(SMALL, width=2, depth=3, drop_block=0.1)
    residual = build(SMALL, width=2, depth=3, drop_block=0.1, residual=True)
    assert drop_blocks(plain) == {"encoder.2": 2, "encoder.3": 2}
    assert drop_blocks(residual) == {"encoder.2": 3, "encoder.3": 3}  # the projection is one
    assert drop_blocks(build(SMALL, width=2)) == {}


def drop_blocks(model: nn.Module) -> dict[str, int]:
    """Return block -> number of DropBlocks, all of which are between a convolution and its normalisation."""
    counts: dict[str, int] = {}
    for name, module in model.named_modules():
        kinds = [type(child) for child in module.children()]
        for at, kind in enumerate(kinds):
            if kind is DropBlock:
                assert (kinds[at - 1], kinds[at + 1]) == (nn.Conv2d, nn.BatchNorm2d)
                block = ".".join(name.split(".")[:2])
                counts[block] = counts.get(block, 0) + 1
    return counts


def test_drop_block_reaches_its_rate_after_the_given_steps() -> None:
    model = build(SMALL, width=2, drop_block=0.1, drop_block_steps=7)
    assert {(m.rate, m.steps) for m in model.modules() if isinstance(m, DropBlock)} == {(0.1, 7)}


def test_kaiming_convolutions_have_the_deviation_of_he_and_heads_no_bias() -> None:
    torch.manual_seed(0)
    model = build_brats(CUBE, widths=(16, 32), deep_supervision=0)
    convolution = model.encoder[1][0][0]
    expected = (2 / (1 + 0.01**2) / (16 * 27)) ** 0.5
    assert convolution.weight.std().item() == pytest.approx(expected, rel=0.03)
    assert not model.heads[0].bias.any()
    bound = (16 * 8) ** -0.5  # torch's initialisation of a transposed convolution
    assert bound * 0.99 < model.decoder[0].up.weight.abs().max().item() <= bound
    assert model.decoder[0].up.bias.any()


def test_width_doubles_at_every_level() -> None:
    model = build(SMALL, width=3, depth=3)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert [m.out_channels for m in convolutions[::2]] == [3, 6, 12, 24, 12, 6, 3]
    assert [m.out_channels for m in convolutions[1::2]] == [3, 6, 12, 24, 12, 6, 3]


@pytest.mark.parametrize("in_channels", [1, 4])
@pytest.mark.parametrize("out_channels", [1, 3])
@pytest.mark.parametrize("patch", [(32, 32), (32, 64), (96, 32)])
def test_logits_are_as_large_as_the_patch(in_channels: int, out_channels: int, patch: tuple[int, int]) -> None:
    model = build(Geometry(in_channels, out_channels, patch), width=2)
    assert model(torch.rand(2, in_channels, *patch)).shape == (2, out_channels, *patch)


def test_the_output_is_not_activated() -> None:
    model = build(Geometry(1, 2, (32, 32)), width=2).eval()
    with torch.no_grad():
        model.heads[0].bias.copy_(torch.tensor([-5.0, 5.0]))
        logits = model(torch.rand(1, 1, 32, 32))
    assert logits[:, 0].max() < -1
    assert logits[:, 1].min() > 1


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
def test_the_gradient_reaches_every_parameter(norm: Norm) -> None:
    torch.manual_seed(0)
    model = build(SMALL, width=4, norm=norm)
    model(torch.rand(2, 3, 64, 32)).square().mean().backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []


def test_logits_of_a_sample_do_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    model = build(SMALL, width=4, spatial_dropout=0.5)
    images = torch.rand(3, 3, 64, 32)
    model(images)  # changes the running statistics from 0 and 1
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images)[1:2], model(images[1:2]))


def test_without_a_norm_every_convolution_has_a_bias_and_nothing_normalises() -> None:
    model = build(SMALL, width=4, norm="none")
    assert not [m for m in model.modules() if "Norm" in type(m).__name__]
    assert all(m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d))


def test_with_a_norm_only_the_head_and_the_transposed_convolutions_have_a_bias() -> None:
    model = build(SMALL, width=4)
    biased = {
        name
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d) and m.bias is not None
    }
    assert biased == {"heads.0", *(f"decoder.{level}.up" for level in range(4))}


def around_dropout(model: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return (input, output) of every dropout layer, in the order of the forward pass."""
    pairs: list[tuple[Tensor, Tensor]] = []

    def record(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        pairs.append((inputs[0].clone(), output.clone()))

    for module in model.modules():
        if isinstance(module, nn.Dropout2d):
            module.register_forward_hook(record)
    with torch.no_grad():
        model(images)
    return pairs


def test_in_training_spatial_dropout_zeroes_whole_channels_after_every_block() -> None:
    torch.manual_seed(0)
    model = build(SMALL, width=8, depth=2, spatial_dropout=0.25).train()
    pairs = around_dropout(model, torch.rand(2, 3, 64, 32))
    assert [before.shape[1] for before, _ in pairs] == [8, 16, 32, 16, 8]
    for before, after in pairs:
        assert before.min() == 0  # a rectified activation
        is_active = before.flatten(2).any(dim=2)
        is_kept = after.flatten(2).any(dim=2)
        assert 0 < (is_active & ~is_kept).sum() < is_kept.numel()
        torch.testing.assert_close(after, before / 0.75 * is_kept[:, :, None, None])


def test_in_evaluation_spatial_dropout_changes_nothing() -> None:
    model = build(SMALL, width=4, depth=2, spatial_dropout=0.25).eval()
    pairs = around_dropout(model, torch.rand(2, 3, 64, 32))
    assert len(pairs) == 5
    assert all(torch.equal(before, after) for before, after in pairs)


def test_a_patch_that_cannot_be_halved_often_enough_is_refused() -> None:
    with pytest.raises(IncompatibleError, match=r"unet: patch is \[64, 40\], expected multiples of 16 at depth 4"):
        build(Geometry(3, 1, (64, 40)))


def test_the_patch_must_be_divisible_as_often_as_the_depth_says_and_no_more() -> None:
    assert build(Geometry(1, 1, (40, 8)), width=2, depth=3)(torch.rand(1, 1, 40, 8)).shape == (1, 1, 40, 8)
    with pytest.raises(IncompatibleError, match="expected multiples of 64 at depth 6"):
        build(Geometry(1, 1, (32, 64)), width=2, depth=6)


@pytest.mark.parametrize("width", [0, -32])
def test_a_width_below_one_is_refused(width: int) -> None:
    with pytest.raises(IncompatibleError, match=f"unet: width is {width}, expected at least 1"):
        build(SMALL, width=width)


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_below_one_is_refused(depth: int) -> None:
    with pytest.raises(IncompatibleError, match=f"unet: depth is {depth}, expected at least 1"):
        build(SMALL, depth=depth)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_is_no_probability_below_one_is_refused(rate: float) -> None:
    with pytest.raises(IncompatibleError, match=rf"unet: spatial_dropout is {rate}, expected .* \[0, 1\)"):
        build(SMALL, spatial_dropout=rate)


def test_one_error_reports_every_problem() -> None:
    with pytest.raises(IncompatibleError) as caught:
        build(Geometry(3, 1, (50, 50)), width=0, spatial_dropout=2)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("widths", [(32,), (32, 0)])
def test_widths_of_fewer_than_two_levels_or_without_a_channel_are_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(IncompatibleError, match=r"^unet: widths is \[32.*\], expected 2 or more, each at least 1"):
        build(SMALL, widths=widths)


def test_widths_together_with_a_width_are_refused() -> None:
    with pytest.raises(
        IncompatibleError, match=r"^unet: widths is \[4, 8\], together with a width of 16 and a depth of 4"
    ):
        build(SMALL, widths=(4, 8), width=16)


@pytest.mark.parametrize("heads", [4, -1])
def test_more_heads_than_levels_below_the_finest_are_refused(heads: int) -> None:
    with pytest.raises(IncompatibleError, match=f"^unet: deep_supervision is {heads}, expected fewer than the 4"):
        build(SMALL, deep_supervision=heads)


def test_attention_on_a_level_of_one_channel_is_refused() -> None:
    with pytest.raises(IncompatibleError, match=r"^unet: widths is \[1, 8\], expected at least 2 where attention"):
        build(SMALL, widths=(1, 8), attention=True)


def test_instance_normalisation_of_a_single_voxel_is_refused() -> None:
    with pytest.raises(IncompatibleError, match=r"^unet: patch is \[32, 32\], a single voxel after 5 halvings"):
        build(Geometry(1, 1, (32, 32)), width=2, depth=5, norm="instance")
    assert build(Geometry(1, 1, (64, 32)), width=2, depth=5, norm="instance")


def test_a_rate_of_drop_block_or_steps_out_of_range_are_refused() -> None:
    with pytest.raises(
        IncompatibleError, match=r"^unet: drop_block_steps is 0.*\nunet: drop_block is 1.5, expected"
    ):
        build(SMALL, drop_block=1.5, drop_block_steps=0)
