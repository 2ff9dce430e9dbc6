"""Volumes that are decoded into one array have the same values as alone, and are not copied."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from benchbench.images.nifti import Volume, read_image
from benchbench.images.stack import Stack


def written(path: Path, voxels: np.ndarray, *, slope: float = 1.0) -> Path:
    image = nib.Nifti1Image(voxels, np.eye(4))
    image.header.set_slope_inter(slope, 0)
    nib.save(image, path)
    return path


def read(paths: list[Path]) -> tuple[Stack, list[Volume]]:
    stack = Stack(len(paths))
    return stack, [read_image(path, room=stack.room(number)) for number, path in enumerate(paths)]


def test_volumes_of_one_shape_and_type_are_stacked_without_a_copy(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 99, (3, 5, 4, 2)).astype(np.int16)
    stack, volumes = read([written(tmp_path / f"{n}.nii.gz", volume) for n, volume in enumerate(voxels)])
    stacked = stack.stacked([volume.voxels for volume in volumes])
    assert np.array_equal(stacked, voxels)
    assert all(np.shares_memory(stacked, volume.voxels) for volume in volumes)


def test_a_volume_of_another_type_is_stacked_with_its_values(tmp_path: Path) -> None:
    one, other = np.full((5, 4, 2), 7, np.int16), np.full((5, 4, 2), 0.5, np.float32)
    stack, volumes = read([written(tmp_path / "a.nii.gz", one), written(tmp_path / "b.nii.gz", other)])
    assert np.array_equal(stack.stacked([volume.voxels for volume in volumes]), np.stack([one, other]))


def test_a_scaled_volume_is_stacked_with_its_scaled_values(tmp_path: Path) -> None:
    voxels = np.full((5, 4, 2), 7, np.int16)
    paths = [written(tmp_path / "a.nii.gz", voxels), written(tmp_path / "b.nii.gz", voxels, slope=2.0)]
    stack, volumes = read(paths)
    assert np.array_equal(
        stack.stacked([volume.voxels for volume in volumes]), np.stack([volume.voxels for volume in volumes])
    )
    assert not np.array_equal(volumes[0].voxels, volumes[1].voxels)


def test_a_volume_of_another_shape_does_not_touch_the_others(tmp_path: Path) -> None:
    one, other = np.full((5, 4, 2), 7, np.int16), np.full((4, 5, 2), 8, np.int16)
    _, volumes = read([written(tmp_path / "a.nii.gz", one), written(tmp_path / "b.nii.gz", other)])
    assert [volume.voxels.shape for volume in volumes] == [(5, 4, 2), (4, 5, 2)]
    assert [set(volume.voxels.flat) for volume in volumes] == [{7}, {8}]
