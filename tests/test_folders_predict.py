"""Predictions of a model that was trained on own images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from commands import benchbench
from PIL import Image
from test_folders import BENCHMARK


def test_new_images_are_predicted_by_a_model_of_own_images(tmp_path: Path) -> None:
    (tmp_path / "eyes.toml").write_text(BENCHMARK)
    words = ["--rehearse", "--jobs", 0, "--no-pictures", "--only", "fold=0"]
    done = benchbench("run", "eyes.toml", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    Image.fromarray(np.full((40, 30), 9, np.uint8)).save(tmp_path / "new.png")
    run = next((tmp_path / "results" / "rehearsal" / "eyes" / "runs").glob("*/*/*/fold0_seed0"))
    done = benchbench("predict", run, "new.png", "--into", "labels", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(np.unique(np.array(Image.open(tmp_path / "labels" / "new.png")))) <= {0, 128, 255}
