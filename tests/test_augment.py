from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from benchbench.engine.augmentation import intensity, samples, spatial_2d
from benchbench.engine.augmentation.augment import augment, check_patch
from benchbench.engine.augmentation.draw import draw_change, draw_matrices
from benchbench.errors import IncompatibleError
from benchbench.spec.augmentation import (
    AugmentStep,
    Blur,
    Brightness,
    Contrast,
    Flip,
    Gamma,
    Noise,
    Rot90,
    Rotate,
    Scale,
    Shift,
    Transpose,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FLIP = Flip(name="flip")
ROT90 = Rot90(name="rot90")
TRANSPOSE = Transpose(name="transpose")
ROTATE = Rotate(name="rotate", degrees=25.0, p=0.7)
SHIFT = Shift(name="shift", fraction=0.15, p=0.7)
SCALE = Scale(name="scale", range=(0.8, 1.3), p=0.7)
BRIGHTNESS = Brightness(name="brightness", limit=0.2)
CONTRAST = Contrast(name="contrast", range=(0.7, 1.4))
GAMMA = Gamma(name="gamma", range=(0.7, 1.5))
NOISE = Noise(name="noise", sigma=(0.0, 0.1))
BLUR = Blur(name="blur", sigma=(0.0, 1.5))
EXACT = (FLIP, ROT90, TRANSPOSE)
SPATIAL = (*EXACT, ROTATE, SHIFT, SCALE)
INTENSITY = (BRIGHTNESS, CONTRAST, GAMMA, NOISE, BLUR)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 6, size: tuple[int, int] = (24, 24), channels: int = 3) -> tuple[Tensor, Tensor]:
    images = torch.rand(count, channels, *size, generator=seeded(1))
    return images, torch.randint(0, 8, (count, *size), generator=seeded(2), dtype=torch.uint8)


def one(image: list[list[float]]) -> Tensor:
    """An image of one channel in a batch of one."""
    return torch.tensor(image, dtype=torch.float32)[None, None]


def amount(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture(params=[True, False], ids=["one by one", "in groups"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU takes the samples one by one, a GPU in groups; both do the same."""
    monkeypatch.setattr(samples, "one_at_a_time", lambda _: request.param)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("flip_x", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
def test_flipped_and_transposed_samples_keep_every_bit(flip_x: bool, flip_y: bool, transpose: bool) -> None:
    images, labels = batch()
    flip = spatial_2d.scale_matrices(torch.full((6,), 1 - 2 * flip_x), torch.full((6,), 1 - 2 * flip_y))
    moved, moved_labels = spatial_2d.transform(
        images, labels, flip @ spatial_2d.transpose_matrices(torch.full((6,), transpose))
    )
    for given_values, result in ((images, moved), (labels, moved_labels)):
        expected = given_values.numpy()
        expected = np.flip(expected, -1) if flip_x else expected
        expected = np.flip(expected, -2) if flip_y else expected
        expected = np.swapaxes(expected, -1, -2) if transpose else expected
        np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.usefixtures("either_way")
def test_every_combination_of_flips_and_turns_keeps_every_bit() -> None:
    images, labels = batch(count=200)
    moved, moved_labels = augment(images, labels, EXACT, generator=seeded())
    moves = set()
    for image, label, new_image, new_label in zip(images, labels, moved, moved_labels, strict=True):
        turns = [(quarters, swap) for quarters in range(4) for swap in (False, True)]
        candidates = {turn: _turned(image.numpy(), *turn) for turn in turns}
        (move,) = [turn for turn, candidate in candidates.items() if np.array_equal(candidate, new_image.numpy())]
        np.testing.assert_array_equal(new_label.numpy(), _turned(label.numpy(), *move))
        moves.add(move)
    assert len(moves) == 8


def _turned(values: np.ndarray, quarters: int, swap: bool) -> np.ndarray:
    turned = np.rot90(values, quarters, axes=(-2, -1))
    return np.swapaxes(turned, -1, -2) if swap else turned


def test_three_quarter_turns_are_equally_likely_and_counter_clockwise() -> None:
    images, labels = batch(count=1)
    images, labels = images.repeat(900, 1, 1, 1), labels.repeat(900, 1, 1)
    moved, _ = augment(images, labels, [Rot90(name="rot90", p=1.0)], generator=seeded())
    counts = [int((moved == images[:1].rot90(k, (2, 3))).all((1, 2, 3)).sum()) for k in range(4)]
    assert counts[0] == 0
    assert sum(counts) == 900
    assert min(counts[1:]) > 250


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotating_by_a_right_angle_is_a_quarter_turn_counter_clockwise(quarters: int) -> None:
    images, labels = batch()
    matrices = spatial_2d.rotation_matrices(torch.full((6,), quarters * math.pi / 2, dtype=torch.float64))
    moved, moved_labels = spatial_2d.transform(images, labels, matrices)
    torch.testing.assert_close(moved, images.rot90(quarters, (2, 3)), atol=1e-4, rtol=0)
    assert torch.equal(moved_labels, labels.rot90(quarters, (1, 2)))


def test_rotating_an_oblong_patch_keeps_angles() -> None:
    images, labels = batch(size=(24, 40))
    matrices = spatial_2d.rotation_matrices(torch.full((6,), math.pi / 2, dtype=torch.float64))
    moved, moved_labels = spatial_2d.transform(images, labels, matrices)
    torch.testing.assert_close(moved[..., 8:32], images[..., 8:32].rot90(1, (2, 3)), atol=1e-4, rtol=0)
    assert torch.equal(moved_labels[..., 8:32], labels[..., 8:32].rot90(1, (1, 2)))
    assert not moved_labels[..., :8].any()


def test_transforms_that_cancel_out_need_no_resampling() -> None:
    images, labels = batch()
    quarter = spatial_2d.rotation_matrices(torch.full((6,), math.pi / 2, dtype=torch.float64)).round()
    shift = spatial_2d.shift_matrices(amount(*range(6)), amount(*range(6)))
    back = spatial_2d.shift_matrices(-amount(*range(6)), -amount(*range(6)))
    moved, _ = spatial_2d.transform(images, labels, shift @ back @ quarter @ quarter @ quarter @ quarter)
    assert torch.equal(moved, images)


def test_a_shift_moves_right_and_down_and_leaves_zeros() -> None:
    image = one([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    moved, label = spatial_2d.transform(
        image, image[:, 0].to(torch.uint8), spatial_2d.shift_matrices(amount(1), amount(0))
    )
    torch.testing.assert_close(moved, one([[0, 1, 2], [0, 4, 5], [0, 7, 8]]), atol=1e-5, rtol=0)
    assert label[0].tolist() == [[0, 1, 2], [0, 4, 5], [0, 7, 8]]
    moved, _ = spatial_2d.transform(image, label, spatial_2d.shift_matrices(amount(0), amount(0.5)))
    torch.testing.assert_close(moved, one([[0.5, 1, 1.5], [2.5, 3.5, 4.5], [5.5, 6.5, 7.5]]), atol=1e-5, rtol=0)


def test_a_zoom_of_two_doubles_the_middle() -> None:
    label = torch.arange(16, dtype=torch.uint8).view(1, 4, 4)
    _, zoomed = spatial_2d.transform(label[None].float(), label, spatial_2d.scale_matrices(amount(2), amount(2)))
    assert zoomed[0].tolist() == [[5, 5, 6, 6], [5, 5, 6, 6], [9, 9, 10, 10], [9, 9, 10, 10]]


def test_steps_are_composed_in_their_order() -> None:
    label = torch.zeros(1, 17, 17, dtype=torch.uint8)
    label[0, 8, 8] = 1
    shift, zoom = spatial_2d.shift_matrices(amount(2), amount(0)), spatial_2d.scale_matrices(amount(2), amount(2))
    _, shifted_first = spatial_2d.transform(label[None].float(), label, shift @ zoom)
    _, zoomed_first = spatial_2d.transform(label[None].float(), label, zoom @ shift)
    assert shifted_first[0, 8, 12] == 1
    assert zoomed_first[0, 8, 10] == 1
    assert zoomed_first[0, 8, 12] == 0


def test_drawn_steps_are_composed_in_their_order() -> None:
    shift, zoom = Shift(name="shift", fraction=0.2, p=1.0), Scale(name="scale", range=(2, 2), p=1.0)
    alone = draw_matrices([shift], 8, (32, 32), generator=seeded())
    shifted_first = draw_matrices([shift, zoom], 8, (32, 32), generator=seeded())
    torch.testing.assert_close(shifted_first[:, :2, 2], alone[:, :2, 2])
    torch.testing.assert_close(shifted_first[:, :2, :2], alone[:, :2, :2] / 2)


def test_a_shift_is_a_share_of_its_own_axis() -> None:
    steps = [Shift(name="shift", fraction=0.25, p=1.0)]
    matrices = draw_matrices(steps, 2000, (40, 80), generator=seeded())
    x, y = matrices[:, 0, 2].abs(), matrices[:, 1, 2].abs()
    assert 19.5 < x.max() <= 20
    assert 9.5 < y.max() <= 10


def test_angles_and_zooms_fill_their_ranges() -> None:
    steps = [Rotate(name="rotate", degrees=30.0, p=1.0)]
    turns = draw_matrices(steps, 2000, (8, 8), generator=seeded())
    angles = torch.atan2(turns[:, 1, 0], turns[:, 0, 0]).rad2deg()
    assert -30 <= angles.min() < -29
    assert 29 < angles.max() <= 30
    zooms = draw_matrices([Scale(name="scale", range=(0.5, 2.0), p=1.0)], 2000, (8, 8), generator=seeded())
    factors = 1 / zooms[:, 0, 0]
    assert 0.5 <= factors.min() < 0.51
    assert 1.98 < factors.max() <= 2
    assert torch.equal(zooms[:, 0, 0], zooms[:, 1, 1])


@pytest.mark.parametrize("p", [0.0, 0.2, 0.7, 1.0])
def test_a_step_is_applied_with_probability_p(p: float) -> None:
    kinds: list[type] = [Transpose, Rot90]
    moves = [kind(name=kind.__name__.lower(), p=p) for kind in kinds]
    moves += [step.model_copy(update={"p": p}) for step in (ROTATE, SHIFT, SCALE)]
    for step in moves:
        matrices = draw_matrices([step], 4000, (8, 8), generator=seeded())
        assert float((matrices != torch.eye(3)).any(2).any(1).double().mean()) == pytest.approx(p, abs=0.03)
    for tint in INTENSITY:
        change = draw_change(tint.model_copy(update={"p": p}), 4000, generator=seeded())
        assert float(change.chosen.double().mean()) == pytest.approx(p, abs=0.03)


def test_each_axis_is_flipped_independently() -> None:
    matrices = draw_matrices([Flip(name="flip", p=0.3)], 4000, (8, 8), generator=seeded())
    x, y = matrices[:, 0, 0] < 0, matrices[:, 1, 1] < 0
    assert float(x.double().mean()) == pytest.approx(0.3, abs=0.03)
    assert float(y.double().mean()) == pytest.approx(0.3, abs=0.03)
    assert float((x & y).double().mean()) == pytest.approx(0.09, abs=0.02)


@pytest.mark.usefixtures("either_way")
def test_a_label_moves_with_its_image() -> None:
    """Each region is drawn into a channel of its own; what is bright there is what the label says."""
    row, column = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    blobs = [((row - 40) / 22) ** 2 + ((column - 55) / 14) ** 2 < 1, (row - 52).abs() + (column - 40).abs() < 20]
    image = torch.stack([blob.float() for blob in blobs])
    label = sum(blob.to(torch.uint8) << bit for bit, blob in enumerate(blobs))
    images, labels = augment(
        image.repeat(64, 1, 1, 1), torch.as_tensor(label).repeat(64, 1, 1), SPATIAL, generator=seeded()
    )
    for bit in range(2):
        bright, marked = images[:, bit] > 0.5, (labels >> bit & 1).bool()
        overlap = (bright & marked).sum((1, 2)) / (bright | marked).sum((1, 2))
        assert float(overlap.min()) > 0.93
        assert float(overlap.mean()) > 0.97


@given(
    steps=st.lists(st.sampled_from((*SPATIAL, *INTENSITY)), max_size=7),
    seed=st.integers(0, 2**32),
    values=st.sets(st.integers(1, 255), min_size=1, max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_labels_keep_their_values_and_images_stay_finite(
    steps: list[AugmentStep], seed: int, values: set[int]
) -> None:
    images, _ = batch(count=4)
    known = torch.tensor([0, *values], dtype=torch.uint8)
    labels = known[torch.randint(len(known), (4, 24, 24), generator=seeded(seed))]
    changed, changed_labels = augment(images, labels, steps, generator=seeded(seed))
    assert torch.isin(changed_labels, known).all()
    assert changed_labels.dtype == torch.uint8
    assert changed.dtype == torch.float32
    assert changed.shape == images.shape
    assert changed.isfinite().all()


def test_a_sample_does_not_depend_on_the_rest_of_its_batch() -> None:
    images, labels = batch(count=16)
    others = images.clone()
    others[:, 1:] = 5 * torch.rand(others[:, 1:].shape, generator=seeded(9))
    one_way = augment(images, labels, (*SPATIAL, *INTENSITY), generator=seeded(3))
    again = augment(images, labels, (*SPATIAL, *INTENSITY), generator=seeded(3))
    with_others = augment(others, torch.zeros_like(labels), (*SPATIAL, *INTENSITY), generator=seeded(3))
    assert torch.equal(one_way[0], again[0])
    assert torch.equal(one_way[1], again[1])
    assert torch.equal(one_way[0][:, 0], with_others[0][:, 0])
    differently = augment(images, labels, (*SPATIAL, *INTENSITY), generator=seeded(4))
    assert not torch.equal(one_way[0], differently[0])


def test_the_generator_advances_equally_for_any_batch() -> None:
    states = []
    for size in ((24, 24), (40, 40)):
        images, labels = batch(size=size, channels=size[0] // 12)
        generator = seeded(5)
        augment(images, labels, (*SPATIAL, *INTENSITY), generator=generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_samples_one_at_a_time_and_in_groups_give_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = batch(count=24)
    steps = (*SPATIAL, *INTENSITY)
    singly = augment(images, labels, steps, generator=seeded())
    monkeypatch.setattr(samples, "one_at_a_time", lambda _: False)
    grouped = augment(images, labels, steps, generator=seeded())
    torch.testing.assert_close(singly[0], grouped[0], atol=1e-5, rtol=0)
    assert torch.equal(singly[1], grouped[1])


def test_memory_layout_does_not_matter() -> None:
    images, labels = batch()
    plain = augment(images, labels, (*SPATIAL, *INTENSITY), generator=seeded())
    interleaved = images.contiguous(memory_format=torch.channels_last)
    other = augment(interleaved, labels, (*SPATIAL, *INTENSITY), generator=seeded())
    torch.testing.assert_close(other[0], plain[0], atol=1e-5, rtol=0)
    assert other[0].is_contiguous()


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize(
    "steps", [(), tuple(step.model_copy(update={"p": 0.0}) for step in (*SPATIAL, *INTENSITY))]
)
def test_with_probability_0_the_result_is_an_unchanged_copy(steps: tuple[AugmentStep, ...]) -> None:
    images, labels = batch()
    same, same_labels = augment(images, labels, steps, generator=seeded())
    assert torch.equal(same, images)
    assert torch.equal(same_labels, labels)
    assert same.data_ptr() != images.data_ptr()
    assert same_labels.data_ptr() != labels.data_ptr()


def test_the_given_batch_is_not_changed() -> None:
    images, labels = batch()
    before, labels_before = images.clone(), labels.clone()
    augment(images, labels, (*SPATIAL, *INTENSITY), generator=seeded())
    assert torch.equal(images, before)
    assert torch.equal(labels, labels_before)


@pytest.mark.usefixtures("either_way")
def test_only_chosen_samples_are_brightened() -> None:
    images, labels = batch(count=40)
    brighter, _ = augment(images, labels, [BRIGHTNESS], generator=seeded())
    added = brighter - images
    untouched = (added == 0).all((1, 2, 3))
    assert 5 < int(untouched.sum()) < 35
    torch.testing.assert_close(added, added[:, :1, :1, :1].expand_as(added), atol=1e-6, rtol=0)
    assert added.abs().max() <= 0.2 + 1e-6


@pytest.mark.parametrize("step", [ROT90, TRANSPOSE, Rot90(name="rot90", p=0.0)])
def test_an_oblong_patch_refuses_steps_that_swap_its_axes(step: AugmentStep) -> None:
    images, labels = batch(size=(24, 40))
    with pytest.raises(
        IncompatibleError, match=r"^augment: (rot90|transpose) needs a square patch, found 24 x 40"
    ):
        augment(images, labels, [FLIP, step], generator=seeded())


def test_every_step_that_does_not_fit_is_named() -> None:
    assert len(check_patch([FLIP, ROT90, TRANSPOSE], (24, 40))) == 2
    assert check_patch([FLIP, ROT90, TRANSPOSE], (24, 24)) == []


def test_an_oblong_patch_keeps_its_shape() -> None:
    images, labels = batch(size=(24, 40))
    changed, changed_labels = augment(images, labels, (FLIP, ROTATE, SHIFT, SCALE, *INTENSITY), generator=seeded())
    assert changed.shape == images.shape
    assert changed_labels.shape == labels.shape


def test_brightness_adds() -> None:
    images = torch.cat([one([[0.1, 0.2]]), one([[0.3, 0.4]])])
    intensity.brighten(images, amount(0.5, -0.3))
    torch.testing.assert_close(images, torch.cat([one([[0.6, 0.7]]), one([[0.0, 0.1]])]))


def test_contrast_stretches_about_the_mean_within_the_original_range() -> None:
    images = torch.cat([one([[0.0, 0.2, 0.4, 0.6]])] * 2)
    intensity.stretch_contrast(images, amount(2, 0.5))
    expected = torch.cat([one([[0.0, 0.1, 0.5, 0.6]]), one([[0.15, 0.25, 0.35, 0.45]])])
    torch.testing.assert_close(images, expected)


def test_gamma_keeps_the_lowest_and_the_highest_value() -> None:
    images = torch.cat([one([[1, 2, 3, 5]])] * 2)
    intensity.apply_gamma(images, amount(2, 0.5))
    expected = torch.cat([one([[1, 1.25, 2, 5]]), one([[1, 3, 1 + 4 * math.sqrt(0.5), 5]])])
    torch.testing.assert_close(images, expected)


@pytest.mark.parametrize("change", [intensity.stretch_contrast, intensity.apply_gamma])
@pytest.mark.parametrize("level", [0.0, 0.1, -3.7])
def test_a_constant_channel_stays_constant(change: Callable[[Tensor, Tensor], None], level: float) -> None:
    images = torch.full((2, 2, 7, 5), level)
    change(images, amount(0.7, 1.6))
    assert torch.equal(images, torch.full((2, 2, 7, 5), level))


def test_noise_has_its_standard_deviation_and_differs_from_sample_to_sample() -> None:
    images = torch.zeros(3, 2, 200, 200)
    intensity.add_noise(images, amount(0.1, 0.3, 0.1), torch.tensor([1, 2, 3]))
    for noise, sigma in zip(images, (0.1, 0.3, 0.1), strict=True):
        assert float(noise.std()) == pytest.approx(sigma, rel=0.01)
        assert float(noise.mean()) == pytest.approx(0, abs=0.005)
    pairs = torch.stack([images[0, 0].flatten(), images[0, 1].flatten(), images[2, 0].flatten()])
    assert torch.corrcoef(pairs).triu(1).abs().max() < 0.03


def test_blur_is_scipys_gaussian_filter() -> None:
    images, _ = batch(count=4, size=(40, 56))
    sigmas = (0.4, 1.3, 2.9, 1.0)
    expected = np.stack(
        [
            ndimage.gaussian_filter(image.numpy(), (0, sigma, sigma), mode="nearest")
            for image, sigma in zip(images, sigmas, strict=True)
        ]
    )
    intensity.blur(images, amount(*sigmas))
    np.testing.assert_allclose(images.numpy(), expected, atol=1e-5)


def test_blur_of_no_width_changes_nothing() -> None:
    images, _ = batch(count=2)
    before = images.clone()
    intensity.blur(images, amount(0.0, 2.0))
    assert torch.equal(images[0], before[0])
    assert not torch.equal(images[1], before[1])


def test_intensity_transforms_follow_the_order_of_the_steps() -> None:
    images, labels = one([[0.0, 0.5, 1.0]]), torch.zeros(1, 1, 3, dtype=torch.uint8)
    square, halve = Gamma(name="gamma", range=(2, 2), p=1.0), Contrast(name="contrast", range=(0.5, 0.5), p=1.0)
    squared, _ = augment(images, labels, [square, halve], generator=seeded())
    halved, _ = augment(images, labels, [halve, square], generator=seeded())
    mean = 1.25 / 3
    torch.testing.assert_close(squared, one([[mean / 2, mean / 2 + 0.125, mean / 2 + 0.5]]))
    torch.testing.assert_close(halved, one([[0.25, 0.375, 0.75]]))


def test_spatial_transforms_come_before_intensity_transforms() -> None:
    images, labels = batch()
    first = augment(images, labels, [ROTATE, BRIGHTNESS], generator=seeded())
    last = augment(images, labels, [BRIGHTNESS, ROTATE], generator=seeded())
    assert torch.equal(first[0], last[0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_result_of_the_cpu() -> None:
    images, labels = batch(count=32)
    steps = (*SPATIAL, *(step for step in INTENSITY if step is not NOISE))
    expected, expected_labels = augment(images, labels, steps, generator=seeded())
    result, result_labels = augment(images.cuda(), labels.cuda(), steps, generator=seeded())
    torch.testing.assert_close(result.cpu(), expected, atol=1e-4, rtol=0)
    assert (result_labels.cpu() == expected_labels).float().mean() > 0.999
