from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchbench import Geometry, IncompatibleError
from benchbench_models.unet import UNet, benchbench_models, build

SMALL = Geometry(in_channels=3, out_channels=1, patch=(64, 32))


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


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


def test_the_plugin_is_a_2d_model_named_unet() -> None:
    (plugin,) = benchbench_models()
    assert plugin.name == "unet"
    assert plugin.ndims == {2}
    assert isinstance(plugin.build(SMALL), UNet)


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "width", "count"),
    [
        pytest.param(3, 1, 32, 7_763_041, id="brain-segmentation-pytorch"),
        pytest.param(3, 1, 64, 31_037_633, id="3 to 1 at width 64"),
        pytest.param(1, 1, 64, 31_036_481, id="1 to 1 at width 64"),
        pytest.param(1, 2, 64, 31_036_546, id="1 to 2 at width 64"),
    ],
)
def test_it_has_as_many_parameters_as_published(
    in_channels: int, out_channels: int, width: int, count: int
) -> None:
    with torch.device("meta"):
        model = build(Geometry(in_channels, out_channels, (256, 256)), width=width)
    assert parameters(model) == count


def test_width_doubles_at_every_level() -> None:
    model = build(SMALL, width=3, depth=3)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert [m.out_channels for m in convolutions[::2]] == [3, 6, 12, 24, 12, 6, 3]
    assert [m.out_channels for m in convolutions[1::2]] == [3, 6, 12, 24, 12, 6, 3]


@pytest.mark.parametrize(
    ("training", "mean", "deviation", "first_column"),
    [
        pytest.param(
            True,
            2.21266,
            1.04210,
            [2.3281, 2.7961, 3.2608, 2.5527, 2.4187, 2.4051, 3.5202, 2.3303],
            id="batch statistics",
        ),
        pytest.param(
            False,
            1.44615,
            0.47821,
            [1.4815, 1.7269, 1.8544, 1.5349, 1.4450, 1.4800, 2.0506, 1.4450],
            id="running statistics",
        ),
    ],
)
def test_logits_are_those_of_brain_segmentation_pytorch_before_its_sigmoid(
    *, training: bool, mean: float, deviation: float, first_column: list[float]
) -> None:
    # measured with its commit d45f890, width 4, on the same weights and images
    model = build(SMALL, width=4).train(training)
    fill_with_waves(model)
    with torch.no_grad():
        logits = model(wavy_images())
    assert logits.mean().item() == pytest.approx(mean, abs=1e-3)
    assert logits.std().item() == pytest.approx(deviation, abs=1e-3)
    assert logits[:, 0, ::21, 0].flatten().tolist() == pytest.approx(first_column, abs=1e-3)


@pytest.mark.parametrize("in_channels", [1, 4])
@pytest.mark.parametrize("out_channels", [1, 3])
@pytest.mark.parametrize("patch", [(32, 32), (32, 64), (96, 32)])
def test_logits_are_as_large_as_the_patch(in_channels: int, out_channels: int, patch: tuple[int, int]) -> None:
    model = build(Geometry(in_channels, out_channels, patch), width=2)
    assert model(torch.rand(2, in_channels, *patch)).shape == (2, out_channels, *patch)


def test_the_output_passes_through_no_activation() -> None:
    model = build(Geometry(1, 2, (32, 32)), width=2).eval()
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([-5.0, 5.0]))
        logits = model(torch.rand(1, 1, 32, 32))
    assert logits[:, 0].max() < -1
    assert logits[:, 1].min() > 1


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_gradient_reaches_every_parameter(*, batch_norm: bool) -> None:
    torch.manual_seed(0)
    model = build(SMALL, width=4, batch_norm=batch_norm)
    model(torch.rand(2, 3, 64, 32)).square().mean().backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []


def test_logits_of_a_sample_do_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    model = build(SMALL, width=4, spatial_dropout=0.5)
    images = torch.rand(3, 3, 64, 32)
    model(images)  # moves the running statistics away from 0 and 1
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images)[1:2], model(images[1:2]))


def test_without_batch_norm_every_convolution_has_a_bias_and_nothing_normalises() -> None:
    model = build(SMALL, width=4, batch_norm=False)
    assert not [m for m in model.modules() if "Norm" in type(m).__name__]
    assert all(m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d))


def test_with_batch_norm_only_the_head_and_the_transposed_convolutions_have_a_bias() -> None:
    model = build(SMALL, width=4)
    biased = {
        name.split(".")[0]
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d) and m.bias is not None
    }
    assert biased == {"head", "up"}


def outputs_around_dropout(model: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(before, after) of every dropout layer, in the order of the forward pass."""
    seen: list[tuple[Tensor, Tensor]] = []
    for module in model.modules():
        if isinstance(module, nn.Dropout2d):
            module.register_forward_hook(lambda _, given, out: seen.append((given[0].clone(), out.clone())))
    with torch.no_grad():
        model(images)
    return seen


def test_in_training_spatial_dropout_zeroes_whole_channels_after_every_block() -> None:
    torch.manual_seed(0)
    model = build(SMALL, width=8, depth=2, spatial_dropout=0.25).train()
    seen = outputs_around_dropout(model, torch.rand(2, 3, 64, 32))
    assert [before.shape[1] for before, _ in seen] == [8, 16, 32, 16, 8]
    for before, after in seen:
        assert before.min() == 0  # a rectified activation
        kept = after.flatten(2).any(dim=2)
        assert 0 < (before.flatten(2).any(dim=2) & ~kept).sum() < kept.numel()
        torch.testing.assert_close(after, before / 0.75 * kept[:, :, None, None])


def test_in_evaluation_spatial_dropout_changes_nothing() -> None:
    model = build(SMALL, width=4, depth=2, spatial_dropout=0.25).eval()
    seen = outputs_around_dropout(model, torch.rand(2, 3, 64, 32))
    assert len(seen) == 5
    assert all(torch.equal(before, after) for before, after in seen)


def test_a_patch_that_cannot_be_halved_often_enough_is_refused() -> None:
    with pytest.raises(IncompatibleError, match=r"unet: patch is \[64, 40\], expected multiples of 16 at depth 4"):
        build(Geometry(3, 1, (64, 40)))


def test_a_patch_need_only_be_a_multiple_of_what_the_depth_asks() -> None:
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


def test_one_error_carries_every_problem() -> None:
    with pytest.raises(IncompatibleError) as caught:
        build(Geometry(3, 1, (50, 50)), width=0, spatial_dropout=2)
    assert len(caught.value.problems) == 3
