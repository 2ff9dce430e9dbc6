from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchbench.metrics.scores import Counts, distance, measure_regions, score

Mask = np.ndarray[Any, np.dtype[np.bool_]]
NAN = float("nan")
ALL = ("hd", "hd95", "hd95_pooled", "hd95_surfel", "assd", "masd", "nsd@1", "nsd_voxel@1")
SHAPE = st.sampled_from([(6, 7), (4, 5, 6), (5, 3, 4)])
PAIRS = SHAPE.flatmap(lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape)))
SOLID_PAIRS = PAIRS.filter(lambda pair: pair[0].any() and pair[1].any())


def draw(*rows: str) -> Mask:
    return np.array([[letter == "#" for letter in row] for row in rows])


def near(distances: dict[str, float], **expected: float) -> bool:
    return {name: distances[name] for name in expected} == pytest.approx(expected)


def test_every_distance_of_two_points_is_the_distance_between_them() -> None:
    reference, prediction = np.zeros((2, 5, 6), dtype=np.bool_)
    reference[0, 0] = prediction[3, 4] = True
    distances = score(reference, prediction, metrics=ALL, spacing_mm=(1, 1))
    assert near(distances, hd=5, hd95=5, hd95_pooled=5, hd95_surfel=5, assd=5, masd=5)
    assert near(distances, **{"nsd@1": 0, "nsd_voxel@1": 0})
    assert score(reference, prediction, metrics=["hd"], spacing_mm=(2, 0.5)) == {"hd": math.hypot(6, 2)}


def test_directions_are_pooled_or_separate_by_the_definition() -> None:
    reference = draw("#.........")
    prediction = draw("##########")
    there, back = [0], list(range(10))
    distances = score(reference, prediction, metrics=ALL)
    assert near(
        distances,
        hd=9,
        hd95=8.55,  # between 8 and 9, 0.55 of the way: place 0.95 * 9
        hd95_pooled=8.5,  # place 0.95 * 10 among eleven
        assd=sum(there + back) / 11,
        masd=(0 + 4.5) / 2,
    )
    assert distances["nsd_voxel@1"] == pytest.approx((1 + 2) / 11)


def test_contours_are_weighted_by_their_length() -> None:
    reference = np.zeros((1, 4), dtype=np.bool_)
    prediction = reference.copy()
    reference[0, 0] = True  # four corners, each cut off: 4 * sqrt(1/2)
    prediction[0, :2] = True  # two more elements, each straight of length 1
    distances = score(reference, prediction, metrics=["nsd@0", "nsd@0.5", "nsd@1", "hd95_surfel"])
    cut = math.sqrt(1 / 2)
    # on the border of both: the corners at the left (2 of either) and those between the two pixels (2 cut, 2 straight)
    assert distances["nsd@0"] == pytest.approx((4 * cut + 2 * cut + 2) / (8 * cut + 2))
    assert distances["nsd@0.5"] == distances["nsd@0"]
    assert distances["nsd@1"] == 1
    assert distances["hd95_surfel"] == 1


def test_a_distance_equal_to_the_tolerance_is_within_it() -> None:
    reference, prediction = np.zeros((2, 1, 12), dtype=np.bool_)
    reference[0, 0] = prediction[0, 3] = True
    metrics = ["nsd_voxel@0.3", "nsd_voxel@0.29", "nsd@0.3"]
    distances = score(reference, prediction, metrics=metrics, spacing_mm=(0.1, 0.1))
    assert distances == {"nsd_voxel@0.3": 1, "nsd_voxel@0.29": 0, "nsd@0.3": 1}


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 6)])
def test_two_empty_masks_have_distance_0_and_one_the_diagonal(shape: tuple[int, ...]) -> None:
    empty, full = np.zeros(shape, dtype=np.bool_), np.ones(shape, dtype=np.bool_)
    assert score(empty, empty, metrics=ALL) == dict.fromkeys(ALL[:6], 0.0) | dict.fromkeys(ALL[6:], 1.0)
    diagonal = math.sqrt(sum(length**2 for length in shape))
    for pair in ((empty, full), (full, empty)):
        distances = score(*pair, metrics=ALL)
        assert distances == pytest.approx(dict.fromkeys(ALL[:6], diagonal) | dict.fromkeys(ALL[6:], 0.0))


def test_the_penalty_on_the_grid_of_brats_equals_that_of_brats() -> None:
    reference = np.zeros((240, 240, 155), dtype=np.bool_)
    prediction = reference.copy()
    prediction[0, 0, 0] = True
    distances = score(reference, prediction, metrics=["hd95"], spacing_mm=(1, 1, 1))
    assert distances["hd95"] == pytest.approx(373.1287, abs=1e-4)


@pytest.mark.parametrize("penalty", [374.0, math.inf, NAN])
def test_the_penalty_can_be_set(penalty: float) -> None:
    masks = np.zeros((2, 3, 4), dtype=np.bool_)
    masks[0, 0, 0] = True
    distances = score(masks[0], masks[1], metrics=["hd95", "assd", "nsd@2"], penalty=penalty)
    assert distances == pytest.approx({"hd95": penalty, "assd": penalty, "nsd@2": 0}, nan_ok=True)


def test_a_false_positive_at_the_border_has_nsd_0() -> None:
    # a distance transform of an image without zeros would call these near
    masks = np.zeros((2, 16, 16), dtype=np.bool_)
    masks[1, 15, 15] = True
    assert score(masks[0], masks[1], metrics=["nsd@2", "nsd_voxel@2"]) == {"nsd@2": 0, "nsd_voxel@2": 0}


BOTH, NO_REFERENCE, NO_PREDICTION = Counts(0, 0, 0, 9), Counts(0, 2, 0, 7), Counts(0, 0, 3, 6)
FULL = Counts(1, 1, 1, 6)


@pytest.mark.parametrize(
    ("policy", "far", "share"),  # both empty, no reference, no prediction, neither
    [
        ("score", (0, 5, 5, 2), (1, 0, 0, 0.5)),
        ("brats", (0, 5, 5, 2), (1, 0, 0, 0.5)),
        ("zero", (0, 5, 5, 2), (0, 0, 0, 0.5)),
        ("nnunet", (NAN, 5, 5, 2), (NAN, 0, 0, 0.5)),
        ("monai", (NAN, NAN, 5, 2), (NAN, NAN, 0, 0.5)),
        ("stratify", (NAN, NAN, 5, 2), (NAN, NAN, 0, 0.5)),
    ],
)
def test_policies_differ_only_if_the_reference_is_empty(
    policy: Any, far: tuple[float, ...], share: tuple[float, ...]
) -> None:
    counts = Counts(*np.array([BOTH, NO_REFERENCE, NO_PREDICTION, FULL]).T)
    assert distance("hd95_mm", [0, 5, 5, 2], counts, empty=policy) == pytest.approx(far, nan_ok=True)
    assert distance("nsd@2_mm", [1, 0, 0, 0.5], counts, empty=policy) == pytest.approx(share, nan_ok=True)


@settings(deadline=None)
@given(PAIRS)
def test_all_distances_are_symmetric(pair: tuple[Mask, Mask]) -> None:
    one, other = pair
    assert score(one, other, metrics=ALL) == pytest.approx(score(other, one, metrics=ALL))


@settings(deadline=None)
@given(
    SOLID_PAIRS, st.sampled_from([0.25, 2.0, 8.0])
)  # powers of 2: rounding decides where exactly 95 % is reached
def test_distances_are_proportional_to_the_spacing(pair: tuple[Mask, Mask], factor: float) -> None:
    spacing = (1.0, 0.5, 3.0)[: pair[0].ndim]
    names = [name for name in ALL if "@" not in name]
    small = score(*pair, metrics=[*names, "nsd@1", "nsd_voxel@1"], spacing_mm=spacing)
    wide = [size * factor for size in spacing]
    large = score(*pair, metrics=[*names, f"nsd@{factor}", f"nsd_voxel@{factor}"], spacing_mm=wide)
    assert [large[name] for name in names] == pytest.approx([small[name] * factor for name in names])
    assert large[f"nsd@{factor}"] == pytest.approx(small["nsd@1"])
    assert large[f"nsd_voxel@{factor}"] == pytest.approx(small["nsd_voxel@1"])


@settings(deadline=None)
@given(SOLID_PAIRS, st.integers(0, 3), st.integers(0, 3))
def test_distances_do_not_depend_on_the_position_of_the_masks(
    pair: tuple[Mask, Mask], before: int, after: int
) -> None:
    spacing = (0.3, 0.7, 1.1)[: pair[0].ndim]
    moved = [np.pad(mask, (before, after)) for mask in pair]
    there = score(moved[0], moved[1], metrics=ALL, spacing_mm=spacing)
    assert there == pytest.approx(score(*pair, metrics=ALL, spacing_mm=spacing))


@settings(deadline=None)
@given(SOLID_PAIRS)
def test_distances_are_ordered(pair: tuple[Mask, Mask]) -> None:
    distances = score(*pair, metrics=[*ALL, "nsd@0", "nsd@3"])
    assert 0 <= distances["hd95"] <= distances["hd"]
    assert distances["hd95_pooled"] <= distances["hd"] + 1e-12
    assert 0 <= distances["nsd@0"] <= distances["nsd@1"] <= distances["nsd@3"] <= 1 + 1e-12
    assert (distances["hd"] == 0) == np.array_equal(*pair) or distances[
        "hd"
    ] == 0  # filling a core keeps the surface


@settings(deadline=None)
@given(SOLID_PAIRS)
def test_distances_equal_those_over_all_pairs_of_surface_voxels(pair: tuple[Mask, Mask]) -> None:
    spacing = np.array((1.0, 2.0, 0.5)[: pair[0].ndim])
    edges = []
    for mask in pair:
        grown = np.pad(mask, 1)
        shifted = [np.roll(grown, step, axis) for axis in range(mask.ndim) for step in (-1, 1)]
        inner = np.all(shifted, axis=0)[(slice(1, -1),) * mask.ndim]
        edges.append(np.argwhere(mask & ~inner) * spacing)
    table = np.linalg.norm(edges[0][:, None] - edges[1][None], axis=-1)
    there, back = table.min(1), table.min(0)
    distances = score(*pair, metrics=["hd", "hd95", "assd", "masd"], spacing_mm=spacing.tolist())
    assert near(
        distances,
        hd=max(there.max(), back.max()),
        hd95=max(np.percentile(there, 95), np.percentile(back, 95)),
        assd=np.concatenate([there, back]).mean(),
        masd=(there.mean() + back.mean()) / 2,
    )


@pytest.mark.parametrize(
    ("shape", "spacing", "message"),
    [
        ((4,), None, "1 axes, expected 2 or 3"),
        ((2, 2, 2, 2), None, "4 axes, expected 2 or 3"),
        ((3, 3), (1, 1, 1), r"spacing \(1.0, 1.0, 1.0\), expected 2 positive numbers"),
        ((3, 3), (1, 0), "expected 2 positive numbers"),
        ((3, 3), (1, NAN), "expected 2 positive numbers"),
    ],
)
def test_wrong_axes_or_spacing_are_refused(
    shape: tuple[int, ...], spacing: tuple[float, ...], message: str
) -> None:
    mask = np.zeros(shape, dtype=np.bool_)
    with pytest.raises(ValueError, match=message):
        score(mask, mask, metrics=["hd95"], spacing_mm=spacing)


def test_an_unknown_metric_is_refused() -> None:
    mask = np.zeros((3, 3), dtype=np.bool_)
    with pytest.raises(ValueError, match="no such metric 'hd59'"):
        score(mask, mask, metrics=["dice", "hd59"])


def test_a_case_is_measured_region_by_region_in_mm_or_pixels() -> None:
    bits = np.zeros((3, 4, 4), dtype=np.uint8)
    masks = np.zeros((3, 2, 4, 4), dtype=np.bool_)
    bits[0, 0, 0] |= 1
    bits[2, 3, 3] |= 2
    masks[1, 0, 0, 0] = masks[2, 1, 3, 3] = True
    first, second = measure_regions(bits, masks, metrics=["dice", "hd", "nsd@1"], spacing_mm=(5, 1, 1))
    assert first == pytest.approx({"hd_mm": 5, "nsd@1_mm": 4 / 8})
    assert second == {"hd_mm": 0, "nsd@1_mm": 1}
    distances = measure_regions(bits, masks, metrics=["hd"], spacing_mm=None)
    assert distances == [{"hd_px": 1.0}, {"hd_px": 0}]
    assert measure_regions(bits, masks, metrics=["dice", "iou"], spacing_mm=None) == [{}, {}]


def test_a_percentile_of_area_counts_the_area_at_each_distance() -> None:
    reference, prediction = draw("#.#", "#.#"), draw("###", "###")
    # eight corners cut off, sqrt(25.25) each, and four sides of 1, of which the inner two are 1 away: 4.5 % of 44.2
    assert score(reference, prediction, metrics=["hd95_surfel"], spacing_mm=(1, 10)) == {"hd95_surfel": 0}


def test_a_voxel_of_two_regions_is_measured_in_both() -> None:
    bits = np.array([[[1, 3, 2, 0]]], dtype=np.uint8)  # the first region is two voxels long, and so is the second
    masks = np.zeros((1, 2, 1, 4), dtype=np.bool_)
    masks[0, 0, 0, :2] = masks[0, 1, 0, 1:3] = True
    assert measure_regions(bits, masks, metrics=["hd"], spacing_mm=None) == [{"hd_px": 0}, {"hd_px": 0}]


@pytest.mark.parametrize("spacing", [(7.0, 2.0, 1.0), (2.0, 1.0)])
def test_a_case_of_one_slice_is_measured_in_its_plane(spacing: tuple[float, ...]) -> None:
    bits = np.ones((1, 6, 6), dtype=np.uint8)
    masks = np.ones((1, 1, 6, 6), dtype=np.bool_)
    masks[0, 0, 2:4, 2:4] = False  # in a volume of one slice every voxel would be surface
    (distances,) = measure_regions(bits, masks, metrics=["hd"], spacing_mm=spacing)
    assert distances == {"hd_mm": 2.0}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # their own, of themselves
def test_distances_agree_with_monai_and_surface_distance() -> None:
    monai = pytest.importorskip("monai.metrics")
    surface_distance = pytest.importorskip("surface_distance")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for _ in range(10):
        shape = tuple(rng.integers(4, 16, rng.integers(2, 4)))
        spacing = np.round(rng.uniform(0.3, 4, len(shape)), 2).tolist()
        reference, prediction = rng.random((2, *shape)) < rng.uniform(0.05, 0.6)
        if not (reference.any() and prediction.any()):
            continue
        distances = score(reference, prediction, metrics=[*ALL, "nsd@2.5"], spacing_mm=spacing)
        theirs = surface_distance.compute_surface_distances(reference, prediction, spacing)
        assert distances["hd95_surfel"] == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95))
        for tau in (1, 2.5):
            share = surface_distance.compute_surface_dice_at_tolerance(theirs, tau)
            assert distances[f"nsd@{tau}"] == pytest.approx(share)
        pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
        options: dict[str, Any] = {"include_background": True, "spacing": spacing}
        hausdorff = monai.compute_hausdorff_distance
        assert distances["hd"] == pytest.approx(float(hausdorff(*pair, **options)), rel=1e-5)
        assert distances["hd95"] == pytest.approx(float(hausdorff(*pair, percentile=95, **options)), rel=1e-5)
        mean = float(monai.compute_average_surface_distance(*pair, symmetric=True, **options))
        assert distances["assd"] == pytest.approx(mean, rel=1e-5)
        share = float(monai.compute_surface_dice(*pair, [1.0], **options))
        assert distances["nsd_voxel@1"] == pytest.approx(share, rel=1e-5)
