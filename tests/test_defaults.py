"""Defaults of options from benchbench.toml and the environment, and how much `run` prints."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from commands import benchbench
from toy_benchmark import write_benchmark, write_data

from benchbench.cli.defaults import FILE, NAMES
from benchbench.cli.run import run_command
from benchbench.launch.progress_lines import FewLines, Lines
from benchbench.plan.run import RunKey
from benchbench.run.assignment import Progress


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a user keeps settings of programs."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setattr("click.get_app_dir", lambda _: str(folder))
    for name in ("DATA", "RESULTS", "DEVICE", "JOBS"):
        monkeypatch.delenv(f"BENCHBENCH_{name}", raising=False)
    return folder


def state_of(folder: Path, *words: str, **variables: str) -> str:
    done = benchbench("plan", write_benchmark(folder), *words, cwd=folder, **variables)
    return done.stdout + done.stderr


def test_a_file_gives_defaults_and_the_command_line_wins(tmp_path: Path) -> None:
    root = write_data(tmp_path)
    assert "known after a run, or with --data-root" in state_of(tmp_path)
    (tmp_path / FILE).write_text(f'data_root = "{root}"\n')
    assert "known after a run" not in state_of(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "no folder empty/squares" in state_of(tmp_path, "--data-root", "empty")
    assert "no folder empty/squares" in state_of(tmp_path, BENCHBENCH_DATA="empty")


def test_the_file_of_the_folder_wins_over_that_of_the_user(tmp_path: Path, home: Path) -> None:
    (home / FILE).write_text('data_root = "of_user"\ndevice = "cpu"\n')
    (tmp_path / FILE).write_text('data_root = "of_project"\n')
    assert "no folder of_project/squares" in state_of(tmp_path)
    lines = benchbench("doctor", cwd=tmp_path, BENCHBENCH_JOBS="2").stdout
    assert "default of --data-root: of_project, from benchbench.toml" in " ".join(lines.split())
    assert f"default of --device: cpu, from {home / FILE}" in " ".join(lines.split())
    assert "default of --jobs: 2, from BENCHBENCH_JOBS" in " ".join(lines.split())


def test_a_folder_is_relative_to_the_file_of_the_user(tmp_path: Path, home: Path) -> None:
    (home / FILE).write_text('data_root = "mine"\n')
    assert f"no folder {home / 'mine' / 'squares'}" in state_of(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jbos = 2", "benchbench.toml: jbos: no such option can have a default; did you mean 'jobs'?"),
        ("jobs = [2]", "benchbench.toml: jobs: found [2], expected a text, a number, true or false"),
        ("jobs = ", "benchbench.toml"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / FILE).write_text(text)
    done = benchbench("list", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_value_of_the_wrong_kind_is_refused_by_its_option(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('per_device = "many"\n')
    done = benchbench("run", write_benchmark(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert "--per-device" in done.stderr
    assert "many" in done.stderr


def test_every_name_is_that_of_an_option() -> None:
    context = click.Context(run_command)
    options = {option.opts[0].removeprefix("--").replace("-", "_") for option in run_command.get_params(context)}
    assert set(NAMES) - {"threads"} <= options


KEY = RunKey("squares", "plain", "default", 0, 0)


def report(observer: Lines) -> None:
    observer.on_preparation_start("squares", 4)
    observer.on_remark("a note")
    observer.on_run_event(KEY, Progress(1.0, 2, "loss 0.5"))
    observer.on_run_event(KEY, ValueError("no memory"))


def test_quiet_prints_notes_and_failures_only() -> None:
    printed: list[str] = []
    report(FewLines(printed.append))
    assert printed == ["note: a note", f"{KEY}: not started: no memory"]


@pytest.mark.usefixtures("card_only")
def test_a_quiet_run_prints_its_result(tmp_path: Path) -> None:
    root = write_data(tmp_path)
    words = ("run", write_benchmark(tmp_path), "--data-root", root, "--jobs", 0, "--set", "protocol.epochs=1")
    quiet = benchbench(*words, "-q", cwd=tmp_path)
    assert quiet.returncode == 0, quiet.stderr
    assert "epoch 1 of 1" not in quiet.stdout
    assert "runs to do" not in quiet.stdout
    assert "dice" in quiet.stdout


def test_verbose_prints_lines_on_a_terminal() -> None:
    from benchbench.cli.progress import progress_display

    with progress_display(is_terminal=True, echo=print, verbosity="verbose") as observer:
        assert type(observer) is Lines
    with progress_display(is_terminal=True, echo=print, verbosity="quiet") as observer:
        assert type(observer) is FewLines
