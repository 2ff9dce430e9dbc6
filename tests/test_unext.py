from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from benchbench import Geometry, IncompatibleError
from benchbench.engine.network.network import count_parameters
from benchbench_models.unext import (
    ChannelNorm,
    ShiftedBlock,
    UNeXt,
    benchbench_models,
    build_unext,
    build_unext_s,
    shift,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = Geometry(in_channels=3, out_channels=1, patch=(64, 32))
BUILDS = pytest.mark.parametrize("build", [build_unext, build_unext_s])


def fill_with_waves(model: nn.Module) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            wave = torch.arange(tensor.numel(), dtype=torch.float64).mul(0.7).cos().view(tensor.shape)
            if name.endswith("running_var"):
                wave = 1 + wave / 2
            elif tensor.ndim > 1:
                wave = wave * (2 / tensor[0].numel()) ** 0.5
            tensor.copy_(wave)


def wavy_images() -> Tensor:
    return torch.arange(2 * 3 * 64 * 32, dtype=torch.float64).pow(2).mul(0.01).sin().view(2, 3, 64, 32).float()


def test_the_plugins_are_2d_models_named_unext_and_unext_s() -> None:
    plugins = benchbench_models()
    assert [plugin.name for plugin in plugins] == ["unext", "unext_s"]
    assert all(plugin.ndims == {2} for plugin in plugins)
    assert all(isinstance(plugin.build(SMALL), UNeXt) for plugin in plugins)


@pytest.mark.parametrize(("build", "count"), [(build_unext, 1_471_921), (build_unext_s, 253_561)])
def test_it_has_as_many_parameters_as_the_published_code(build: Callable[..., nn.Module], count: int) -> None:
    assert sum(parameter.numel() for parameter in build(SMALL).parameters()) == count


@pytest.mark.parametrize(
    ("build", "widths"), [(build_unext, [16, 32, 128, 160, 256]), (build_unext_s, [8, 16, 32, 64, 128])]
)
def test_the_encoder_has_the_widths_of_table_3(build: Callable[..., nn.Module], widths: list[int]) -> None:
    shapes, x = [], torch.rand(2, 3, 64, 32)
    for stage in build(SMALL).encoder:
        x = stage(x)
        shapes.append(x.shape)
    assert [shape[1] for shape in shapes] == widths
    assert [tuple(shape[2:]) for shape in shapes] == [(32, 16), (16, 8), (8, 4), (4, 2), (2, 1)]


@pytest.mark.parametrize(
    ("build", "training", "mean", "deviation", "first_column"),
    [
        pytest.param(
            build_unext,
            True,
            2.26417,
            0.99773,
            [3.5568, 1.8874, 2.4080, -1.2786, 2.8103, 2.4317, 2.8377, 0.5473],
            id="unext, batch statistics",
        ),
        pytest.param(
            build_unext,
            False,
            2.09272,
            1.80813,
            [3.4078, 1.7810, 2.9064, -2.5744, 3.0358, 2.4047, 2.7396, -1.2546],
            id="unext, running statistics",
        ),
        pytest.param(
            build_unext_s,
            True,
            1.77506,
            0.45258,
            [1.0691, 2.1223, 1.9833, 1.0000, 1.3159, 2.4475, 2.0324, 1.0000],
            id="unext_s, batch statistics",
        ),
        pytest.param(
            build_unext_s,
            False,
            1.69561,
            0.54362,
            [1.2580, 2.0703, 1.9283, 1.0000, 1.3894, 2.2164, 2.0121, 1.0000],
            id="unext_s, running statistics",
        ),
    ],
)
def test_logits_are_those_of_the_published_code(
    build: Callable[..., nn.Module],
    *,
    training: bool,
    mean: float,
    deviation: float,
    first_column: list[float],
) -> None:
    # measured with jeya-maria-jose/UNeXt-pytorch, commit 6ad0855, on the same weights and images
    model = build(SMALL).train(training)
    fill_with_waves(model)
    with torch.no_grad():
        logits = model(wavy_images())
    assert logits.mean().item() == pytest.approx(mean, abs=1e-3)
    assert logits.std().item() == pytest.approx(deviation, abs=1e-3)
    assert logits[:, 0, ::21, 0].flatten().tolist() == pytest.approx(first_column, abs=1e-3)


@BUILDS
@pytest.mark.parametrize(
    "geometry", [Geometry(1, 1, (64, 64)), Geometry(4, 3, (32, 96)), Geometry(5, 2, (96, 32))]
)
def test_logits_are_as_large_as_the_patch(build: Callable[..., nn.Module], geometry: Geometry) -> None:
    in_channels, out_channels, patch = geometry
    logits = build(geometry)(torch.rand(2, in_channels, *patch))
    assert logits.shape == (2, out_channels, *patch)


def test_the_output_is_not_activated() -> None:
    model = build_unext_s(Geometry(1, 2, (32, 32))).eval()
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([-5.0, 5.0]))
        logits = model(torch.rand(1, 1, 32, 32))
    assert logits[:, 0].max() < -1
    assert logits[:, 1].min() > 1


@BUILDS
def test_the_gradient_reaches_every_parameter(build: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    # batch statistics would cancel the biases before them
    model = build(SMALL).eval()
    model(torch.rand(2, 3, 64, 32)).square().mean().backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []


@BUILDS
def test_logits_of_a_sample_do_not_depend_on_its_batch(build: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    model = build(SMALL, drop_path=0.5)
    images = torch.rand(3, 3, 64, 32)
    model(images)  # changes the running statistics from 0 and 1
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images)[1:2], model(images[1:2]))


SHIFTED = [[3, 0, 0], [2, 3, 0], [1, 2, 3], [0, 1, 2], [0, 0, 1]]


def test_a_shift_along_the_height_moves_rows_and_fills_with_zeros() -> None:
    rows = torch.tensor([1, 2, 3]).view(1, 1, 3, 1).expand(1, 5, 3, 2)
    expected = torch.tensor(SHIFTED).view(1, 5, 3, 1).expand(1, 5, 3, 2)
    assert torch.equal(shift(rows, 2), expected)


def test_a_shift_along_the_width_moves_columns_and_fills_with_zeros() -> None:
    columns = torch.tensor([1, 2, 3]).view(1, 1, 1, 3).expand(1, 5, 2, 3)
    expected = torch.tensor(SHIFTED).view(1, 5, 1, 3).expand(1, 5, 2, 3)
    assert torch.equal(shift(columns, 3), expected)


def test_the_last_group_of_a_shift_is_the_smaller_one() -> None:
    left = shift(torch.ones(1, 256, 5, 1), 2).sum(dim=(0, 2, 3))  # pixels of a channel that are still in the image
    assert left.tolist() == [3] * 52 + [4] * 52 + [5] * 52 + [4] * 52 + [3] * 48


def test_a_block_shifts_rows_before_its_first_layer_and_columns_before_its_second() -> None:
    block = ShiftedBlock(5, drop_path=0.0)
    block.norm = nn.Identity()
    with torch.no_grad():
        # the first layer swaps the channel that stays with the one that moves by +2, and leaves the others
        block.fc1.weight.copy_(torch.eye(5)[[0, 1, 4, 3, 2]])
        block.fc2.weight.copy_(torch.eye(5))
        block.depthwise.weight.zero_()[:, :, 1, 1] = 1
        for layer in (block.fc1, block.depthwise, block.fc2):
            layer.bias.zero_()
        dots = torch.zeros(1, 5, 5, 5)
        dots[0, 2, 1, 1] = 100
        dots[0, 4, 1, 1] = 100
        moved = block(dots) - dots
    assert moved.nonzero().tolist() == [[0, 2, 3, 1], [0, 4, 1, 3]]
    assert moved.sum() == 200


def test_the_token_stages_are_initialised_like_the_published_code() -> None:
    torch.manual_seed(0)
    embedding, (block, _) = build_unext(SMALL).encoder[3]
    assert block.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.fc2.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.depthwise.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.1)
    assert embedding[0].weight.std().item() == pytest.approx((2 / (9 * 160)) ** 0.5, rel=0.05)
    assert not any(layer.bias.any() for layer in (block.fc1, block.fc2, block.depthwise, embedding[0]))


def test_the_convolutions_around_the_tokens_keep_the_initialisation_of_torch() -> None:
    torch.manual_seed(0)
    convolution = build_unext(SMALL).up[1][0]
    bound = (9 * 160) ** -0.5
    assert bound / 2 < convolution.bias.abs().max() <= bound
    assert bound * 0.99 < convolution.weight.abs().max() <= bound


def test_nearly_constant_channels_are_normalised_with_an_epsilon_of_1e_5() -> None:
    x = torch.tensor([0.001, -0.001]).view(1, 2, 1, 1)
    expected = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1) / 11**0.5  # 0.001 / sqrt(0.001² + 1e-5)
    torch.testing.assert_close(ChannelNorm(2)(x), expected)


def test_in_training_drop_path_leaves_a_sample_unchanged_or_scales_its_change() -> None:
    torch.manual_seed(0)
    block = ShiftedBlock(10, drop_path=0.75)
    x = torch.rand(16, 10, 4, 4)
    with torch.no_grad():
        change = block.eval()(x) - x
        changed = block.train()(x) - x
    is_changed = changed.flatten(1).any(dim=1)
    assert 0 < is_changed.sum() < 16
    torch.testing.assert_close(changed, change * 4 * is_changed[:, None, None, None], atol=1e-6, rtol=1e-4)


def test_half_of_drop_path_is_the_rate_of_the_bottleneck_and_the_last_block() -> None:
    model = build_unext(SMALL, drop_path=0.5)
    blocks = {n: m.drop_path.p for n, m in model.named_modules() if isinstance(m, ShiftedBlock)}
    assert blocks == {"encoder.3.1.0": 0, "encoder.4.1.0": 0.25, "merged.0.0": 0, "merged.1.0": 0.25}


@pytest.mark.parametrize("patch", [(64, 48), (33, 32)])
@pytest.mark.parametrize(("build", "name"), [(build_unext, "unext"), (build_unext_s, "unext_s")])
def test_a_patch_that_is_no_multiple_of_32_is_refused(
    build: Callable[..., nn.Module], name: str, patch: tuple[int, int]
) -> None:
    message = rf"^{name}: patch is \[{patch[0]}, {patch[1]}\], expected multiples of 32"
    with pytest.raises(IncompatibleError, match=message):
        build(Geometry(3, 1, patch))


@BUILDS
@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_drop_path_that_is_no_probability_below_one_is_refused(
    build: Callable[..., nn.Module], rate: float
) -> None:
    with pytest.raises(IncompatibleError, match=rf"drop_path is {rate}, expected .* \[0, 1\)"):
        build(SMALL, drop_path=rate)


def test_one_error_reports_every_problem() -> None:
    with pytest.raises(IncompatibleError) as caught:
        build_unext(Geometry(3, 1, (50, 50)), drop_path=2)
    assert len(caught.value.problems) == 2


def test_the_first_widths_of_the_text_of_the_paper_have_the_weights_counted_by_hand() -> None:
    def differing(first: int, second: int) -> int:
        """Weights of the layers that touch the first two levels, from an image of 3 channels to 1."""
        down = 9 * 3 * first + first + 9 * first * second + second + 9 * second * 128 + 128
        up = 9 * 128 * second + second + 9 * second * first + first
        norms = 2 * (first + second) + 2 * (second + first)
        last = 9 * first * first + first + first + 1
        return down + up + norms + last

    geometry = Geometry(3, 1, (64, 64))
    code, text = build_unext(geometry), build_unext(geometry, widths=(32, 64, 128, 160, 256))
    assert count_parameters(code) == 1_471_921
    assert count_parameters(text) - count_parameters(code) == differing(32, 64) - differing(16, 32)


def test_channels_that_cannot_be_shifted_in_five_groups_are_refused() -> None:
    assert shift(torch.rand(1, 17, 4, 4), 2).shape == (1, 17, 4, 4)
    with pytest.raises(IncompatibleError, match="widths has 16 channels, which do not make 5 groups"):
        build_unext(SMALL, widths=(4, 4, 16, 20, 20))
