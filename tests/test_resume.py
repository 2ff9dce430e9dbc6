"""States of interrupted runs that cannot be used: they are discarded with a printed line, or refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from carry import Recorder, carry
from commands import benchbench

from benchbench.engine.devices.settings import ComputeSettings
from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.resume import read_resume, write_resume
from benchbench.run import resumable_training
from benchbench.run.first_steps import get_steps_ready
from benchbench.run.resumable_training import _run_epoch

pytestmark = pytest.mark.usefixtures("without_report")
SAVE_EACH_STEP = ComputeSettings(resume_seconds=0.0)
KEY = RunKey("squares", "plain", "default", 0, 0)


@pytest.fixture
def interrupted(benchmark_file: Path, squares: Path, tmp_path: Path) -> ResultsFolder:
    """The results folder of a run that was interrupted in its second epoch, with the state of its last step before."""

    def stop(self: Recorder, key: RunKey, event: Any) -> None:
        if getattr(event, "epochs", 0) > 1:
            raise KeyboardInterrupt

    with mock.patch.object(Recorder, "on_run_event", stop), pytest.raises(KeyboardInterrupt):
        carry(benchmark_file, squares, tmp_path, only=["fold=0"], settings=SAVE_EACH_STEP)
    return ResultsFolder(tmp_path / "results" / "squares")


def change(folder: ResultsFolder, edit: Callable[[dict[str, Any]], bytes | None]) -> Path:
    """Change the saved state and the digest in front of it."""
    run = folder.run(KEY)
    path = run.path / "resume.pt"
    tag = path.read_bytes().partition(b"\n")[0].decode().rpartition(" ")[0]
    content = read_resume(run, tag).content
    assert content is not None
    state = torch.load(io.BytesIO(content), weights_only=True)
    changed = edit(state)
    if changed is None:
        stored = io.BytesIO()
        torch.save(state, stored)
        changed = stored.getvalue()
    write_resume(run, tag, changed)
    return path


def of_another_torch(state: dict[str, Any]) -> bytes:
    return b"PK of another version"


def of_another_network(state: dict[str, Any]) -> None:
    # loaded before the rest: the network must be as it was built when the training starts again
    state["model"] = {name: tensor + 1 for name, tensor in state["model"].items()}
    del state["optimizer"]


def with_a_gap(state: dict[str, Any]) -> None:
    state["history"] = [{"epoch": 7}]


@pytest.mark.parametrize("edit", [of_another_torch, of_another_network, with_a_gap])
def test_a_state_that_cannot_be_loaded_is_deleted_and_the_run_starts_again(
    interrupted: ResultsFolder,
    benchmark_file: Path,
    squares: Path,
    tmp_path: Path,
    edit: Callable[..., bytes | None],
) -> None:
    path = change(interrupted, edit)
    _, (record,), recorder = carry(benchmark_file, squares, tmp_path, only=["fold=0"])
    assert record is not None
    assert (record.status, record.epochs) == ("done", 2)
    remarks = [event.remark for _, event in recorder.events if getattr(event, "remark", "")]
    assert len(remarks) == 1
    assert remarks[0].startswith("the training starts again, because resume.pt cannot be loaded and was deleted (")
    assert not path.exists()
    _, (fresh,), _ = carry(benchmark_file, squares, tmp_path / "fresh", only=["fold=0"])
    assert fresh is not None
    assert record.files == fresh.files


@pytest.mark.parametrize("layout", ["contiguous", "channels_last_3d"])
def test_an_interrupted_run_asks_for_the_memory_layout_that_it_began_with(
    interrupted: ResultsFolder,
    benchmark_file: Path,
    squares: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
) -> None:
    def begin_with(state: dict[str, Any]) -> None:
        state["memory_layout"] = layout

    change(interrupted, begin_with)
    layouts = []

    def remember(*given: Any, layout: str | None = None) -> Any:
        layouts.append(layout)
        return get_steps_ready(*given)

    monkeypatch.setattr(resumable_training, "has_choice_of_layout", lambda *_: True)
    monkeypatch.setattr(resumable_training, "get_steps_ready", remember)
    _, (record,), recorder = carry(benchmark_file, squares, tmp_path, only=["fold=0"])
    assert record is not None
    assert (record.status, layouts) == ("done", [layout])
    remarks = [event.remark for _, event in recorder.events if getattr(event, "remark", "")]
    # the network of this test stays contiguous
    assert len(remarks) == (layout != "contiguous")
    assert all("memory layout of its weights: channels_last_3d; of the network" in remark for remark in remarks)


def test_a_damaged_state_is_deleted_and_a_line_says_so(
    interrupted: ResultsFolder, benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    path = interrupted.run(KEY).path / "resume.pt"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    done = benchbench(
        *("run", benchmark_file, "--data-root", squares, "--jobs", 0, "--only", "fold=0"),
        cwd=tmp_path,
    )
    (line,) = [line for line in done.stdout.splitlines() if "starts again" in line]
    assert line.startswith(f"{KEY}: the training starts again, because resume.pt cannot be loaded and was deleted")
    assert line.endswith("(its bytes were changed)")


def test_a_state_of_more_epochs_than_the_protocol_is_refused(
    interrupted: ResultsFolder, benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    def lengthen(state: dict[str, Any]) -> None:
        state["history"] = [{"epoch": epoch} for epoch in range(3)]

    path = change(interrupted, lengthen)
    for _ in range(2):
        _, (record,), _ = carry(benchmark_file, squares, tmp_path, only=["fold=0"])
        assert record is not None
        assert record.status == "failed"
        assert record.reason == (
            f"{path.relative_to(interrupted.path)}: found 3 epochs, expected at most 2; delete it to train from the"
            " start"
        )


def test_every_epoch_seed_and_fold_draws_numbers_of_its_own() -> None:
    def draws(*, seed: int, fold: int, epoch: int) -> tuple[int, int]:
        """Return the seeds of the batches and of dropout."""
        training = mock.Mock(history=[{}] * epoch, **{"processes.rank": 0})
        training.run_epoch = lambda generator, **_: (generator.initial_seed(), torch.initial_seed())
        assignment = mock.Mock(key=RunKey("squares", "plain", "default", fold, seed))
        drawn: Any = _run_epoch(assignment, training, lambda _: None, mock.Mock())
        return drawn

    first = draws(seed=0, fold=0, epoch=0)
    assert draws(seed=0, fold=0, epoch=0) == first
    others = [draws(seed=1, fold=0, epoch=0), draws(seed=0, fold=1, epoch=0), draws(seed=0, fold=0, epoch=1)]
    assert len({number for pair in (first, *others) for number in pair}) == 8
