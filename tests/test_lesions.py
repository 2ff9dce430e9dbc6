from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from benchbench.images.arrays import Mask
from benchbench.metrics.distances import measure
from benchbench.metrics.lesions import PENALTY_MM, RULES, LesionScores, Rules, brats23_lesion
from benchbench.metrics.scores import Counts, distance, measure_regions, score
from benchbench.spec.metric_names import Challenge, parse_metrics

GLI = RULES["gli"]
SMALL = Rules(dilation=1, volume_mm3=0)


def boxes(*corners: tuple[int, int, int], side: int = 4) -> np.ndarray:
    mask = np.zeros((40, 40, 40), dtype=np.bool_)
    for corner in corners:
        mask[tuple(slice(start, start + side) for start in corner)] = True
    return mask


def test_no_lesion_and_no_prediction_is_perfect() -> None:
    assert brats23_lesion(boxes(), boxes(), rules=GLI) == (1, 0, 0, 0, 0)


def test_found_missed_and_made_up_lesions_have_equal_weight() -> None:
    reference = boxes((2, 2, 2), (20, 20, 20))
    prediction = boxes((2, 2, 2), (2, 30, 30))
    scores = brats23_lesion(reference, prediction, rules=GLI)
    assert scores == (pytest.approx(1 / 3), pytest.approx(2 * 374 / 3), 1, 1, 1)


def test_a_single_false_positive_has_the_worst_score_unless_it_does_not_count() -> None:
    assert brats23_lesion(boxes(), boxes((5, 5, 5)), rules=GLI) == (0, 374, 0, 0, 1)
    assert brats23_lesion(boxes(), boxes((5, 5, 5)), rules=RULES["men-rt"]) == (1, 0, 0, 0, 1)


def test_a_false_positive_of_one_voxel_counts_fully() -> None:
    reference = boxes((2, 2, 2))
    prediction = reference.copy()
    prediction[30, 30, 30] = True
    assert brats23_lesion(reference, prediction, rules=GLI).dice == pytest.approx(1 / 2)


def test_a_dropped_lesion_still_absorbs_the_components_that_touch_it() -> None:
    reference = boxes((2, 2, 2)) | boxes((20, 20, 20), side=3)  # 64 and 27 voxels
    prediction = boxes((2, 2, 2)) | boxes((21, 21, 21), side=3)
    assert brats23_lesion(reference, prediction, rules=GLI) == (1, 0, 1, 0, 0)
    assert brats23_lesion(reference, boxes((2, 2, 2)), rules=GLI).n_missed == 0
    assert brats23_lesion(reference, boxes((2, 2, 2)), rules=RULES["met"]).n_missed == 1


def test_a_lesion_of_exactly_the_smallest_volume_in_mm_is_dropped() -> None:
    reference = boxes((2, 2, 2), side=2)  # 8 voxels
    empty = boxes()
    assert brats23_lesion(reference, empty, rules=Rules(1, 8)).n_missed == 0
    assert brats23_lesion(reference, empty, rules=Rules(1, 7)).n_missed == 1
    assert brats23_lesion(reference, empty, rules=Rules(1, 8), spacing_mm=(1, 1, 2)).n_missed == 1


def test_lesions_whose_zones_touch_are_one_lesion() -> None:
    reference = boxes((2, 2, 2), (2, 2, 10))  # a gap of four voxels
    assert brats23_lesion(reference, boxes((2, 2, 2)), rules=GLI)[2:] == (1, 0, 0)
    assert brats23_lesion(reference, boxes((2, 2, 2)), rules=SMALL)[2:] == (1, 1, 0)
    half = brats23_lesion(reference, boxes((2, 2, 2)), rules=GLI)
    assert half.dice == pytest.approx(2 * 64 / (128 + 64))


def test_a_component_that_bridges_two_lesions_is_scored_against_both() -> None:
    reference = boxes((2, 2, 2), (2, 2, 20))
    prediction = reference.copy()
    prediction[3, 3, 2:24] = True  # 14 voxels between them
    scores = brats23_lesion(reference, prediction, rules=GLI)
    assert scores.dice == pytest.approx(2 * 64 / (64 + 142))
    assert scores[2:] == (2, 0, 0)


def test_a_component_within_the_zone_finds_the_lesion_with_dice_0() -> None:
    reference, prediction = boxes((10, 10, 10)), boxes((10, 10, 16))  # two voxels of gap, zone of three
    scores = brats23_lesion(reference, prediction, rules=GLI)
    assert (scores.dice, scores.n_found, scores.n_made_up) == (0, 1, 0)
    assert 0 < scores.hd95_mm < 10


def test_lesions_of_a_two_dimensional_mask_are_refused() -> None:
    flat = np.zeros((4, 4), dtype=np.bool_)
    with pytest.raises(ValueError, match="2 axes, expected 3"):
        brats23_lesion(flat, flat, rules=GLI)


NAMES = ["lesion_dice@gli", "lesion_hd95@gli", "lesion_dice@men-rt"]


def test_lesion_scores_can_be_combined_with_other_metrics() -> None:
    reference, prediction = boxes((2, 2, 2), (20, 20, 20)), boxes((2, 2, 2), (2, 30, 30))
    values = score(reference, prediction, metrics=["dice", *NAMES, "hd"])
    assert list(values) == ["dice", *NAMES, "hd"]
    assert values["dice"] == 0.5
    assert values["lesion_dice@gli"] == pytest.approx(1 / 3)
    assert values["lesion_hd95@gli"] == pytest.approx(2 * 374 / 3)
    assert values["lesion_dice@men-rt"] == pytest.approx(1 / 2)  # false positives do not count there


def test_each_region_has_columns_of_lesion_scores() -> None:
    bits = (boxes((2, 2, 2)) | boxes((20, 20, 20)) << 1).astype(np.uint8)
    masks = np.stack([boxes((2, 2, 2)), boxes()], axis=1)
    first, second = measure_regions(bits, masks, metrics=NAMES[:2], spacing_mm=(1, 1, 1))
    assert first == {"lesion_dice@gli_mm": 1.0, "lesion_hd95@gli_mm": 0.0}
    assert second == {"lesion_dice@gli_mm": 0.0, "lesion_hd95@gli_mm": 374.0}


@pytest.mark.parametrize(("spacing_mm", "unit", "dice"), [(None, "px", 0.0), ((1, 0.5, 1), "mm", 1.0)])
def test_the_smallest_volume_has_the_unit_of_the_column(
    spacing_mm: tuple[float, ...] | None, unit: str, dice: float
) -> None:
    masks = np.zeros((40, 1, 40, 40), dtype=np.bool_)
    bits = boxes((2, 2, 2)).view(np.uint8)  # 64 voxels: 64, or 32 mm3 of which none is scored
    (values,) = measure_regions(bits, masks, metrics=["lesion_dice@gli"], spacing_mm=spacing_mm)
    assert values == {f"lesion_dice@gli_{unit}": dice}


def test_an_image_is_treated_as_a_volume_of_one_slice() -> None:
    square = boxes((0, 2, 2), side=9)[:1]
    bits, masks = square.view(np.uint8), square[:, None]
    (values,) = measure_regions(bits, masks, metrics=NAMES[:2], spacing_mm=None)
    assert values == {"lesion_dice@gli_px": 1.0, "lesion_hd95@gli_px": 0.0}
    (missed,) = measure_regions(bits, ~masks & False, metrics=NAMES[:2], spacing_mm=None)
    assert missed == {"lesion_dice@gli_px": 0.0, "lesion_hd95@gli_px": 374.0}


def test_policies_for_empty_masks_apply_to_lesion_scores() -> None:
    nothing = Counts(0, 0, 0, 9)
    dice = [float(distance("lesion_dice@gli_mm", 1.0, nothing, empty=rule)) for rule in ("score", "zero")]
    assert dice == [1.0, 0.0]
    assert np.isnan(distance("lesion_dice@gli_mm", 1.0, nothing, empty="nnunet"))
    assert float(distance("lesion_hd95@gli_mm", 0.0, nothing, empty="zero")) == 0.0


LIMITS = {"gli": 50, "ssa": 50, "ped": 50, "men": 50, "men-rt": 50, "met": 2}
DILATIONS = {"gli": 3, "ssa": 3, "ped": 3, "men": 1, "men-rt": 1, "met": 1}


def row_of_voxels(*lengths: int, gap: int = 1) -> np.ndarray:
    """Lesions in a row of single voxels, with a gap between them."""
    mask = np.zeros((1, 1, sum(lengths) + gap * (len(lengths) - 1)), dtype=np.bool_)
    start = 0
    for length in lengths:
        mask[..., start : start + length] = True
        start += length + gap
    return mask


@pytest.mark.parametrize(("challenge", "limit"), LIMITS.items())
def test_a_lesion_is_scored_from_one_voxel_above_the_least_volume_of_its_challenge(
    challenge: str, limit: int
) -> None:
    missed = [
        brats23_lesion(lesion, ~lesion & False, rules=RULES[challenge]).n_missed
        for lesion in (row_of_voxels(limit), row_of_voxels(limit + 1))
    ]
    assert missed == [0, 1]


@pytest.mark.parametrize(("challenge", "dilation"), DILATIONS.items())
def test_two_lesions_are_one_where_the_gap_is_no_wider_than_both_their_zones(
    challenge: str, dilation: int
) -> None:
    counts = [
        brats23_lesion(lesions, ~lesions & False, rules=RULES[challenge]).n_missed
        for lesions in (row_of_voxels(60, 60, gap=2 * dilation), row_of_voxels(60, 60, gap=2 * dilation + 1))
    ]
    assert counts == [1, 2]


@pytest.mark.parametrize(
    ("other", "lesions"),
    [
        ((3, 3, 0), 1),  # the zones reach (1, 1, 0) and (2, 2, 0), over an edge; over faces they would not
        ((3, 3, 3), 2),  # over corners they would reach (1, 1, 1) and (2, 2, 2)
    ],
)
def test_a_zone_grows_over_faces_and_edges_and_not_over_corners(other: tuple[int, int, int], lesions: int) -> None:
    reference = np.zeros((4, 4, 4), dtype=np.bool_)
    reference[0, 0, 0] = reference[other] = True
    assert brats23_lesion(reference, reference & False, rules=SMALL).n_missed == lesions


def scored_on_the_whole_volume(
    reference: Mask, prediction: Mask, rules: Rules, spacing_mm: tuple[float, ...]
) -> LesionScores:
    """Score every lesion with masks of the whole volume, as the official evaluation does."""
    structure = ndimage.generate_binary_structure(3, 2)
    dilated = ndimage.binary_dilation(reference, structure, iterations=rules.dilation)
    zones, n_lesions = ndimage.label(dilated, np.ones((3, 3, 3)))
    components, n_components = ndimage.label(prediction, np.ones((3, 3, 3)))
    hd95 = parse_metrics(["hd95_surfel"])
    dice, distances, n_found, touched = [], [], 0, set()
    for number in range(1, n_lesions + 1):
        lesion = reference & (zones == number)
        touching = set(components[zones == number].tolist()) - {0}
        touched |= touching
        predicted = np.isin(components, list(touching))
        if lesion.sum() * float(np.prod(spacing_mm)) <= rules.volume_mm3:
            continue
        n_found += bool(touching)
        dice.append(2 * (lesion & predicted).sum() / (lesion.sum() + predicted.sum()))
        distances.append(
            measure(lesion, predicted, hd95, spacing_mm=spacing_mm, penalty=PENALTY_MM)["hd95_surfel"]
        )
    n_made_up = n_components - len(touched)
    n_missed = len(dice) - n_found
    if rules.has_false_positives:
        dice += [0.0] * n_made_up
        distances += [PENALTY_MM] * n_made_up
    mean_dice = float(np.mean(dice)) if dice else 1.0
    mean_distance = float(np.mean(distances)) if distances else 0.0
    return LesionScores(mean_dice, mean_distance, n_found, n_missed, n_made_up)


@pytest.mark.parametrize("challenge", ["gli", "men-rt", "met"])
@pytest.mark.parametrize("seed", range(8))
def test_scores_of_crops_are_those_of_the_whole_volume(seed: int, challenge: Challenge) -> None:
    random = np.random.default_rng(seed)
    shape = (18, 15, 12)
    masks = []
    for density in random.choice([0, 0.002, 0.01, 0.03], 2):
        seeds = random.random(shape) < density
        masks.append(ndimage.binary_dilation(seeds, iterations=int(random.integers(1, 3))))
    reference, prediction = masks
    reference[0, 0, 0] = prediction[-1, -1, -1] = bool(seed % 2)  # single voxels in corners
    spacing = (1.0, 0.5, 3.0) if seed % 3 else (1.0, 1.0, 1.0)
    rules = RULES[challenge]
    expected = scored_on_the_whole_volume(reference, prediction, rules, spacing)
    assert brats23_lesion(reference, prediction, rules=rules, spacing_mm=spacing) == expected
