"""Settings that take 0 for the outside of the body say so where an image has no 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from carry import carry

from benchbench import Case, CaseRef, Task
from benchbench.data.verify import verify
from benchbench.engine.preparation.case_facts import zero_remarks
from benchbench.launch.progress_lines import Lines
from benchbench.spec.protocol import Protocol

BACKGROUND = -3.6
NO_OUTSIDE = ('crop = "nonzero" removes nothing', "the channel of one_hot_foreground is 1 everywhere")


def image(*, zeros: tuple[bool, bool]) -> np.ndarray:
    """An image (2, 2, 4, 4) whose first voxel is 0 or a z-scored background in each channel."""
    values = np.random.default_rng(0).normal(5.0, 1.0, (2, 2, 4, 4))
    for channel, is_zero in zip(values, zeros, strict=True):
        channel[0, 0, 0] = 0.0 if is_zero else BACKGROUND
    return values


def remarks(values: np.ndarray, **changes: object) -> list[str]:
    fields = {"patch": (32, 32), "epochs": 1, "batch": 1, "loss": "bce", "optimizer": {"name": "adam", "lr": 1.0}}
    return list(zero_remarks(values, ("t1", "flair"), Protocol.model_validate({**fields, **changes})))


@pytest.mark.parametrize(
    ("zeros", "changes", "lines"),
    [
        ((False, False), {}, []),
        ((True, True), {"intensity": "zscore_nonzero", "crop": "nonzero"}, []),
        (
            (False, False),
            {"intensity": "zscore_nonzero"},
            ["no voxel is 0, so zscore_nonzero is the same as zscore"],
        ),
        (
            (True, False),
            {"intensity": "zscore_nonzero"},
            ["no voxel is 0 in channel flair, so zscore_nonzero is the same as zscore"],
        ),
        ((False, False), {"crop": "nonzero"}, ['no voxel is 0, so crop = "nonzero" removes nothing']),
        (
            (True, False),
            {"crop": "nonzero", "one_hot_foreground": True},
            [f"no voxel is 0, so {' and '.join(NO_OUTSIDE)}"],
        ),
    ],
)
def test_a_setting_without_effect_on_an_image_is_named(
    zeros: tuple[bool, bool], changes: dict[str, object], lines: list[str]
) -> None:
    assert remarks(image(zeros=zeros), **changes) == lines


@pytest.mark.usefixtures("without_report")
def test_a_run_names_the_cases_before_it_trains(benchmark_file: Path, squares: Path, tmp_path: Path) -> None:
    for path in sorted((squares / "squares").glob("*.npz"))[1:]:
        stored = dict(np.load(path))
        stored["image"] = np.maximum(stored["image"], 7)
        np.savez(path, **stored)
    for path in sorted((squares / "squares").glob("*.npz"))[:1]:
        stored = dict(np.load(path))
        stored["image"][0, 0, 0, 0] = 0
        np.savez(path, **stored)
    sets = ("protocol.intensity=zscore_nonzero", "protocol.epochs=1")
    _, _, recorder = carry(benchmark_file, squares, tmp_path, *sets, only=["fold=0"])
    (remark,) = recorder.remarks
    assert remark.startswith("squares: no voxel is 0, so zscore_nonzero is the same as zscore, in 3 of 4 cases: ")
    assert remark.endswith(": patient01-a, patient02-a, patient03-a")


def test_a_remark_is_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    Lines(print).on_remark("squares: no voxel is 0")
    assert capsys.readouterr().out == "note: squares: no voxel is 0\n"


class Scored:
    """A dataset of z-scored images, one of them without any labelled voxel but an ignored one."""

    task = Task(channels=("t1", "flair"), regions={"disc": (1,)}, ignore=3)

    def cases(self) -> list[CaseRef]:
        return [CaseRef("a", "a"), CaseRef("b", "b")]

    def files(self, _: str) -> list[Path]:
        return []

    def load(self, case_id: str) -> Case:
        values = image(zeros=(case_id == "b", case_id == "b"))
        label = np.zeros((2, 4, 4), np.uint8)
        label[0, 0, 0] = 3
        label[1] = case_id == "b"
        return Case(image=values + (case_id == "b") * (values != 0), label=label, affine=None, spacing_mm=None)

    def metadata(self) -> dict[str, dict[str, str]]:
        return {}


def test_verify_notes_the_case() -> None:
    lines = verify(Scored(), threads=1, progress=lambda: None).remarks
    assert 'a: no voxel is 0: zscore_nonzero and crop = "nonzero" find no background' in lines
    assert "a: nothing is labelled" in lines
    assert not any(line.startswith("b: no") for line in lines)
