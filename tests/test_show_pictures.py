"""Pictures of `benchbench show`: a case with its label, and an image under augmentations."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import benchbench
from toy_benchmark import write_benchmark

from benchbench.engine.inference.panels import join_panels, panel
from benchbench.engine.inference.pictures import to_rgb


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def show(*words: object) -> tuple[int, str]:
    done = benchbench("show", *words, cwd=Path.cwd())
    return done.returncode, done.stdout + done.stderr


def test_a_case_is_drawn_with_each_channel_and_its_label(tmp_path: Path, squares: Path) -> None:
    file = tmp_path / "case.png"
    code, output = show("squares", "--picture", file, "--data-root", squares, "--cache", tmp_path / "cache")
    assert (code, output) == (0, f"wrote {file}\n")
    picture = read(file)
    # one channel and one with outlines, 32 pixels enlarged by 6, below a title and a heading of 18 pixels each
    assert picture.shape == (18 + 4 + 18 + 192, 2 * 192 + 4, 3)
    image, labelled = picture[40:, :192], picture[40:, 196:]
    assert (image[..., 0] == image[..., 1]).all()
    with np.load(squares / "squares" / "patient00-a.npz") as stored:
        rows, columns = np.nonzero(stored["label"][1])
    outlined = np.argwhere((image != labelled).any(-1)) // 6
    assert outlined.min(0).tolist() == [rows.min(), columns.min()]
    assert outlined.max(0).tolist() == [rows.max(), columns.max()]


def test_phantoms_are_drawn_and_named(tmp_path: Path) -> None:
    words = ("--rehearse", "--cache", tmp_path / "cache")
    for case in ("patient00-a", "patient02-a"):
        assert show("squares", "--picture", tmp_path / f"{case}.png", "--case", case, *words)[0] == 0
    assert (read(tmp_path / "patient00-a.png") != read(tmp_path / "patient02-a.png")).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["squares", "--picture", "a.jpg"], "--picture a.jpg: expected a name that ends with .png"),
        (["plain", "--picture", "a.png"], "--picture: 'plain' is no dataset, and has no cases; name a dataset"),
        (["squares", "--picture", "a.png"], "--data-root"),
    ],
)
def test_pictures_that_cannot_be_drawn_are_refused(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCHBENCH_DATA", raising=False)
    code, output = show(*words)
    assert code in {2, 3}
    assert message in output


def test_a_case_that_does_not_exist_is_refused(tmp_path: Path, squares: Path) -> None:
    code, output = show("squares", "--picture", tmp_path / "a.png", "--data-root", squares, "--case", "patient00")
    assert code == 2
    assert "--case patient00: no such case; did you mean 'patient0" in output


def test_augmentations_are_drawn_for_each_variant_that_changes_them(tmp_path: Path) -> None:
    file = write_benchmark(tmp_path)
    variants = """[[variants]]
label = "flips"
set = {}
[[variants]]
label = "other rate"
set = { "protocol.optimizer.lr" = 1e-3 }
[[variants]]
label = "none"
set = { "protocol.augment" = [] }

[protocol]
"""
    file.write_text(file.read_text().replace("[protocol]\n", variants, 1))
    picture = tmp_path / "augmentations.png"
    words = ("--augmentations", picture, "--rehearse", "--draws", 4, "--cache", tmp_path / "cache")
    assert show(file, *words) == (0, f"wrote {picture}\n")
    drawn = read(picture)
    assert drawn.shape == (18 + 4 + 18 + 192 + 4 + 18 + 192, 5 * 196 - 4, 3)
    flips, unchanged = (
        [part[:, at : at + 192] for at in range(0, 980, 196)] for part in (drawn[40:232], drawn[254:])
    )
    assert all((part == unchanged[0]).all() for part in unchanged)
    assert any((part != flips[0]).any() for part in flips)


def test_background_of_a_standardised_image_is_black_and_tissue_below_zero_is_not_lost() -> None:
    values = np.zeros((2, 4, 4), np.float32)
    values[:, 1:3, 1:3] = [[[-2, -1], [1, 2]]] * 2
    picture = to_rgb(values)
    assert picture.shape == (4, 4, 3)
    assert not picture[values[0] == 0].any()
    assert picture[1:3, 1:3, 0].ravel().tolist() == [0, 63, 191, 255]


def test_panels_of_other_heights_are_continued_in_white_and_pixels_have_their_aspect() -> None:
    grey = np.full((96, 192, 3), 9, np.uint8)
    low, high = panel(grey, "low"), panel(grey, "high", aspect=2.0)
    assert (low.shape, high.shape) == ((18 + 96, 192, 3), (18 + 192, 192, 3))
    joined = join_panels([low, high])
    assert joined.shape == (18 + 192, 2 * 192 + 4, 3)
    assert (joined[18 + 96 :, :192] == 255).all()
