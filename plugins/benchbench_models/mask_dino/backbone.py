"""A ResNet of torchvision, up to its four feature maps.

Source: He et al. 2016, arXiv:1512.03385; the stride of a bottleneck is in its 3×3 convolution.
Differs: any number of input channels.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from benchbench_models.mask_dino.design import BackboneName


class Backbone(nn.Module):
    """Images (B, in_channels, H, W) to feature maps of 1/4, 1/8, 1/16 and 1/32 of their size."""

    def __init__(self, name: BackboneName, *, in_channels: int, frozen_batch_norm: bool) -> None:
        super().__init__()
        norm = FrozenBatchNorm2d if frozen_batch_norm else nn.BatchNorm2d
        body = getattr(models, name)(norm_layer=norm)
        deepest = body.fc.in_features
        self.channels = (deepest // 8, deepest // 4, deepest // 2, deepest)
        """Channels of each map."""
        self.conv1, self.bn1 = body.conv1, body.bn1
        if in_channels != 3:
            self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.pool = nn.Sequential(body.relu, body.maxpool)
        self.layer1, self.layer2, self.layer3, self.layer4 = body.layer1, body.layer2, body.layer3, body.layer4

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.pool(self.bn1(self.conv1(images)))
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.append(x)
        return maps
