from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchbench.engine.inference.window import (
    Importance,
    count_windows,
    predict_windows,
    sum_over_flips,
    window_spans,
)
from benchbench.engine.inference.window_buffer import WindowBuffer
from benchbench.errors import IncompatibleError


def doubled(images: Tensor) -> Tensor:
    """A pointwise network of one region fewer than channels."""
    return images[:, 1:] * 2 - images[:, :1]


def volume(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def exact(values: Tensor) -> Tensor:
    return doubled(values[None])[0]


sizes = st.integers(1, 90)
overlaps = st.floats(0, 0.95)
importances = st.sampled_from(["gaussian", "constant"])


@given(size=sizes, width=sizes, overlap=overlaps, importance=importances)
@settings(deadline=None)
def test_weights_add_up_to_one_everywhere(size: int, width: int, overlap: float, importance: Importance) -> None:
    size = max(size, width)
    totals = torch.zeros(size, dtype=torch.float64)
    for start, weights in window_spans(size, width, overlap=overlap, importance=importance):
        assert len(weights) == width
        assert bool((weights > 0).all())
        totals[start : start + width] += weights
    torch.testing.assert_close(totals, torch.ones(size, dtype=torch.float64), atol=1e-6, rtol=0)


@given(size=sizes, width=sizes, overlap=overlaps)
@example(size=32, width=11, overlap=2**-24)  # more than 6 digits of a voxel, so that neighbours share one
@settings(deadline=None)
def test_windows_cover_the_axis_with_enough_overlap_and_are_few(size: int, width: int, overlap: float) -> None:
    size = max(size, width)
    starts = [span.start for span in window_spans(size, width, overlap=overlap)]
    steps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    stride = max(1, int(width - width * overlap + 5e-7))
    assert starts[0] == 0
    assert starts[-1] == size - width
    assert all(0 < step <= stride for step in steps)
    assert max(steps, default=0) - min(steps, default=0) <= 1
    assert (len(starts) - 2) * stride < size - width or len(starts) == 1


@pytest.mark.parametrize(
    ("size", "overlap", "starts"),
    [
        (128, 0.5, [0]),
        (129, 0.5, [0, 1]),
        (155, 0.5, [0, 27]),
        (192, 0.5, [0, 64]),
        (193, 0.5, [0, 32, 65]),
        (240, 0.5, [0, 56, 112]),
        (256, 0.0, [0, 128]),
        (160, 0.75, [0, 32]),
    ],
)
def test_windows_of_128_are_spread_evenly(size: int, overlap: float, starts: list[int]) -> None:
    assert [span.start for span in window_spans(size, 128, overlap=overlap)] == starts


def test_two_windows_share_their_overlap_by_their_gaussians() -> None:
    (_, first), (_, second) = window_spans(6, 4, overlap=0.5)
    assert first[:2].tolist() == [1, 1]
    assert second[2:].tolist() == [1, 1]
    # places 2 and 3 are 0.5 and 1.5 from the first centre, 1.5 and 0.5 from the second; sigma is 0.5
    near, far = 0.6065307, 0.0111090
    assert first[2:].tolist() == pytest.approx([near / (near + far), far / (near + far)], abs=1e-6)
    torch.testing.assert_close(first[2:] + second[:2], torch.ones(2))


def test_constant_importance_is_a_plain_mean() -> None:
    (_, first), (_, second) = window_spans(6, 4, overlap=0.5, importance="constant")
    assert first.tolist() == [1, 1, 0.5, 0.5]
    assert second.tolist() == [0.5, 0.5, 1, 1]


@pytest.mark.parametrize("importance", ["gaussian", "constant"])
@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("batch", [1, 5])
def test_a_pointwise_network_gives_the_exact_result(importance: Importance, flips: bool, batch: int) -> None:
    values = volume(4, 30, 41, 19)
    options = {"patch": (16, 16, 16), "importance": importance, "batch": batch, "flips": flips}
    torch.testing.assert_close(predict_windows(doubled, values, **options), exact(values), atol=1e-5, rtol=0)


@given(
    space=st.tuples(*[st.integers(1, 20)] * 3),
    patch=st.tuples(*[st.integers(1, 12)] * 3),
    overlap=st.floats(0, 0.8),
)
@settings(deadline=None, max_examples=30)
def test_any_size_patch_and_overlap_give_the_exact_result(
    space: tuple[int, ...], patch: tuple[int, ...], overlap: float
) -> None:
    values = volume(2, *space)
    result = predict_windows(doubled, values, patch=patch, overlap=overlap, batch=3)
    torch.testing.assert_close(result, exact(values), atol=1e-5, rtol=0)


def test_slices_have_windows_too() -> None:
    values = volume(3, 50, 33)
    result = predict_windows(doubled, values, patch=(20, 20), flips=True)
    torch.testing.assert_close(result, exact(values), atol=1e-5, rtol=0)


def test_a_small_volume_is_centred_between_zeros() -> None:
    seen = []

    def look(images: Tensor) -> Tensor:
        seen.append(images.clone())
        return images

    values = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    result = predict_windows(look, values, patch=(4, 5))
    assert seen[0][0, 0].tolist() == [[0, 1, 2, 0, 0], [0, 3, 4, 0, 0], [0, 5, 6, 0, 0], [0, 0, 0, 0, 0]]
    assert torch.equal(result, values)


def test_an_axis_may_be_smaller_than_the_patch_and_another_larger() -> None:
    values = volume(2, 40, 7, 16)
    result = predict_windows(doubled, values, patch=(16, 16, 16))
    assert result.shape == (1, 40, 7, 16)
    torch.testing.assert_close(result, exact(values), atol=1e-5, rtol=0)


shapes = st.lists(st.tuples(*[st.integers(1, 11)] * 3), min_size=1, max_size=4)


@pytest.mark.slow
@given(shapes=shapes, flips=st.booleans())
@settings(deadline=None, max_examples=25)
def test_a_buffer_used_for_cases_of_any_sizes_changes_no_bit(
    shapes: list[tuple[int, int, int]], *, flips: bool
) -> None:
    torch.manual_seed(0)
    network = nn.Conv3d(2, 3, 3, padding=1)
    buffer = WindowBuffer()
    for shape in shapes:
        values = volume(2, *shape)
        alone = predict_windows(network, values, patch=(4, 5, 6), flips=flips)
        assert torch.equal(predict_windows(network, values, patch=(4, 5, 6), flips=flips, buffer=buffer), alone)


def test_a_smaller_case_takes_the_memory_of_a_larger_one() -> None:
    buffer = WindowBuffer()
    first = predict_windows(doubled, volume(2, 20, 20, 20), patch=(8, 8, 8), buffer=buffer)
    second = predict_windows(doubled, volume(2, 9, 9, 9), patch=(8, 8, 8), buffer=buffer)
    assert second.data_ptr() == first.data_ptr()
    torch.testing.assert_close(second, exact(volume(2, 9, 9, 9)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(2, 3, 5, 6), (1, 2, 4, 5, 3)])
def test_a_sum_over_flips_has_the_bits_of_one_flip_after_another(shape: tuple[int, ...]) -> None:
    images = volume(*shape)
    network = nn.Conv3d(2, 3, 3, padding=1) if len(shape) == 5 else nn.Conv2d(3, 2, 3, padding=1)
    axes = range(2, len(shape))
    flips = [flip for count in (1, 2, 3) for flip in itertools.combinations(axes, count)]
    with torch.inference_mode():
        expected = network(images.flip(flips[0])).flip(flips[0])
        for flip in flips[1:]:
            expected += network(images.flip(flip)).flip(flip)
        expected += network(images)
        assert torch.equal(sum_over_flips(network, images), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_goes_in_as_float32_and_sums_are_float32(dtype: torch.dtype) -> None:
    values = volume(2, 20, 20, 20).to(dtype)

    def predict(images: Tensor) -> Tensor:
        assert images.dtype == torch.float32
        return doubled(images).to(dtype)

    result = predict_windows(predict, values, patch=(8, 8, 8), flips=True)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, doubled(values.float()[None])[0].to(dtype).float(), atol=1e-5, rtol=0)


def test_a_network_that_returns_its_input_does_not_change_the_volume() -> None:
    values = volume(2, 20, 20)
    before = values.clone()
    result = predict_windows(lambda images: images, values, patch=(8, 8), flips=True)
    assert torch.equal(values, before)
    torch.testing.assert_close(result, before, atol=1e-5, rtol=0)


def test_with_flips_any_network_gives_flipped_results_for_flipped_volumes() -> None:
    torch.manual_seed(0)
    network = nn.Conv3d(2, 3, 3, padding=1)
    values = volume(2, 8, 8, 8)
    options = {"patch": (8, 8, 8), "flips": True}
    straight = predict_windows(network, values, **options)
    for axes in ((1,), (2, 3), (1, 2, 3)):
        torch.testing.assert_close(predict_windows(network, values.flip(axes), **options).flip(axes), straight)
    assert not torch.allclose(network(values[None])[0], straight, atol=1e-2)


def test_the_result_with_flips_is_the_mean_over_all_eight() -> None:
    torch.manual_seed(0)
    network = nn.Conv3d(2, 3, 3, padding=1)
    values = volume(2, 8, 8, 8)
    flips = [axes for count in range(4) for axes in itertools.combinations((1, 2, 3), count)]
    with torch.inference_mode():
        flipped_results = [network(values.flip(axes)[None])[0].flip(axes) for axes in flips]
    result = predict_windows(network, values, patch=(8, 8, 8), flips=True)
    assert len(flipped_results) == 8
    torch.testing.assert_close(result, torch.stack(flipped_results).mean(0))


def test_every_window_is_predicted_once() -> None:
    seen: list[int] = []

    def predict(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images

    predict_windows(predict, volume(1, 30, 30, 19), patch=(16, 16, 16), batch=4)
    assert seen == [4, 4, 4, 4, 2]
    assert count_windows((30, 30, 19), (16, 16, 16), overlap=0.5) == sum(seen)


def test_a_network_that_changes_the_size_is_refused() -> None:
    with pytest.raises(IncompatibleError, match="the network returned 4 x 4 for a patch, expected 8 x 8"):
        predict_windows(lambda images: images[..., ::2, ::2], volume(1, 9, 9), patch=(8, 8))
