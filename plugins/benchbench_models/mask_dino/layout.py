"""The names of tensors in published checkpoints, translated to those of the parameters here.

Source: IDEA-Research/MaskDINO, commit 3831d85, on detectron2, whose ResNet names its layers in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from benchbench import DataError

_IGNORED = "criterion."  # the weights of the loss are constants here
_BACKBONE = (
    (r"stem\.", ""),
    (r"res2\.", "layer1."),
    (r"res3\.", "layer2."),
    (r"res4\.", "layer3."),
    (r"res5\.", "layer4."),
    (r"conv(\d)\.norm\.", r"bn\1."),
    (r"shortcut\.norm\.", "downsample.1."),
    (r"shortcut\.", "downsample.0."),
)
_ATTENTION = (
    (r"sampling_offsets\.", "offsets."),
    (r"attention_weights\.", "weights."),
    (r"value_proj\.", "value."),
    (r"output_proj\.", "output."),
)
_PIXEL_DECODER = (
    (r"^transformer\.(encoder\.)?", ""),
    (r"^level_embed$", "level_position"),
    (r"^input_proj\.", "projections."),
    (r"^mask_features\.", "to_masks."),
    (r"^adapter_1\.norm\.", "lateral.1."),
    (r"^adapter_1\.", "lateral.0."),
    (r"^layer_1\.norm\.", "smooth.1."),
    (r"^layer_1\.", "smooth.0."),
    (r"\.self_attn\.", ".attention."),
    (r"\.norm1\.", ".norm."),
    (r"\.norm2\.", ".feed_forward.norm."),
    (r"\.linear", ".feed_forward.linear"),
    *_ATTENTION,
)
_DECODER = (
    (r"^query_feat\.", "start.content."),
    (r"^query_embed\.", "start.anchors."),
    (r"^enc_output\.", "start.project."),
    (r"^enc_output_norm\.", "start.norm."),
    (r"^label_enc\.", "label_content."),
    (r"^class_embed\.", "heads.to_class."),
    (r"^mask_embed\.layers\.", "heads.to_mask."),
    (r"^decoder_norm\.", "heads.norm."),
    (r"^decoder\.", ""),
    (r"^norm\.", "heads.norm."),  # the same tensor as decoder_norm
    (r"^(_bbox_embed|bbox_embed\.\d+)\.layers\.", "heads.to_box."),  # one tensor under many names
    (r"^ref_point_head\.layers\.", "to_position."),
    (r"\.norm3\.", ".feed_forward.norm."),
    (r"\.norm1\.", ".norm of attention."),
    (r"\.norm2\.", ".norm1."),
    (r"\.norm of attention\.", ".norm2."),
    (r"\.self_attn\.", ".self_attention."),
    (r"\.cross_attn\.", ".attention."),
    (r"\.linear", ".feed_forward.linear"),
    (r"^(heads\.to_mask|heads\.to_box|to_position)\.2\.", r"\1.4."),  # there is a ReLU between linear layers
    (r"^(heads\.to_mask|heads\.to_box|to_position)\.1\.", r"\1.2."),
    *_ATTENTION,
)
_PARTS = {
    "backbone.": ("backbone.", _BACKBONE),
    "sem_seg_head.pixel_decoder.": ("pixel_decoder.", _PIXEL_DECODER),
    "sem_seg_head.predictor.": ("decoder.", _DECODER),
}


def translate(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a published checkpoint by the names of the parameters here, each once.

    Raises:
        DataError: a name is of another layout, two names of one tensor have different values, or a part of the
            network is missing.
    """
    tensors: dict[str, Tensor] = {}
    problems = []
    for name, tensor in published.items():
        if name.startswith(_IGNORED):
            continue
        parameter = parameter_name(name)
        if parameter is None:
            problems.append(f"'{name}' is no tensor of Mask DINO; give a checkpoint that IDEA-Research published")
        elif not torch.equal(tensors.setdefault(parameter, tensor), tensor):
            problems.append(f"'{name}' differs from another name of the same tensor; the file is damaged")
    for prefix, (part, _) in _PARTS.items():
        if not any(name.startswith(part) for name in tensors):
            problems.append(
                f"found no tensor '{prefix}*', expected the whole network; download the checkpoint again"
            )
    if problems:
        raise DataError(*problems[:3])
    return tensors


def parameter_name(published: str) -> str | None:
    """Return the name of the parameter for a published tensor; None for one of another layout."""
    for prefix, (new_prefix, renamed) in _PARTS.items():
        if published.startswith(prefix):
            name = published.removeprefix(prefix)
            for pattern, replacement in renamed:
                name = re.sub(pattern, replacement, name)
            return new_prefix + name
    return None
