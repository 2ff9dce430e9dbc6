from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handmade_case import keep_slices, keep_volume

from benchbench.engine.batches.patches import Patches, crop_patch, open_source
from benchbench.engine.batches.sampling import Slices
from benchbench.engine.preparation.labels import sample_foreground
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.spec.protocol import Protocol

CPU = torch.device("cpu")


def protocol(patch: tuple[int, int, int] = (4, 4, 4), **changes: Any) -> Protocol:
    fields = {"ndim": 3, "patch": patch, "epochs": 1, "batch": 2, "optimizer": {"name": "adam", "lr": 1.0}}
    return Protocol.model_validate({**fields, "loss": "bce", **changes})


def volume(folder: Path, *shape: int, dtype: Any = np.float16) -> PreparedCase:
    """Every voxel tells its place: 1 + its number; one voxel in the last corner is labelled."""
    image = (1 + np.arange(np.prod(shape)).reshape(1, *shape)).astype(dtype)
    label = np.zeros(shape, np.uint8)
    label[-1, -1, -1] = 1
    return keep_volume(folder, image, label)


def draw(source: Patches, seed: int = 0, numbers: tuple[int, ...] = (0,)) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = source.batch(torch.tensor(numbers), generator=torch.Generator().manual_seed(seed))
    return images.clone(), labels.clone()


def test_a_patch_is_a_part_of_its_volume_with_the_label_of_that_part(tmp_path: Path) -> None:
    case = volume(tmp_path / "a", 6, 7, 8)
    source = Patches([case], protocol(), device=CPU)
    corners = set()
    for seed in range(40):
        image, label = draw(source, seed)
        corner = np.unravel_index(int(image[0, 0, 0, 0, 0]) - 1, (6, 7, 8))
        part = tuple(slice(at, at + 4) for at in corner)
        assert np.array_equal(image[0, 0], case.image()[0][part])
        assert np.array_equal(label[0], case.label()[part])
        corners.add(corner)
    assert len(corners) > 20


def test_oversampled_patches_contain_a_labelled_voxel_at_any_position(tmp_path: Path) -> None:
    label = np.zeros((9, 9, 9), np.uint8)
    label[4, 4, 4] = 1
    case = keep_volume(tmp_path / "a", np.ones((1, 9, 9, 9), np.float16), label)
    source = Patches([case], protocol(oversample_foreground=1.0), device=CPU)
    places = {tuple(draw(source, seed)[1][0].nonzero()[0].tolist()) for seed in range(60)}
    assert len(places) > 30


def test_the_share_of_oversampled_patches_is_that_of_the_protocol(tmp_path: Path) -> None:
    label = np.zeros((40, 4, 4), np.uint8)
    label[0] = 1
    case = keep_volume(tmp_path / "a", np.ones((1, 40, 4, 4), np.float16), label)
    source = Patches([case], protocol(oversample_foreground=0.4, patches_per_case=1000), device=CPU)
    _, labels = draw(source, numbers=tuple(range(1000)))
    # of 37 places, 1 to 4 of those drawn freely hold the labelled slice; the patch must begin at 0
    assert labels.flatten(1).any(1).float().mean() == pytest.approx(0.4 + 0.6 / 37, abs=0.05)


def test_a_volume_smaller_than_the_patch_is_centred_between_zeros(tmp_path: Path) -> None:
    case = volume(tmp_path / "a", 2, 6, 4)
    image, label = draw(Patches([case], protocol((4, 4, 5), oversample_foreground=1.0), device=CPU))
    assert not image[0, 0, 0].any()
    assert not image[0, 0, 3].any()
    assert image[0, 0, 1:3, :, :4].all()
    assert not image[0, 0, :, :, 4].any()
    assert label.sum() == 1


def test_the_same_generator_gives_the_same_batch_and_cases_are_equally_frequent(tmp_path: Path) -> None:
    cases = [volume(tmp_path / "a", 6, 6, 6), volume(tmp_path / "b", 6, 6, 6)]
    source = Patches(cases, protocol(patches_per_case=3), device=CPU)
    assert len(source) == 6
    first, again, other = (draw(source, seed, (0, 3, 5))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_8_bit_volumes_are_divided_by_255(tmp_path: Path) -> None:
    image, _ = draw(Patches([volume(tmp_path / "a", 4, 4, 4, dtype=np.uint8)], protocol(), device=CPU))
    assert image[0, 0, 0, 0, 0] == pytest.approx(1 / 255)


def test_the_next_batch_does_not_change_the_cache(tmp_path: Path) -> None:
    case = volume(tmp_path / "a", 5, 5, 5)
    before = case.image().copy()
    source = Patches([case], protocol(), device=CPU)
    source.batch(torch.tensor([0]), generator=torch.Generator())[0].fill_(-1)
    assert np.array_equal(case.image(), before)


def test_a_part_beyond_the_border_is_zero() -> None:
    out = torch.full((1, 3, 3), 9.0)
    crop_patch(torch.ones(1, 2, 2), (-1, 1), out=out)
    assert out[0].tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0]]


def test_the_foreground_has_voxels_of_every_region_however_small() -> None:
    bits = np.full((20, 20, 20), 1, np.uint8)
    bits[3, 4, 5] = 3
    places = sample_foreground(bits, regions=2)
    assert places[-1].tolist() == [3, 4, 5]
    assert len(places) == 4096 + 1
    assert sample_foreground(bits * 0, regions=2).shape == (0, 3)


def test_the_protocol_decides_between_slices_and_patches(tmp_path: Path) -> None:
    flat = keep_slices(tmp_path / "s", np.zeros((2, 1, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8))
    assert isinstance(open_source([flat], protocol(ndim=2, patch=(4, 4)), device=CPU), Slices)  # type: ignore[arg-type]
    assert isinstance(open_source([volume(tmp_path / "v", 4, 4, 4)], protocol(), device=CPU), Patches)
