"""The network: backbone, pixel decoder and decoder, and its loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchbench import Geometry
from benchbench_models.mask_dino.backbone import Backbone
from benchbench_models.mask_dino.criterion import decoded_loss
from benchbench_models.mask_dino.decoder import Decoded, Decoder
from benchbench_models.mask_dino.deformable import flatten_maps
from benchbench_models.mask_dino.denoising import Noised, noise_targets
from benchbench_models.mask_dino.design import Design
from benchbench_models.mask_dino.heads import Prediction
from benchbench_models.mask_dino.pixel_decoder import PixelDecoder
from benchbench_models.mask_dino.scores import SCORE_RULES, ScoreFunction
from benchbench_models.mask_dino.targets import region_targets


class MaskDino(nn.Module):
    """(B, in_channels, H, W) to logits (B, out_channels, H, W), one class for each output channel."""

    def __init__(self, geometry: Geometry, design: Design) -> None:
        super().__init__()
        self.classes = geometry.out_channels
        self.points = design.points
        self.pixel_logits: ScoreFunction = SCORE_RULES[design.scores]
        self.backbone = Backbone(
            design.backbone, in_channels=geometry.in_channels, frozen_batch_norm=design.frozen_batch_norm
        )
        self.pixel_decoder = PixelDecoder(self.backbone.channels, layers=design.encoder_layers)
        self.decoder = Decoder(
            self.classes, layers=design.decoder_layers, queries=design.queries, selection=design.selection
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.pixel_logits(self.predict(images), (images.shape[2], images.shape[3]))

    def predict(self, images: Tensor) -> Prediction:
        """Return the predictions of the queries after the last layer."""
        return self.decode(images).predictions[-1]

    def loss(
        self,
        images: Tensor,
        targets: Tensor,
        criterion: Callable[[Tensor], Tensor],  # noqa: ARG002 the model has its own loss
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of the predictions of every layer, and the logits without gradient.

        images are (B, in_channels, H, W), targets bool (B, K, H, W), one mask per region, which may overlap. In
        training, the loss includes that of noised queries.
        """
        class_targets = region_targets(targets, classes=self.classes)
        noised = noise_targets(class_targets) if self.training else None
        points = min(self.points, images[0, 0].numel())
        decoded = self.decode(images, noised=noised, every_layer=True)
        with torch.autocast(images.device.type, enabled=False):
            loss = decoded_loss(decoded, class_targets, noised, points=points)
        with torch.no_grad():
            return loss, self.pixel_logits(decoded.predictions[-1], (images.shape[2], images.shape[3]))

    def decode(self, images: Tensor, *, noised: Noised | None = None, every_layer: bool = False) -> Decoded:
        """Return the predictions of the queries, in fp32; only the backbone follows autocast."""
        maps = self.backbone(images)
        with torch.autocast(images.device.type, enabled=False):
            mask_map, levels = self.pixel_decoder([features.float() for features in maps])
            memory = flatten_maps(levels[::-1])
            decoded: Decoded = self.decoder(memory, mask_map, noised=noised, every_layer=every_layer)
        return decoded
