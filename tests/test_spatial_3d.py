from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

from benchbench.engine.augmentation import samples
from benchbench.engine.augmentation.spatial_3d import AxisMaps, scale_maps, shift_maps, transform_in_place


@pytest.fixture(params=[True, False], ids=["one by one", "in batches"], autouse=True)
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU takes the samples one by one, a GPU in batches; both do the same."""
    monkeypatch.setattr(samples, "one_at_a_time", lambda _: request.param)


def batch(count: int, *space: int, channels: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, channels, *space, generator=generator)
    return images, torch.randint(0, 8, (count, *space), generator=generator, dtype=torch.uint8)


def transformed(images: Tensor, labels: Tensor, maps: AxisMaps) -> tuple[Tensor, Tensor]:
    images, labels = images.clone(), labels.clone()
    transform_in_place(images, labels, maps)
    return images, labels


def factors(*zooms: float) -> Tensor:
    """(B, 3), the same along every axis."""
    return torch.tensor(zooms, dtype=torch.float64)[:, None].expand(-1, 3)


def row(*values: float) -> Tensor:
    """One volume of one channel, one voxel deep and high."""
    return torch.tensor(values, dtype=torch.float32)[None, None, None, None]


def of_row(values: Tensor, maps: AxisMaps) -> list[float]:
    images, _ = transformed(values, torch.zeros(1, 1, 1, values.shape[-1], dtype=torch.uint8), maps)
    return images.flatten().tolist()


def cubic(count: int = 1) -> Tensor:
    return torch.ones(count, dtype=torch.bool)


def test_every_combination_of_flips_keeps_every_bit() -> None:
    images, labels = batch(8, 4, 5, 6)
    chosen = list(itertools.product([1.0, -1.0], repeat=3))
    result, result_labels = transformed(images, labels, scale_maps(torch.tensor(chosen, dtype=torch.float64)))
    for number, signs in enumerate(chosen):
        axes = [axis - 3 for axis, sign in enumerate(signs) if sign < 0]
        assert torch.equal(result[number], images[number].flip(axes))
        assert torch.equal(result_labels[number], labels[number].flip(axes))


@pytest.mark.parametrize(("size", "zoomed"), [(20, 24), (21, 23), (19, 25), (32, 44), (16, 16)])
def test_a_linear_zoom_is_torchs_interpolation_of_the_middle(size: int, zoomed: int) -> None:
    images, labels = batch(2, size, size, size)
    result, result_labels = transformed(images, labels, scale_maps(factors(*[zoomed / size] * 2)))
    edge = (zoomed - size) // 2
    middle = (..., *[slice(edge, edge + size)] * 3)
    whole = F.interpolate(images, (zoomed,) * 3, mode="trilinear", align_corners=False)
    torch.testing.assert_close(result, whole[middle], atol=1e-5, rtol=0)
    nearest = F.interpolate(labels[:, None].float(), (zoomed,) * 3, mode="nearest-exact")[:, 0]
    assert torch.equal(result_labels, nearest[middle].to(torch.uint8))


@pytest.mark.parametrize(("size", "zoomed"), [(20, 24), (20, 28), (19, 25), (40, 42)])
def test_a_cubic_zoom_is_torchs_keys_cubic_of_the_middle(size: int, zoomed: int) -> None:
    images, labels = batch(2, 1, size, size)
    result, _ = transformed(images, labels, scale_maps(factors(*[zoomed / size] * 2), cubic=cubic(2)))
    edge = (zoomed - size) // 2
    # with antialias torch takes a = -0.5, and magnification needs no smoothing
    whole = F.interpolate(images[:, :, 0], (zoomed,) * 2, mode="bicubic", antialias=True)
    expected = whole[..., edge : edge + size, edge : edge + size]
    torch.testing.assert_close(result[:, :, 0], expected, atol=1e-5, rtol=0)


def test_a_cubic_shift_weighs_as_keys_does() -> None:
    half = AxisMaps(factors(1.0), torch.tensor([[0.0, 0.0, -0.5]], dtype=torch.float64), cubic())
    assert of_row(row(0, 0, 0, 16, 0, 0, 0), half) == pytest.approx([0, 0, -1, 9, 9, -1, 0])


def test_cubics_reproduce_a_parabola_inside() -> None:
    places = torch.arange(20.0)
    zoom = scale_maps(factors(1.3), cubic=cubic())
    expected = ((places - 9.5) / 1.3 + 9.5) ** 2
    assert of_row(row(*(places**2).tolist()), zoom) == pytest.approx(expected.tolist(), abs=1e-3)


def test_each_sample_is_resampled_by_its_own_map() -> None:
    images, labels = batch(4, 9, 8, 7)
    zooms, ways = factors(1.0, 1.3, 1.3, 0.8), torch.tensor([True, True, False, False])
    result, result_labels = transformed(images, labels, scale_maps(zooms, cubic=ways))
    assert torch.equal(result[0], images[0])
    for number in range(1, 4):
        one = slice(number, number + 1)
        alone, alone_label = transformed(images[one], labels[one], scale_maps(zooms[one], cubic=ways[one]))
        torch.testing.assert_close(result[one], alone, atol=1e-5, rtol=0)
        assert torch.equal(result_labels[one], alone_label)


def test_voxels_beyond_the_border_are_zero() -> None:
    images, labels = torch.ones(1, 1, 4, 4, 4), torch.ones(1, 4, 4, 4, dtype=torch.uint8)
    for way in (False, True):
        halved = scale_maps(factors(0.5), cubic=torch.tensor([way]))
        result, result_label = transformed(images, labels, halved)
        inside = torch.zeros(4, 4, 4, dtype=torch.uint8)
        inside[1:3, 1:3, 1:3] = 1
        assert torch.equal(result_label[0], inside)
        torch.testing.assert_close(result[0, 0], inside.float(), atol=1e-6, rtol=0)


def test_a_shift_moves_towards_the_ends_of_the_axes() -> None:
    images, labels = batch(1, 4, 5, 6)
    result, result_labels = transformed(
        images, labels, shift_maps(torch.tensor([[1.0, 0.0, -2.0]], dtype=torch.float64))
    )
    torch.testing.assert_close(result[:, :, 1:, :, :-2], images[:, :, :-1, :, 2:])
    assert torch.equal(result_labels[:, 1:, :, :-2], labels[:, :-1, :, 2:])
    assert not result[:, :, 0].any()
    assert not result_labels[..., -2:].any()
    half = shift_maps(torch.tensor([[0.0, 0.0, 0.5]], dtype=torch.float64))
    assert of_row(row(1, 2, 3), half) == pytest.approx([0.5, 1.5, 2.5])


def test_maps_are_composed_in_their_order() -> None:
    shift, zoom = shift_maps(torch.tensor([[0.0, 0.0, 2.0]], dtype=torch.float64)), scale_maps(factors(2.0))
    point = row(*[0.0] * 8, 1.0, *[0.0] * 8)
    assert of_row(point, shift.then(zoom))[12] == 1
    assert of_row(point, zoom.then(shift))[10] == 1


def test_a_flip_and_a_zoom_are_one_resampling() -> None:
    images, labels = batch(1, 8, 9, 10)
    flip = scale_maps(torch.tensor([[-1.0, 1.0, -1.0]], dtype=torch.float64))
    together, together_label = transformed(images, labels, flip.then(scale_maps(factors(1.37))))
    apart, apart_label = transformed(images.flip((2, 4)), labels.flip((1, 3)), scale_maps(factors(1.37)))
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)
    assert torch.equal(together_label, apart_label)


def test_two_flips_need_no_resampling() -> None:
    images, labels = batch(1, 4, 4, 4)
    flip = scale_maps(torch.full((1, 3), -1.0, dtype=torch.float64))
    result, _ = transformed(images, labels, flip.then(flip))
    assert torch.equal(result, images)
