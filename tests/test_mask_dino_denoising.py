from __future__ import annotations

import pytest
import torch

from benchbench_models.mask_dino.criterion import noised_pairs
from benchbench_models.mask_dino.decoder import Decoder
from benchbench_models.mask_dino.deformable import flatten_maps
from benchbench_models.mask_dino.denoising import Noised, hidden_from, noise_targets
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
    found = noise_targets(targets(present), queries=queries)
    assert found is not None
    return found


def test_there_are_as_many_groups_as_the_fullest_image_allows() -> None:
    assert noised([[True, True, True], [True, False, False]]).groups == 33
    assert noised([[False, True, False], [True, False, False]]).groups == 100


def test_each_group_has_every_target_of_its_image_once_and_empty_places_for_the_rest() -> None:
    found = noised([[False, True, True], [True, False, False]], queries=6)
    assert found.groups == 3
    assert found.truth[0].tolist() == [1, 2, 1, 2, 1, 2]
    assert found.truth[1, ::2].tolist() == [0, 0, 0]
    assert found.is_real.tolist() == [[True] * 6, [True, False] * 3]
    assert found.anchors[1, 1::2].abs().sum() == 0


def test_a_noised_query_answers_for_what_it_was_made_from_whatever_its_label_is_now() -> None:
    found = noised([[False, True, True], [True, False, False]], queries=4)
    pairs = noised_pairs(found._replace(labels=torch.zeros_like(found.labels)))
    assert list(zip(*(each.tolist() for each in pairs), strict=True)) == [
        (0, 0, 1), (0, 1, 2), (0, 2, 1), (0, 3, 2), (1, 0, 0), (1, 2, 0)
    ]  # fmt: skip


@pytest.mark.parametrize(("present", "queries"), [([[False, False]], 100), ([[True, True]], 1)])
def test_nothing_to_find_or_more_than_there_is_room_for_makes_none(
    present: list[list[bool]], queries: int
) -> None:
    assert noise_targets(targets(present), queries=queries) is None


def test_boxes_move_by_a_fifth_of_their_size_and_change_it_by_two_fifths_at_most() -> None:
    wanted = targets([[True]] * 50)
    torch.manual_seed(0)
    found = noise_targets(wanted)
    assert found is not None
    boxes, truth = found.anchors.sigmoid(), wanted.boxes[:1]
    moved = (boxes - truth).abs() / truth[..., 2:].repeat(1, 1, 2)
    assert moved[..., :2].max() <= 0.2 + 1e-4
    assert moved[..., 2:].max() <= 0.4 + 1e-4
    assert moved[..., :2].max() > 0.19
    assert moved[..., 2:].max() > 0.38


def test_a_fifth_of_the_labels_is_drawn_anew() -> None:
    found = noised([[True, True, True, True]] * 100)
    wrong = (found.labels != found.truth).float().mean().item()
    assert wrong == pytest.approx(0.2 * 3 / 4, abs=0.02)  # a quarter of those drawn is right by chance


def test_matching_queries_see_no_noised_one_and_groups_do_not_see_each_other() -> None:
    hidden = hidden_from(noised([[True, True]], queries=4), queries=3)
    visible = [
        # two groups of two, three matching queries
        [1, 1, 0, 0, 1, 1, 1],
        [1, 1, 0, 0, 1, 1, 1],
        [0, 0, 1, 1, 1, 1, 1],
        [0, 0, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 1, 1, 1],
        [0, 0, 0, 0, 1, 1, 1],
        [0, 0, 0, 0, 1, 1, 1],
    ]
    assert (~hidden).int().tolist() == visible


def test_what_is_predicted_does_not_depend_on_the_noised_queries_of_another_group() -> None:
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
        one, two = (decoder(memory, mask_map, noised=each, every_layer=True) for each in (extra, other))
    for a, b, c in zip(alone, one.predictions[-1], two.predictions[-1], strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(b, c)
    before, after = one.noised[-1].classes[0], two.noised[-1].classes[0]
    changed = (before - after).abs().amax(-1) > 1e-4
    assert changed.tolist() == [False, False, True, True, False, False]
    assert len(one.noised) == len(one.predictions) == 3
