"""Every built-in model as small as it gets, and the patch that it is then trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Small(NamedTuple):
    """Parameters of a model, and the smallest patches that it takes with them."""

    params: Mapping[str, Any] = {}
    slices: tuple[int, int] = (32, 32)
    volumes: tuple[int, int, int] = (16, 16, 32)
    channels: int = 3


LITTLE = {"encoder": "tu-mobilenetv3_small_050"}
MODELS: dict[str, Small] = {
    "attention_unet": Small({"width": 4}),
    "mask_dino": Small(
        {"backbone": "resnet18", "encoder_layers": 1, "decoder_layers": 1, "queries": 4, "points": 64}
    ),
    "monai_attention_unet": Small({"widths": (4, 8, 16)}),
    "monai_basic_unet_plus_plus": Small({"widths": (4, 4, 8, 8, 8)}),
    "monai_dynunet": Small({"widths": (4, 8, 8), "deep_supervision": 1}),
    "monai_mednext": Small({"width": 4, "deep_supervision": True}),
    "monai_segresnet": Small({"width": 8}),
    "monai_swin_unetr": Small({"width": 12, "window": 2}, slices=(32, 64), volumes=(32, 32, 64)),
    "monai_vnet": Small(volumes=(16, 16, 16), channels=4),
    "nnunet_plain": Small({"widths": (4, 8, 8), "deep_supervision": True}),
    "nnunet_residual": Small({"widths": (4, 8, 8), "blocks": (1, 1, 1)}),
    "resunet": Small({"width": 4}),
    "segresnet_vae": Small({"width": 8, "latent": 8}),
    "separable_unet": Small({"width": 4}),
    "smp_deeplabv3": Small(LITTLE),
    "smp_deeplabv3_plus": Small(LITTLE),
    "smp_dpt": Small({"encoder": "tu-vit_tiny_patch16_224"}),
    "smp_fpn": Small(LITTLE),
    "smp_linknet": Small(LITTLE),
    "smp_manet": Small({"encoder": "resnet18"}),
    "smp_pan": Small(LITTLE, slices=(128, 128)),
    "smp_pspnet": Small({"encoder": "resnet18"}),
    "smp_segformer": Small(LITTLE),
    "smp_unet": Small(LITTLE),
    "smp_unet_plus_plus": Small(LITTLE),
    "smp_upernet": Small(LITTLE),
    "transunet": Small(
        {
            "width": 4,
            "blocks": (1, 1, 1),
            "hidden": 24,
            "layers": 1,
            "mlp": 24,
            "heads": 2,
            "decoder_widths": (8, 8, 8, 4, 4),
        }
    ),
    "unet": Small({"width": 4}),
    "unetr": Small({"width": 4, "hidden": 24, "mlp": 24, "heads": 2}),
    "unext": Small(),
    "unext_s": Small(),
}
