"""The U-Net compared with the networks that others publish: counts, operations and logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 torch's own name for it
from torch.utils.flop_counter import FlopCounterMode
from unet_of_brats import BRATS_WIDTHS, CUBE, build_brats

from benchbench import Geometry
from benchbench.engine.network.network import count_parameters
from benchbench_models.unet import build

SMALL = Geometry(in_channels=3, out_channels=1, patch=(64, 32))


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
    assert count_parameters(model) == count


@pytest.mark.parametrize(
    ("residual", "attention", "count"),
    [
        pytest.param(False, False, 31_195_956, id="plain"),
        pytest.param(True, False, 37_339_508, id="residual"),
        pytest.param(False, True, 36_323_246, id="attention"),
        pytest.param(True, True, 42_466_798, id="residual and attention"),
    ],
)
def test_it_has_as_many_parameters_as_the_first_version_for_brats(
    *, residual: bool, attention: bool, count: int
) -> None:
    # measured with NVIDIA/DeepLearningExamples, commit 2b20ca80: four heads in addition to the main one
    with torch.device("meta"):
        model = build_brats(
            Geometry(4, 4, (128, 128, 128)), residual=residual, attention=attention, deep_supervision=4
        )
    assert count_parameters(model) == count


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "widths", "count"),
    [
        pytest.param(5, 3, (64, 96, 128, 192, 256, 384, 512), 50_838_665, id="depth 7"),
        pytest.param(5, 3, BRATS_WIDTHS, 31_194_281, id="depth 6, one-hot foreground"),
        pytest.param(4, 4, BRATS_WIDTHS, 31_193_644, id="depth 6"),
    ],
)
def test_it_has_as_many_parameters_as_the_version_of_brats21(
    in_channels: int, out_channels: int, widths: tuple[int, ...], count: int
) -> None:
    # measured with NVIDIA/DeepLearningExamples, commit 028534a5: two heads in addition to the main one
    with torch.device("meta"):
        model = build_brats(
            Geometry(in_channels, out_channels, (128, 128, 128)), widths=widths, deep_supervision=2
        )
    assert count_parameters(model) == count


@pytest.mark.parametrize(
    ("residual", "attention", "operations"),
    [
        pytest.param(False, False, 965_603_229_696, id="plain"),
        pytest.param(True, False, 1_033_451_864_064, id="residual"),
        pytest.param(False, True, 1_188_278_009_856, id="attention"),
        pytest.param(True, True, 1_256_126_644_224, id="residual and attention"),
    ],
)
def test_it_takes_as_many_operations_as_the_first_version_for_brats(
    *, residual: bool, attention: bool, operations: int
) -> None:
    with torch.device("meta"):
        model = build_brats(Geometry(4, 4, (128, 128, 128)), residual=residual, attention=attention).eval()
        image = torch.empty(1, 4, 128, 128, 128)
    with FlopCounterMode(display=False) as counter:
        model(image)
    assert counter.get_total_flops() == operations


def test_it_and_its_heads_agree_with_the_dynunet_of_monai() -> None:
    nets = pytest.importorskip("monai.networks.nets")
    widths, strides = (4, 6, 8, 10), [1, 2, 2, 2]
    reference = nets.DynUNet(
        3,
        4,
        3,
        [3] * 4,
        strides,
        strides[1:],
        filters=widths,
        deep_supervision=True,
        deep_supr_num=2,
        trans_bias=True,
    )
    model = build_brats(CUBE, widths=widths, deep_supervision=2)
    images = torch.randn(2, 4, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for part, reference_part in zip(parts_of_unet(model), parts_of_dynunet(reference), strict=True):
            copy_parameters(part, reference_part)
        torch.testing.assert_close(model.eval()(images), reference.eval()(images), atol=1e-5, rtol=0)
        enlarged = [F.interpolate(head, (16, 16, 16)) for head in model.train()(images)]
        torch.testing.assert_close(torch.stack(enlarged, dim=1), reference.train()(images), atol=1e-5, rtol=0)


def parts_of_unet(model: nn.Module) -> list[nn.Module]:
    decoder = []
    for level in model.decoder:
        decoder += [level.up, level.block]
    return [*model.encoder, *decoder, *model.heads]


def parts_of_dynunet(model: nn.Module) -> list[nn.Module]:
    """Return the parts of MONAI's network in the order of `parts_of_unet`."""
    decoder = []
    for level in model.upsamples:
        decoder += [level.transp_conv, level.conv_block]
    encoder = [model.input_block, *model.downsamples, model.bottleneck]
    return [*encoder, *decoder, model.output_block, *model.deep_supervision_heads]


def copy_parameters(part: nn.Module, reference: nn.Module) -> None:
    # the reference lists both convolutions of a block before its normalisations
    parameters = sorted(part.parameters(), key=is_vector)
    sources = sorted(reference.parameters(), key=is_vector)
    for parameter, source in zip(parameters, sources, strict=True):
        parameter.copy_(source)


def is_vector(parameter: Tensor) -> bool:
    return parameter.ndim == 1


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
