from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from benchbench import Geometry, IncompatibleError
from benchbench_models.transunet import ResNet, StandardisedConv2d, TransformerBlock, benchbench_models, build

SMALL: dict[str, Any] = {
    "width": 4,
    "blocks": (1, 2, 1),
    "hidden": 8,
    "layers": 2,
    "mlp": 16,
    "heads": 2,
    "decoder_widths": (8, 8, 4, 4, 4),
}


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("size", "expected"), [(224, 105_277_081), (256, 105_323_161)])
def test_it_has_as_many_parameters_as_the_published_code(size: int, expected: int) -> None:
    # 9 classes of Synapse; a token for each 16 x 16 pixels has 768 numbers of position: 768 · (16² - 14²) more
    with torch.device("meta"):
        assert count(build(Geometry(3, 9, (size, size)))) == expected
    (plugin,) = benchbench_models()
    assert plugin.name == "transunet"
    published = {published.geometry.patch[0]: published.parameters for published in plugin.published}
    assert published[size] == expected


def test_channels_and_classes_change_the_first_and_the_last_convolution_alone() -> None:
    with torch.device("meta"):
        one, three = (count(build(Geometry(channels, 1, (64, 64)))) for channels in (1, 3))
        nine = count(build(Geometry(3, 9, (64, 64))))
    assert three - one == 2 * 64 * 7 * 7
    assert nine - three == 8 * (16 * 9 + 1)


@pytest.mark.parametrize("patch", [(32, 32), (48, 64)])
def test_logits_are_as_large_as_the_patch(patch: tuple[int, int]) -> None:
    model = build(Geometry(2, 3, patch), **SMALL).eval()
    assert model(torch.rand(2, 2, *patch)).shape == (2, 3, *patch)


def test_skips_are_a_half_a_quarter_and_an_eighth_of_the_image_and_the_quarter_ends_in_zeros() -> None:
    x, (half, quarter, eighth) = ResNet(1, 4, (1, 1, 1))(torch.rand(1, 1, 32, 48))
    assert [tuple(part.shape[1:]) for part in (half, quarter, eighth, x)] == [
        *((4, 16, 24), (16, 8, 12), (32, 4, 6), (64, 2, 3))
    ]
    # the pooling without padding gives 7 x 11
    assert not quarter[..., -1, :].any()
    assert not quarter[..., -1].any()
    assert quarter[..., :-1, :-1].any()


def test_the_weights_of_a_convolution_are_standardised() -> None:
    torch.manual_seed(0)
    layer = StandardisedConv2d(2, 3, kernel_size=3)
    scaled = StandardisedConv2d(2, 3, kernel_size=3)
    scaled.load_state_dict({"weight": 5 + 7 * layer.weight})
    image = torch.rand(1, 2, 6, 6)
    torch.testing.assert_close(scaled(image), layer(image), atol=1e-3, rtol=1e-3)
    flat = layer.weight.double()
    weight = (flat - flat.mean((1, 2, 3), keepdim=True)) / flat.std((1, 2, 3), keepdim=True, correction=0)
    expected = nn.functional.conv2d(image.double(), weight, padding=1)
    torch.testing.assert_close(layer(image).double(), expected, atol=1e-2, rtol=1e-2)


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(8, mlp=16, heads=2, dropout=0.0)
    reference = nn.MultiheadAttention(8, 2, batch_first=True)
    projections = (block.query, block.key, block.value)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([layer.weight for layer in projections]))
        reference.in_proj_bias.copy_(torch.cat([layer.bias for layer in projections]))
        reference.out_proj.load_state_dict(block.project.state_dict())
    tokens = torch.rand(2, 5, 8)
    normed = block.attention_norm(tokens)
    attended = tokens + reference(normed, normed, normed)[0]
    torch.testing.assert_close(block(tokens), attended + block.mlp(attended))


def test_a_network_that_cannot_be_built_is_refused() -> None:
    with pytest.raises(IncompatibleError) as refused:
        build(Geometry(1, 1, (40, 64)), width=24, heads=5, dropout=1.0, layers=0)
    problems = "\n".join(refused.value.problems)
    for part in ("patch is [40, 64]", "width is 24", "heads = 5", "dropout is 1.0", "layers is 0"):
        assert part in problems
