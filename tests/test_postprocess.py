from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from benchbench.engine.inference.postprocess import decide, find_components
from benchbench.spec.inference import Postprocess

REGIONS = ("whole", "core", "enhancing")
VALUES = {"whole": (1, 2, 3), "core": (1, 3), "enhancing": (3,)}
BRATS21 = Postprocess(
    nested=True,
    thresholds={"whole": 0.45, "core": 0.4, "enhancing": 0.45},
    components={"enhancing": 16},
    totals={"enhancing": 73},
)


def brats21(probabilities: np.ndarray) -> np.ndarray:
    """Labels 0, 1 necrosis, 2 oedema, 3 enhancing, by the rule as the document words it."""
    whole, core, enhancing = probabilities
    label = np.full(whole.shape, 3)
    label[enhancing < np.float32(0.45)] = 1
    label[core < np.float32(0.4)] = 2
    label[whole < np.float32(0.45)] = 0
    components, count = ndimage.label(label == 3)
    for number in range(1, count + 1):
        part = components == number
        if part.sum() < 16 and enhancing[part].astype(np.float64).mean() < np.float32(0.9):
            label[part] = 1
    rest = label == 3
    if 0 < rest.sum() < 73 and enhancing[rest].astype(np.float64).mean() < np.float32(0.9):
        label[rest] = 1
    return label


def smooth(seed: int, shape: tuple[int, ...] = (24, 20, 18), *, width: float = 1.5) -> np.ndarray:
    """Blobs of probabilities (3, *shape), some of them sure."""
    noise = np.random.default_rng(seed).standard_normal((3, *shape))
    blobs = np.stack([ndimage.gaussian_filter(channel, width) for channel in noise])
    return (1 / (1 + np.exp(-4 * blobs / blobs.std()))).astype(np.float32)


@given(seed=st.integers(0, 2**32), width=st.sampled_from([0.6, 1.0, 1.5, 2.5]))
@settings(deadline=None, max_examples=25)
def test_a_protocol_can_have_the_rules_of_brats21(seed: int, width: float) -> None:
    probabilities = smooth(seed, width=width)
    label = brats21(probabilities)
    masks = decide(probabilities, BRATS21, regions=REGIONS)
    for mask, values in zip(masks, VALUES.values(), strict=True):
        np.testing.assert_array_equal(mask, np.isin(label, values))


def row(*values: float) -> np.ndarray:
    """Probabilities of one region along a row."""
    return np.array([values], dtype=np.float32)


def test_a_probability_equal_to_the_threshold_is_in_the_mask() -> None:
    probabilities = row(0.39, 0.4, 0.41, 0.5)
    assert decide(probabilities, Postprocess(thresholds={"a": 0.4}), regions="a").tolist() == [[0, 1, 1, 1]]
    assert decide(probabilities, Postprocess(), regions="a").tolist() == [[0, 0, 0, 1]]


def test_nested_regions_end_where_an_outer_one_ends() -> None:
    probabilities = np.concatenate([row(0.9, 0.9, 0.1, 0.9), row(0.9, 0.1, 0.9, 0.9), row(0.9, 0.9, 0.9, 0.1)])
    nested = decide(probabilities, Postprocess(nested=True), regions=REGIONS)
    assert nested.tolist() == [[1, 1, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0]]
    assert decide(probabilities, Postprocess(), regions=REGIONS).tolist() == (probabilities > 0.5).tolist()


def test_only_small_and_doubtful_components_are_removed() -> None:
    # two voxels, three voxels, two sure voxels, one voxel
    probabilities = row(0.6, 0.8, 0, 0.6, 0.6, 0.6, 0, 0.95, 0.9, 0, 0.7)
    rules = Postprocess(components={"a": 3})
    assert decide(probabilities, rules, regions="a").tolist() == [[0, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0]]


def test_components_are_connected_by_faces_only() -> None:
    probabilities = np.array([[[0.6, 0.0], [0.0, 0.6]]], dtype=np.float32)
    assert not decide(probabilities, Postprocess(components={"a": 2}), regions="a").any()


def test_a_region_is_removed_if_too_few_voxels_are_left() -> None:
    probabilities = row(0.6, 0.6, 0.6, 0, 0.7)
    rules = Postprocess(components={"a": 2}, totals={"a": 4})
    assert not decide(probabilities, rules, regions="a").any()
    assert decide(probabilities, Postprocess(totals={"a": 4}), regions="a").sum() == 4
    sure = Postprocess(components={"a": 2}, totals={"a": 4}, sure=0.6)
    assert decide(probabilities, sure, regions="a").sum() == 4


def test_voxels_removed_from_a_region_stay_in_the_outer_and_leave_the_inner_one() -> None:
    probabilities = np.concatenate([row(0.6, 0.6, 0.6, 0.6), row(0.1, 0.6, 0.1, 0.1), row(0.1, 0.6, 0.6, 0.1)])
    masks = decide(probabilities, Postprocess(nested=True, components={"core": 2}), regions=REGIONS)
    assert masks.tolist() == [[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_components_are_counted_and_summed() -> None:
    mask = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]], dtype=bool)
    parts = find_components(mask, np.where(mask, 0.75, 0.5).astype(np.float32))
    assert parts.sizes.tolist() == [0, 2, 1, 1]
    assert parts.sums.tolist() == [0, 1.5, 0.75, 0.75]


@pytest.mark.parametrize("shape", [(7, 9), (5, 6, 7)])
def test_nothing_predicted_is_an_empty_mask(shape: tuple[int, ...]) -> None:
    rules = BRATS21.model_copy(update={"components": {"whole": 5, "enhancing": 3}})
    assert not decide(np.zeros((3, *shape), np.float32), rules, regions=REGIONS).any()


def test_a_region_that_the_task_lacks_is_named_with_the_nearest() -> None:
    rules = Postprocess(thresholds={"hole": 0.4}, totals={"core": 1, "x": 3})
    assert rules.check_regions(VALUES) == [
        "thresholds.hole: no such region; did you mean 'whole'?",
        "totals.x: no such region; known: whole, core, enhancing",
    ]
    assert BRATS21.check_regions(VALUES) == []


def test_regions_side_by_side_cannot_be_nested() -> None:
    (problem,) = Postprocess(nested=True).check_regions({"oedema": (2,), "core": (1, 3), "enhancing": (3,)})
    assert problem == ("nested: found 'core', which is not inside 'oedema'; list regions from outside to inside")
    assert Postprocess().check_regions({"oedema": (2,), "core": (1, 3)}) == []


def test_a_search_of_many_nested_regions_is_refused() -> None:
    regions = {str(number): tuple(range(1, 8 - number)) for number in range(7)}
    (problem,) = Postprocess(nested=True, search=True).check_regions(regions)
    assert problem == "search: found 7 nested regions, expected 6 at most"


def test_a_probability_above_one_is_refused() -> None:
    with pytest.raises(ValidationError):
        Postprocess(thresholds={"a": 1.2})
    with pytest.raises(ValidationError):
        Postprocess(components={"a": -1})


def test_a_probability_that_equals_its_threshold_in_single_precision_is_in_the_mask() -> None:
    # 0.45 in single precision is less than 0.45 in double precision
    rules = Postprocess(thresholds={"a": 0.45})
    assert decide(row(0.45, 0.4499999), rules, regions="a").tolist() == [[1, 0]]


def test_a_component_with_the_sure_probability_in_single_precision_stays() -> None:
    # 0.9 in single precision is less than 0.9 in double precision
    rules = Postprocess(components={"a": 3}, sure=0.9)
    assert decide(row(0.9, 0.9, 0, 0.9, 0.89), rules, regions="a").tolist() == [[1, 1, 0, 0, 0]]


def test_a_region_that_only_overlaps_the_one_before_it_cannot_be_nested() -> None:
    (problem,) = Postprocess(nested=True).check_regions({"oedema": (1, 2), "core": (2, 3)})
    assert "'core', which is not inside 'oedema'" in problem
    (problem,) = Postprocess(nested=True).check_regions({"core": (2,), "oedema": (1, 2)})
    assert "'oedema', which is not inside 'core'" in problem
