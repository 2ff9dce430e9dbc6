"""Cases are scored in threads while a GPU predicts the next ones, with the results of one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from handmade_case import keep_slices

from benchbench.run import case_scores
from benchbench.run.case_scores import Prediction, score_cases

REGIONS = ("disc",)


def assignment(device: str, *, threads: int = 3) -> Any:
    protocol = SimpleNamespace(metrics=("dice", "hd95"))
    return SimpleNamespace(device=device, threads=threads, regions=REGIONS, colours={}, protocol=protocol)


def predictions(folder: Path, count: int) -> list[Prediction]:
    made: list[Prediction] = []
    for number in range(count):
        rng = np.random.default_rng(number)
        label = (rng.random((2, 8, 8)) > 0.6).astype(np.uint8)
        image = rng.integers(0, 255, (2, 1, 8, 8)).astype(np.uint8)
        case = keep_slices(folder / f"case{number}", image, label)
        made.append((case, rng.random((2, 1, 8, 8)) > 0.5))
    return made


def comparable(scored: Any) -> list[Any]:
    return [(case.folder.name, scores.counts.tolist(), *scores[1:]) for case, scores in scored]


def test_threads_give_the_scores_of_one_after_the_other(tmp_path: Path) -> None:
    made = predictions(tmp_path, 9)
    plain = comparable(score_cases(assignment("cpu"), made))
    assert [name for name, *_ in plain] == [f"case{number}" for number in range(9)]
    assert plain[0][1] != plain[1][1]
    for threads in (1, 3, 16):
        assert comparable(score_cases(assignment("cuda:0", threads=threads), made)) == plain


@pytest.mark.parametrize(("device", "is_overlapped"), [("cuda:0", True), ("cpu", False)])
def test_the_next_case_is_predicted_while_one_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, *, is_overlapped: bool
) -> None:
    made = predictions(tmp_path, 2)
    is_next_asked = threading.Event()
    waited: list[bool] = []
    score = case_scores.score_case

    def wait(*arguments: Any) -> Any:
        waited.append(is_next_asked.wait(5.0 if is_overlapped else 0.0))
        return score(*arguments)

    def predict() -> Iterator[Prediction]:
        yield made[0]
        is_next_asked.set()
        yield made[1]

    monkeypatch.setattr(case_scores, "score_case", wait)
    assert len(list(score_cases(assignment(device, threads=1), predict()))) == 2
    assert waited == [is_overlapped, True]


def test_an_error_in_a_thread_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("masks of another shape")

    monkeypatch.setattr(case_scores, "score_case", fail)
    with pytest.raises(ValueError, match="masks of another shape"):
        list(score_cases(assignment("cuda:0"), predictions(tmp_path, 5)))
