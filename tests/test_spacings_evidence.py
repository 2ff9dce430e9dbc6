"""The volumes of benchmarks/evidence/spacings.py: four voxel sizes, and balls that only their size in mm tells apart."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

EVIDENCE = Path(__file__).parents[1] / "benchmarks" / "evidence"


@pytest.fixture(autouse=True)
def evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EVIDENCE))


def test_every_patient_has_the_same_cube_and_the_volume_of_two_large_balls(tmp_path: Path) -> None:
    import spacings

    spacings.write_patients(tmp_path, patients=4, seed=0)
    two_balls = 2 * 4 / 3 * np.pi * spacings.LARGE_MM**3
    for number, spacing in enumerate(spacings.SPACINGS):
        label = nib.load(tmp_path / f"labelsTr/balls_{number:03}.nii.gz")
        assert label.header.get_zooms() == pytest.approx(spacing)
        assert np.multiply(label.shape, spacing) == pytest.approx([spacings.SIDE_MM] * 3, abs=1.5)
        assert label.get_fdata().sum() * np.prod(spacing) == pytest.approx(two_balls, rel=0.03)


def test_balls_do_not_touch() -> None:
    import spacings

    balls = spacings.place(np.random.default_rng(3))
    assert [radius for _, radius in balls][:2] == [spacings.LARGE_MM] * 2
    for at, (centre, radius) in enumerate(balls):
        for other, size in balls[:at]:
            assert np.linalg.norm(centre - other) > radius + size
