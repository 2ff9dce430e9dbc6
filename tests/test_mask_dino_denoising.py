"""Noised queries: their groups, their noise, and that they do not reveal the targets."""

from __future__ import annotations

import pytest
import torch

from benchbench_models.mask_dino.criterion import noised_pairs
from benchbench_models.mask_dino.decoder import Decoder
from benchbench_models.mask_dino.deformable import flatten_maps
from benchbench_models.mask_dino.denoising import Noised, attention_mask, noise_targets
from benchbench_models.mask_dino.layers import WIDTH
from benchbench_models.mask_dino.targets import Targets, region_targets


def targets(present: list[list[bool]]) -> Targets:
    masks = torch.zeros(len(present), len(present[0]), 32, 32, dtype=torch.bool)
    for image, row in enumerate(present):
        for label, is_present in enumerate(row):
            masks[image, label, 10 : 14 + label, 8:20] = is_present
    return region_targets(masks, classes=masks.shape[1])


def noised(present: list[list[bool]], *, queries: int = 100) -> Noised:
    torch.manual_seed(0)
    result = noise_targets(targets(present), queries=queries)
    assert result is not None
    return result


def test_the_image_with_the_most_targets_decides_the_number_of_groups() -> None:
    assert noised([[True, True, True], [True, False, False]]).groups == 33
    assert noised([[False, True, False], [True, False, False]]).groups == 100


def test_each_group_has_every_target_of_its_image_once_and_otherwise_empty_queries() -> None:
    result = noised([[False, True, True], [True, False, False]], queries=6)
    assert result.groups == 3
    assert result.target_labels[0].tolist() == [1, 2, 1, 2, 1, 2]
    assert result.target_labels[1, ::2].tolist() == [0, 0, 0]
    assert result.is_real.tolist() == [[True] * 6, [True, False] * 3]
    assert result.anchors[1, 1::2].abs().sum() == 0


def test_a_noised_query_is_paired_with_its_target_whatever_its_noised_label() -> None:
    result = noised([[False, True, True], [True, False, False]], queries=4)
    pairs = noised_pairs(result._replace(labels=torch.zeros_like(result.labels)))
    assert list(zip(*(indices.tolist() for indices in pairs), strict=True)) == [
        (0, 0, 1), (0, 1, 2), (0, 2, 1), (0, 3, 2), (1, 0, 0), (1, 2, 0)
    ]  # fmt: skip


@pytest.mark.parametrize(("present", "queries"), [([[False, False]], 100), ([[True, True]], 1)])
def test_there_are_no_noised_queries_without_targets_or_with_too_many(
    present: list[list[bool]], queries: int
) -> None:
    assert noise_targets(targets(present), queries=queries) is None


def test_boxes_move_by_a_fifth_of_their_size_and_change_it_by_two_fifths_at_most() -> None:
    present = targets([[True]] * 50)
    torch.manual_seed(0)
    result = noise_targets(present)
    assert result is not None
    boxes, target_boxes = result.anchors.sigmoid(), present.boxes[:1]
    moved = (boxes - target_boxes).abs() / target_boxes[..., 2:].repeat(1, 1, 2)
    assert moved[..., :2].max() <= 0.2 + 1e-4
    assert moved[..., 2:].max() <= 0.4 + 1e-4
    assert moved[..., :2].max() > 0.19
    assert moved[..., 2:].max() > 0.38


def test_a_fifth_of_the_labels_is_random() -> None:
    result = noised([[True, True, True, True]] * 100)
    wrong = (result.labels != result.target_labels).float().mean().item()
    assert wrong == pytest.approx(0.2 * 3 / 4, abs=0.02)  # a quarter of the random ones is right by chance


def test_other_queries_attend_to_no_noised_one_and_groups_not_to_each_other() -> None:
    mask = attention_mask(noised([[True, True]], queries=4), queries=3)
    attended = [
        # two groups of two, then three queries that are not noised
        [1, 1, 0, 0, 1, 1, 1],
        [1, 1, 0, 0, 1, 1, 1],
        [0, 0, 1, 1, 1, 1, 1],
        [0, 0, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 1, 1, 1],
        [0, 0, 0, 0, 1, 1, 1],
        [0, 0, 0, 0, 1, 1, 1],
    ]
    assert (~mask).int().tolist() == attended


def test_predictions_do_not_depend_on_the_noised_queries_of_another_group() -> None:
    torch.manual_seed(0)
    decoder = Decoder(2, layers=2, queries=5, selection="learned")
    memory = flatten_maps([torch.randn(1, WIDTH, size, size) for size in (4, 2, 1)])
    mask_map = torch.randn(1, WIDTH, 8, 8)
    extra = noised([[True, True]], queries=6)  # three groups of two
    other = extra._replace(anchors=extra.anchors.clone(), labels=extra.labels.clone())
    other.anchors[:, 2:4] += 2
    other.labels[:, 2:4] = 1 - other.labels[:, 2:4]
    with torch.no_grad():
        alone = decoder(memory, mask_map).predictions[-1]
        one, two = (decoder(memory, mask_map, noised=queries, every_layer=True) for queries in (extra, other))
    for a, b, c in zip(alone, one.predictions[-1], two.predictions[-1], strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(b, c)
    before, after = one.noised[-1].classes[0], two.noised[-1].classes[0]
    changed = (before - after).abs().amax(-1) > 1e-4
    assert changed.tolist() == [False, False, True, True, False, False]
    assert len(one.noised) == len(one.predictions) == 3
