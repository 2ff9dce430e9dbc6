"""The conventions of the decoder, which are easy to miss, worked out step by step from its parts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchbench_models.mask_dino.boxes import box_logits, mask_boxes
from benchbench_models.mask_dino.decoder import Decoder
from benchbench_models.mask_dino.deformable import Memory, flatten_maps
from benchbench_models.mask_dino.layers import WIDTH
from benchbench_models.mask_dino.position import box_position
from benchbench_models.mask_dino.selection import propose_boxes


@pytest.fixture
def memory() -> Memory:
    torch.manual_seed(1)
    return flatten_maps([torch.randn(2, WIDTH, size, size) for size in (8, 4, 2)])


@pytest.fixture
def mask_map() -> Tensor:
    torch.manual_seed(2)
    return torch.randn(2, WIDTH, 16, 16) / 16


def randomise(decoder: Decoder) -> Decoder:
    """Change normalisation and box head from their initial values, which would hide mistakes."""
    torch.manual_seed(3)
    with torch.no_grad():
        for module in decoder.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.add_(torch.rand(WIDTH))
                module.bias.add_(torch.rand(WIDTH))
        decoder.heads.to_box[-1].weight.normal_(std=0.1)
    return decoder


def built(selection: str = "learned") -> Decoder:
    torch.manual_seed(0)
    return randomise(Decoder(2, layers=2, queries=5, selection=selection))  # type: ignore[arg-type]


def by_hand(decoder: Decoder, memory: Memory, *, steps: int) -> list[tuple[Tensor, Tensor]]:
    """Return the content after each layer and the boxes that the layer attended around."""
    content = decoder.start.content.weight.expand(2, -1, -1)
    boxes = decoder.start.anchors.weight.expand(2, -1, -1).sigmoid()
    outputs = []
    for layer in decoder.layers[:steps]:
        position = decoder.to_position(box_position(boxes, WIDTH // 2))
        content = layer(content, position, boxes, memory, None)
        outputs.append((content, boxes))
        boxes = (decoder.heads.to_box(content) + box_logits(boxes)).sigmoid()
    return outputs


def test_class_and_mask_are_predicted_from_content_normalised_twice(memory: Memory, mask_map: Tensor) -> None:
    decoder = built()
    predictions = decoder(memory, mask_map, every_layer=True).predictions
    for prediction, (content, _) in zip(predictions[1:], by_hand(decoder, memory, steps=2), strict=True):
        twice = decoder.heads.norm(decoder.heads.norm(content))
        torch.testing.assert_close(prediction.classes, decoder.heads.to_class(twice))
        masks = torch.einsum("bqc,bchw->bqhw", decoder.heads.to_mask(twice), mask_map)
        torch.testing.assert_close(prediction.masks, masks)


def test_predicted_boxes_use_content_normalised_once_and_those_of_the_next_layer_content_as_it_is(
    memory: Memory, mask_map: Tensor
) -> None:
    decoder = built()
    predictions = decoder(memory, mask_map, every_layer=True).predictions
    for prediction, (content, layer_boxes) in zip(predictions[1:], by_hand(decoder, memory, steps=2), strict=True):
        delta = decoder.heads.to_box(decoder.heads.norm(content))
        torch.testing.assert_close(prediction.boxes, (delta + box_logits(layer_boxes)).sigmoid())


def test_the_first_prediction_is_that_of_the_initial_queries(memory: Memory, mask_map: Tensor) -> None:
    decoder = built()
    first = decoder(memory, mask_map, every_layer=True).predictions[0]
    content = decoder.start.content.weight.expand(2, -1, -1)
    torch.testing.assert_close(first.classes, decoder.heads.to_class(decoder.heads.norm(content)))
    torch.testing.assert_close(first.boxes, decoder.start.anchors.weight.sigmoid().expand(2, -1, -1))


def test_boxes_go_to_the_next_layer_without_a_gradient_and_are_predicted_with_one(
    memory: Memory, mask_map: Tensor
) -> None:
    decoder = built()
    with torch.no_grad():
        for linear in (decoder.layers[0].attention.output, decoder.layers[0].self_attention.out_proj):
            linear.weight.zero_()  # the first layer's content does not depend on the boxes
    last, anchors = decoder(memory, mask_map).predictions[-1], decoder.start.anchors.weight
    # the second layer attended around boxes without a gradient, so its content and masks have none
    (from_masks,) = torch.autograd.grad(last.masks.sum(), anchors, retain_graph=True)
    assert from_masks.abs().sum() == 0
    # the box that it corrected is that of the first layer with its gradient
    (from_boxes,) = torch.autograd.grad(last.boxes.sum(), anchors)
    assert from_boxes.abs().sum() > 0


def test_the_last_prediction_is_the_same_with_and_without_those_of_the_other_layers(
    memory: Memory, mask_map: Tensor
) -> None:
    decoder = built()
    (last,) = decoder(memory, mask_map).predictions
    predictions = decoder(memory, mask_map, every_layer=True).predictions
    assert len(predictions) == 3
    for one, other in zip(last, predictions[-1], strict=True):
        torch.testing.assert_close(one, other)


def test_all_layers_share_one_box_head() -> None:
    boxes = [name for name in built().state_dict() if "to_box" in name]
    assert len(boxes) == 6
    assert all(name.startswith("heads.") for name in boxes)


def test_the_last_class_in_addition_to_those_of_the_task_is_no_object() -> None:
    assert Decoder(3, layers=1, queries=4, selection="learned").heads.to_class.out_features == 4
    assert Decoder(3, layers=1, queries=4, selection="two_stage").heads.to_class.out_features == 4


def test_proposals_double_in_size_from_map_to_map_and_those_at_the_edge_are_not_usable() -> None:
    memory = flatten_maps([torch.zeros(1, 1, 4, 64), torch.zeros(1, 1, 2, 2)])
    proposals, usable = propose_boxes(memory)
    boxes = proposals.sigmoid()
    assert boxes[1].tolist() == pytest.approx([1.5 / 64, 0.125, 0.05, 0.05])
    assert boxes[-1].tolist() == pytest.approx([0.75, 0.75, 0.1, 0.1])
    assert not usable[0]  # its centre is at 1/128
    assert proposals[0].isinf().all()
    assert usable.sum() == 4 * 62 + 4


def test_selected_queries_are_the_places_where_an_object_is_most_likely(memory: Memory, mask_map: Tensor) -> None:
    decoder = built("two_stage")
    with torch.no_grad():
        start = decoder.start(memory, decoder.heads, mask_map)
        content = decoder.start.norm(decoder.start.project(memory.tokens))
        object_probability = 1 - decoder.heads.to_class(content).softmax(-1)[..., -1]
    places = object_probability.topk(5, dim=1).indices
    torch.testing.assert_close(start.content, content.gather(1, places[..., None].expand(-1, -1, WIDTH)))
    assert start.proposed is not None
    torch.testing.assert_close(start.proposed.boxes, start.anchors.sigmoid())


def test_selected_queries_start_without_a_gradient_but_their_proposals_have_one(
    memory: Memory, mask_map: Tensor
) -> None:
    decoder = built("two_stage")
    start = decoder.start(memory, decoder.heads, mask_map)
    assert not start.content.requires_grad
    assert not start.anchors.requires_grad
    assert start.proposed is not None
    assert all(tensor.requires_grad for tensor in start.proposed)


def test_boxes_of_masks_replace_the_proposed_ones(memory: Memory, mask_map: Tensor) -> None:
    decoder = built("two_stage+mask_boxes")
    start = decoder.start(memory, decoder.heads, mask_map)
    assert start.proposed is not None
    torch.testing.assert_close(start.anchors, box_logits(mask_boxes(start.proposed.masks > 0)))
    assert not torch.allclose(start.anchors.sigmoid(), start.proposed.boxes, atol=0.01)
