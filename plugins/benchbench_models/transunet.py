"""TransUNet: a ResNet, a vision transformer on its last feature map, and a decoder with skips, in 2D.

Source: Chen et al. 2021, arXiv:2102.04306; as published in Beckschen/TransUNet, commit 02ef001, R50-ViT-B_16:
three stages of a ResNet-50 with standardised weights, one token for each pixel of the last map, twelve blocks.
Differs: any number of input channels, where the source repeats one channel three times; patches need not be
square; group normalisation of fewer than 32 channels has a group for each channel.
Not offered: the published weights of ImageNet-21k; the network is trained from random weights.
The position embedding has one vector per token, so a network takes only patches of the size that it was built for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import nn

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.requirements import Requirements

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 16
"""Edge of the part of the image that becomes a token."""

_GROUPS = 32
_EPSILON = 1e-6
_BOTTLENECK = 4  # channels of a stage for each channel between its convolutions


class StandardisedConv2d(nn.Conv2d):
    """A convolution without bias whose weights have mean 0 and variance 1 for each output channel."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int = 1) -> None:
        padding = kernel_size // 2
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) / (variance + 1e-5).sqrt()
        return F.conv2d(x, weight, None, self.stride, self.padding)


class Bottleneck(nn.Module):
    """Convolutions of 1, 3 and 1 pixels, the second with the stride, added to the input."""

    def __init__(self, in_channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        out_channels = width * _BOTTLENECK
        self.body = nn.Sequential(
            StandardisedConv2d(in_channels, width, kernel_size=1),
            _group_norm(width),
            nn.ReLU(),
            StandardisedConv2d(width, width, kernel_size=3, stride=stride),
            _group_norm(width),
            nn.ReLU(),
            StandardisedConv2d(width, out_channels, kernel_size=1),
            _group_norm(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                StandardisedConv2d(in_channels, out_channels, kernel_size=1, stride=stride),
                nn.GroupNorm(out_channels, out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.body(x))


class ResNet(nn.Module):
    """An image (B, C, H, W) to a map at 1/16 of its size, and the maps at 1/2, 1/4 and 1/8."""

    def __init__(self, in_channels: int, width: int, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        self.root = nn.Sequential(
            StandardisedConv2d(in_channels, width, kernel_size=7, stride=2), _group_norm(width), nn.ReLU()
        )
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2)
        stages: list[nn.Module] = []
        channels = width
        for level, count in enumerate(blocks):
            inner = width * 2**level
            units = [Bottleneck(channels, inner, stride=1 if level == 0 else 2)]
            channels = inner * _BOTTLENECK
            units += [Bottleneck(channels, inner) for _ in range(count - 1)]
            stages.append(nn.Sequential(*units))
        self.stages = nn.ModuleList(stages)
        self.out_channels = channels

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        height, width = x.shape[2:]
        half = self.root(x)
        quarter = self.stages[0](self.pool(half))
        eighth = self.stages[1](quarter)
        # the pooling has no padding, so that its maps lack a row and a column
        missing = (0, width // 4 - quarter.shape[3], 0, height // 4 - quarter.shape[2])
        return self.stages[2](eighth), [half, F.pad(quarter, missing), eighth]


class TransformerBlock(nn.Module):
    """Self-attention and a multi-layer perceptron, each after a normalisation and added to its input."""

    def __init__(self, hidden: int, *, mlp: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(hidden, eps=_EPSILON)
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.project = nn.Linear(hidden, hidden)
        first, second = nn.Linear(hidden, mlp), nn.Linear(mlp, hidden)
        for layer in (first, second):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)
        self.mlp = nn.Sequential(
            nn.LayerNorm(hidden, eps=_EPSILON),
            first,
            nn.GELU(),
            nn.Dropout(dropout),
            second,
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self._attend(self.attention_norm(tokens))
        return tokens + self.mlp(tokens)

    def _attend(self, tokens: Tensor) -> Tensor:
        """Return the attention of tokens (B, N, hidden) to each other, without dropout."""
        parts = [layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in self._inputs()]
        attended = F.scaled_dot_product_attention(*parts)
        return self.project(attended.transpose(1, 2).flatten(2))

    def _inputs(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        return self.query, self.key, self.value


class DecoderLevel(nn.Module):
    """Doubles the size, appends a skip map, if there is one, and convolves twice."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.upsample = nn.UpsamplingBilinear2d(scale_factor=2)
        self.body = nn.Sequential(
            *_convolution(in_channels + skip_channels, out_channels), *_convolution(out_channels, out_channels)
        )

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = self.upsample(x)
        if skip is not None:
            x = torch.cat([x, skip], 1)
        return self.body(x)


class TransUNet(nn.Module):
    """(B, in_channels, H, W) to logits (B, out_channels, H, W)."""

    uses_all_parameters = True

    def __init__(
        self,
        geometry: Geometry,
        *,
        width: int,
        blocks: tuple[int, int, int],
        hidden: int,
        layers: int,
        mlp: int,
        heads: int,
        dropout: float,
        decoder_widths: tuple[int, int, int, int, int],
    ) -> None:
        super().__init__()
        self.backbone = ResNet(geometry.in_channels, width, blocks)
        self.to_tokens = nn.Conv2d(self.backbone.out_channels, hidden, kernel_size=1)
        height, length = (size // STRIDE for size in geometry.patch)
        self.positions = nn.Parameter(torch.zeros(1, height * length, hidden))
        self.dropout = nn.Dropout(dropout)
        transformer = [TransformerBlock(hidden, mlp=mlp, heads=heads, dropout=dropout) for _ in range(layers)]
        self.transformer = nn.Sequential(*transformer, nn.LayerNorm(hidden, eps=_EPSILON))
        self.from_tokens = nn.Sequential(*_convolution(hidden, decoder_widths[0]))
        skips = (width * 8, width * 4, width, 0)
        levels = zip(decoder_widths[:-1], skips, decoder_widths[1:], strict=True)
        self.decoder = nn.ModuleList(DecoderLevel(*channels) for channels in levels)
        self.head = nn.Conv2d(decoder_widths[-1], geometry.out_channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x, skips = self.backbone(x)
        x = self.to_tokens(x)
        tokens = self.dropout(x.flatten(2).transpose(1, 2) + self.positions)
        tokens = self.transformer(tokens)
        x = self.from_tokens(tokens.transpose(1, 2).reshape(x.shape))
        for level, skip in zip(self.decoder, [*skips[::-1], None], strict=True):
            x = level(x, skip)
        return self.head(x)


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(_GROUPS, channels), channels, eps=_EPSILON)


def _convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels), nn.ReLU()]


def build(
    geometry: Geometry,
    *,
    width: int = 64,
    blocks: tuple[int, int, int] = (3, 4, 9),
    hidden: int = 768,
    layers: int = 12,
    mlp: int = 3072,
    heads: int = 12,
    dropout: float = 0.1,
    decoder_widths: tuple[int, int, int, int, int] = (512, 256, 128, 64, 16),
) -> nn.Module:
    """Return a TransUNet with random weights.

    width: channels of the ResNet at half resolution; its stages have 4, 8 and 16 times as many. Below 32 or a
        multiple of 32.
    blocks: number of residual blocks in each stage of the ResNet.
    hidden: length of the vector of a token.
    layers: number of transformer blocks.
    mlp: length of that vector between the two layers of a multi-layer perceptron.
    heads: heads of attention, among which a token's vector is divided.
    dropout: rate of dropout of the tokens and in each multi-layer perceptron.
    decoder_widths: channels of the decoder at 1/16, 1/8, 1/4, 1/2 and full resolution.

    Raises:
        IncompatibleError: the patch does not divide into tokens, or a parameter is out of its range.
    """
    require = Requirements("transunet")
    require.patch_multiple_of(STRIDE, geometry.patch)
    require.at_least(1, width=width, hidden=hidden, layers=layers, mlp=mlp, heads=heads)
    require.at_least(1, blocks=min(blocks), decoder_widths=min(decoder_widths))
    require.that(
        width in {1, 2, 4, 8, 16} or width % _GROUPS == 0,
        f"width is {width}, expected 1, 2, 4, 8, 16 or a multiple of {_GROUPS}, which can be normalised in groups;"
        " choose another",
    )
    require.that(
        heads < 1 or hidden % heads == 0,
        f"hidden is {hidden}, expected a multiple of heads = {heads}; change one of them",
    )
    require.probability(dropout=dropout)
    require.check()
    return TransUNet(
        geometry,
        width=width,
        blocks=blocks,
        hidden=hidden,
        layers=layers,
        mlp=mlp,
        heads=heads,
        dropout=dropout,
        decoder_widths=decoder_widths,
    )


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    source = "Beckschen/TransUNet@02ef001"
    published = (
        Published(source=source, geometry=Geometry(3, 9, (224, 224)), parameters=105_277_081, macs=29_225_730_048),
        Published(source=source, geometry=Geometry(3, 9, (256, 256)), parameters=105_323_161, macs=38_459_916_288),
    )
    return [
        ModelPlugin(
            name="transunet",
            build=build,
            source="arXiv:2102.04306",
            ndims=frozenset({2}),
            published=published,
        )
    ]
