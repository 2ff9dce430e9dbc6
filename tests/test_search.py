from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from benchbench.engine.inference.candidates import THRESHOLDS, find_candidates, read_candidates, write_candidates
from benchbench.engine.inference.postprocess import decide
from benchbench.engine.inference.search import SIZES, best_indices, search_rules
from benchbench.metrics.scores import count, overlap
from benchbench.spec.inference import Postprocess, SearchSpec

Cases = list[tuple[np.ndarray, np.ndarray]]


def made_up(
    seed: int, *, regions: int, cases: int = 3, nested: bool, shape: tuple[int, ...] = (14, 12, 10)
) -> Cases:
    """Blobs as reference, and noisy probabilities of them; the reference of the last case is empty."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(cases):
        noise = generator.standard_normal((regions, *shape))
        blobs = np.stack([ndimage.gaussian_filter(channel, 1.5) for channel in noise])
        blobs /= blobs.std()
        reference = blobs > (0.8 if number < cases - 1 else np.inf)
        if nested:
            reference = np.logical_and.accumulate(reference, axis=0)
        noise = ndimage.gaussian_filter(generator.standard_normal((regions, *shape)), (0, 0.7, 0.7, 0.7))
        probabilities = 1 / (1 + np.exp(-(blobs - 0.6) - 3 * noise))
        made.append((probabilities.astype(np.float32), reference))
    return made


def mean_dice(cases: Cases, rules: Postprocess, regions: Sequence[str]) -> float:
    """As a run would be scored by these rules."""
    scores = []
    for probabilities, reference in cases:
        masks = decide(probabilities, rules, regions=regions)
        scores += [float(overlap("dice", count(*pair))) for pair in zip(reference, masks, strict=True)]
    return float(np.mean(scores))


def search(cases: Cases, rules: Postprocess, regions: Sequence[str]) -> Postprocess:
    reduced = []
    for probabilities, reference in cases:
        scored = np.ones(reference.shape[1:], bool)
        reduced.append(find_candidates(probabilities, reference, scored, nested=rules.nested))
    return search_rules(rules, regions, lambda: reduced)


def best_by_trying(
    cases: Cases, candidates: list[Postprocess], regions: Sequence[str], distances: list[float]
) -> Postprocess:
    scores = [mean_dice(cases, rules, regions) for rules in candidates]
    equals = [number for number, score in enumerate(scores) if score > max(scores) - 1e-9]
    return candidates[min(equals, key=lambda number: distances[number])]


def same_distance(actual: dict[str, float], expected: dict[str, float], preferred: dict[str, float]) -> bool:
    return sum(abs(actual[region] - preferred.get(region, 0.5)) for region in actual) == pytest.approx(
        sum(abs(expected[region] - preferred.get(region, 0.5)) for region in actual)
    )


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_thresholds_are_the_best_of_all_combinations(nested: bool, seed: int) -> None:
    regions, rules = "ab", Postprocess(nested=nested, thresholds={"a": 0.45}, search=True)
    cases = made_up(seed, regions=2, nested=nested)
    combinations = [dict(zip(regions, pair, strict=True)) for pair in itertools.product(THRESHOLDS, repeat=2)]
    candidates = [Postprocess(nested=nested, thresholds=thresholds) for thresholds in combinations]
    distances = [abs(choice["a"] - 0.45) + abs(choice["b"] - 0.5) for choice in combinations]
    expected = best_by_trying(cases, candidates, regions, distances)
    best_rules = search(cases, rules, regions)
    assert mean_dice(cases, best_rules, regions) == pytest.approx(mean_dice(cases, expected, regions), abs=1e-12)
    assert same_distance(best_rules.thresholds, expected.thresholds, rules.thresholds)
    assert mean_dice(cases, best_rules, regions) > mean_dice(cases, rules, regions)


def test_thresholds_of_three_nested_regions_are_as_good_as_any() -> None:
    regions, cases = "abc", made_up(7, regions=3, nested=True, cases=2, shape=(8, 7, 6))
    best_rules = search(cases, Postprocess(nested=True, search=True), regions)
    best = max(
        mean_dice(cases, Postprocess(nested=True, thresholds=dict(zip(regions, thresholds, strict=True))), regions)
        for thresholds in itertools.product(THRESHOLDS, repeat=3)
    )
    assert mean_dice(cases, best_rules, regions) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("total", [0, 60])
@pytest.mark.parametrize("seed", range(3))
def test_sizes_are_the_best_of_all(nested: bool, total: int, seed: int) -> None:
    regions, cases = "ab", made_up(seed, regions=2, nested=nested)
    rules = Postprocess(
        nested=nested, components={"b": 16}, totals={"b": total} if total else {}, sure=0.85, search=True
    )
    best_rules = search(cases, rules, regions)
    candidates = [best_rules.model_copy(update={"components": {"b": size}}) for size in SIZES]
    expected = best_by_trying(cases, candidates, regions, [abs(size - 16) for size in SIZES])
    assert mean_dice(cases, best_rules, regions) == pytest.approx(mean_dice(cases, expected, regions), abs=1e-12)
    assert abs(best_rules.components["b"] - 16) == abs(expected.components["b"] - 16)
    assert best_rules.totals == rules.totals


def test_the_size_of_an_outer_region_is_scored_with_the_regions_inside_it() -> None:
    regions, cases = "ab", made_up(5, regions=2, nested=True)
    rules = Postprocess(nested=True, components={"a": 1, "b": 1}, sure=1.0, search=True)
    best_rules = search(cases, rules, regions)
    outer = [best_rules.model_copy(update={"components": {"a": size}}) for size in SIZES]
    expected = best_by_trying(cases, outer, regions, [abs(size - 1) for size in SIZES])
    assert best_rules.components["a"] == expected.components["a"]
    inner = [best_rules.model_copy(update={"components": {**expected.components, "b": size}}) for size in SIZES]
    assert mean_dice(cases, best_rules, regions) == pytest.approx(
        max(mean_dice(cases, rules, regions) for rules in inner)
    )


def test_a_sure_prediction_keeps_the_given_thresholds_and_sizes() -> None:
    reference = np.zeros((1, 6, 6, 6), dtype=bool)
    reference[0, 1:4, 1:4, 1:4] = True
    rules = Postprocess(thresholds={"a": 0.45}, components={"a": 16}, search=True)
    best_rules = search([(reference.astype(np.float32), reference)], rules, "a")
    assert best_rules == Postprocess(thresholds={"a": 0.45}, components={"a": 16})


def test_a_component_in_a_case_without_reference_is_removed() -> None:
    probabilities, reference = np.zeros((1, 9, 9), dtype=np.float32), np.zeros((1, 9, 9), dtype=bool)
    probabilities[0, 0, :7] = 0.8
    best_rules = search([(probabilities, reference)], Postprocess(components={"a": 2}, search=True), "a")
    assert best_rules.components == {"a": 8}
    assert mean_dice([(probabilities, reference)], best_rules, "a") == 1


def test_nothing_is_searched_for_regions_without_a_size() -> None:
    best_rules = search(made_up(0, regions=2, nested=False), Postprocess(totals={"a": 5}, search=True), "ab")
    assert best_rules.components == {}
    assert best_rules.totals == {"a": 5}
    assert best_rules.search is None


def test_among_equal_scores_the_nearest_to_the_preferred_wins() -> None:
    scores = np.array([[0.5, 0.9, 0.9], [0.9, 0.9 - 1e-15, 0.3]])
    assert best_indices(scores, [[0.3, 0.4], [0.3, 0.4, 0.5]], preferred=[0.4, 0.4]) == [1, 1]
    assert best_indices(scores, [[0.3, 0.4], [0.3, 0.4, 0.5]], preferred=[0.3, 0.6]) == [0, 2]


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("components", [{}, {"b": 4}])
def test_totals_are_chosen_with_the_component_size_from_all_pairs(
    nested: bool, components: dict[str, int]
) -> None:
    regions, cases = "ab", made_up(1, regions=2, nested=nested, shape=(6, 6, 5), cases=2)
    spec = SearchSpec(totals=True)
    rules = Postprocess(nested=nested, components=components, totals={"b": 30}, sure=0.9, search=spec)
    best_rules = search(cases, rules, regions)
    sizes = (
        [size for size in SIZES if size % 25 == 0 or size == best_rules.components.get("b")] if components else [0]
    )
    totals = [total for total in SIZES if total % 25 == 0 or total == best_rules.totals["b"]]
    best = 0.0
    for size, total in itertools.product(sizes, totals):
        candidate = best_rules.model_copy(
            update={"totals": {"b": total}, "components": {"b": size} if components else {}}
        )
        best = max(best, mean_dice(cases, candidate, regions))
    assert mean_dice(cases, best_rules, regions) == pytest.approx(best, abs=1e-12)


def test_a_total_is_the_smallest_step_that_empties_a_false_region() -> None:
    # two components of 7 and 5 voxels in a case without reference: 12 are left, so that 13 is the nearest to 2
    probabilities, reference = np.zeros((1, 9, 9), dtype=np.float32), np.zeros((1, 9, 9), dtype=bool)
    probabilities[0, 0, :7] = probabilities[0, 4, :5] = 0.8
    spec = SearchSpec(totals=True)
    best_rules = search([(probabilities, reference)], Postprocess(totals={"a": 2}, search=spec), "a")
    assert best_rules.totals == {"a": 13}
    assert best_rules.components == {}
    given = search([(probabilities, reference)], Postprocess(totals={"a": 2}, search=SearchSpec()), "a")
    assert given.totals == {"a": 2}


def test_candidates_are_the_same_after_a_file(tmp_path: Path) -> None:
    cases = made_up(2, regions=3, nested=True, shape=(5, 6, 7))
    scored = np.ones((5, 6, 7), bool)
    scored[0] = False
    written = [find_candidates(*case, scored, nested=True) for case in cases]
    path = tmp_path / "candidates.bin"
    with path.open("wb") as file:
        for candidates in written:
            write_candidates(file, candidates)
    with path.open("rb") as file:
        for _ in range(2):
            for candidates, expected in zip(read_candidates(file), written, strict=True):
                assert candidates.shape == expected.shape
                for part, expected_part in zip(candidates[1:], expected[1:], strict=True):
                    np.testing.assert_array_equal(part, expected_part)
                    assert part.dtype.kind == expected_part.dtype.kind
    voxels = sum(len(candidates.places) for candidates in written)
    assert path.stat().st_size < voxels * (4 * 3 + 4 + 1) + 6 * 150 * len(cases)


def test_thresholds_and_sizes_are_those_of_the_document() -> None:
    assert THRESHOLDS == (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
    assert (SIZES[0], SIZES[-1], len(SIZES)) == (0, 100, 101)


def test_a_voxel_that_just_reaches_a_threshold_counts_as_predicted_at_it() -> None:
    # 0.45 in single precision is less than 0.45 in double precision
    probabilities = np.array([[0.45] * 4 + [0.44] * 4], dtype=np.float32)
    reference = np.array([[True] * 4 + [False] * 4])
    best = search([(probabilities, reference)], Postprocess(search=True), "a")
    assert best.thresholds == {"a": 0.45}


def test_voxels_that_reach_no_threshold_are_missed_at_all_of_them() -> None:
    reference = np.array([[True] * 4 + [True] * 2 + [False] * 5 + [True] * 14])
    probabilities = np.array([[0.6] * 4 + [0.42] * 7 + [0.1] * 14], dtype=np.float32)
    best = search([(probabilities, reference)], Postprocess(search=True), "a")
    # at 0.4 a Dice of 12 / (11 + 20), at 0.5 of 8 / (4 + 20); without the 14 missed voxels 0.5 would be better
    assert best.thresholds == {"a": 0.4}
