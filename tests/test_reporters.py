"""Reporters: what a tracker gets of a run, and that a broken one stops nothing."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from carry import carry
from commands import benchbench
from toy_benchmark import BENCHMARK, write_benchmark, write_data

from benchbench import ReporterPlugin
from benchbench.engine.devices.settings import ComputeSettings
from benchbench.registry import extensions
from benchbench.registry.extensions import extension
from benchbench.testing import examine_extension

MODULE = """
import json, os
from benchbench import ReporterPlugin, hookimpl

class Lines:
    def __init__(self, run, settings):
        self.write(run=run, fold=settings["fold"])
    def write(self, **content):
        with open(os.environ["REPORT_LINES"], "a") as file:
            file.write(json.dumps(content) + "\\n")
    def epoch(self, number, values):
        self.write(epoch=number, **values)
    def end(self, status, scores):
        self.write(status=status, **scores)

class Broken(Lines):
    def epoch(self, number, values):
        raise ValueError("no connection")

def open_lines(run: str, settings: dict) -> Lines:
    return Lines(run, settings)

def open_broken(run: str, settings: dict) -> Broken:
    return Broken(run, settings)

@hookimpl
def benchbench_reporters():
    return [
        ReporterPlugin(name="lines", open=open_lines, source="our own"),
        ReporterPlugin(name="broken", open=open_broken, source="our own"),
    ]
"""


@pytest.fixture
def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file to which two reporters of an installed package write."""
    folder = tmp_path / "site"
    described = folder / "my_reporters-1.0.dist-info"
    described.mkdir(parents=True)
    (folder / "my_reporters.py").write_text(MODULE)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: my-reporters\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[benchbench]\nmy_reporters = my_reporters\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("REPORT_LINES", str(tmp_path / "lines.jsonl"))
    importlib.invalidate_caches()
    yield tmp_path / "lines.jsonl"
    sys.modules.pop("my_reporters", None)
    extensions._registry.cache_clear()


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.usefixtures("without_report")
def test_a_reporter_gets_each_epoch_and_the_scores_of_the_run(reported: Path, tmp_path: Path) -> None:
    file = write_benchmark(tmp_path, BENCHMARK.replace("[protocol]", '[protocol]\nmetrics = ["dice", "hd95"]'))
    settings = ComputeSettings(reporters=("lines",))
    data = write_data(tmp_path)
    folder, records, _ = carry(file, data, tmp_path, only=["fold=1"], settings=settings)
    start, first, second, end = lines_of(reported)
    assert start == {"run": "squares/plain/default/fold1/seed0", "fold": 1}
    (record,) = [record for record in records if record]
    history = pd.read_csv(folder.run(record.key).path / "history.csv")
    assert [first["epoch"], second["epoch"]] == [0, 1]
    assert second["validation_loss"] == pytest.approx(history.loc[1, "validation_loss"])
    cases = pd.read_parquet(folder.run(record.key).path / "cases.parquet")
    dice = 2 * cases["tp"] / (2 * cases["tp"] + cases["fp"] + cases["fn"])
    assert end["status"] == "done"
    assert end["dice"] == pytest.approx(dice.mean())
    assert end["hd95_px"] == pytest.approx(cases["hd95_px"].mean())
    carry(file, data, tmp_path, only=["fold=1"], settings=settings)
    assert len(lines_of(reported)) == 4  # a run that is done reports nothing


@pytest.mark.usefixtures("without_report")
def test_a_reporter_that_fails_stops_nothing(reported: Path, tmp_path: Path) -> None:
    settings = ComputeSettings(reporters=("broken", "lines"))
    _, records, recorder = carry(
        write_benchmark(tmp_path), write_data(tmp_path), tmp_path, only=["fold=0"], settings=settings
    )
    assert [record and record.status for record in records] == ["done"]
    remarks = [event.remark for _, event in recorder.events if getattr(event, "remark", "")]
    assert len(remarks) == 1
    assert remarks[0].startswith("reporter 'broken' gets no further values: ")
    assert "no connection" in remarks[0]
    assert [line.get("status") for line in lines_of(reported)][-1] == "done"


def test_a_reporter_that_is_not_installed_is_refused_before_anything_runs(reported: Path, tmp_path: Path) -> None:
    done = benchbench("run", write_benchmark(tmp_path), "--report", "liens", cwd=tmp_path)
    assert done.returncode == 2
    assert "no reporter plugin 'liens' is installed; did you mean 'lines'?" in done.stderr
    assert not (tmp_path / "results").exists()


def test_check_knows_what_a_reporter_needs(reported: Path) -> None:
    assert examine_extension(extension(ReporterPlugin, "lines")).failed == ()
    wrong = ReporterPlugin(name="wrong", open=lambda run: run, source="")  # type: ignore[arg-type, misc]
    assert examine_extension(wrong).failed == ("signature", "methods", "source")


@pytest.mark.skipif(find_spec("mlflow") is None, reason="needs the extra mlflow")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_stores_parameters_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench_reporters.mlflow_reporter import open_run

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    reporter = open_run("lgg/unet/default/fold0/seed0", {"fold": 0, "protocol": {"epochs": 2}})
    reporter.epoch(0, {"train_loss": 0.5})
    reporter.epoch(1, {"train_loss": 0.25})
    reporter.end("done", {"dice": 0.75, "nsd@2_mm": 0.5})
    from mlflow.tracking import MlflowClient

    client = MlflowClient((tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("benchbench")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params == {"fold": "0", "protocol.epochs": "2"}
    assert run.data.metrics == {"train_loss": 0.25, "test_dice": 0.75, "test_nsd_at_2_mm": 0.5}
    assert [entry.value for entry in client.get_metric_history(run.info.run_id, "train_loss")] == [0.5, 0.25]
    assert run.info.status == "FINISHED"


@pytest.mark.skipif(find_spec("wandb") is None, reason="needs the extra wandb")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_wandb_writes_a_run_in_its_offline_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench_reporters.wandb_reporter import open_run

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    reporter = open_run("lgg/unet/default/fold0/seed0", {"fold": 0})
    reporter.epoch(0, {"train_loss": 0.5})
    reporter.end("done", {"dice": 0.75})
    (stored,) = tmp_path.rglob("*.wandb")
    assert b"train_loss" in stored.read_bytes()


def test_wandb_gets_settings_epochs_and_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench_reporters.wandb_reporter import WandbReporter

    class Run:
        def __init__(self) -> None:
            self.rows: list[dict[str, float]] = []
            self.summary: dict[str, Any] = {}
            self.exit_code = -1

        def log(self, row: dict[str, float]) -> None:
            self.rows.append(row)

        def finish(self, *, exit_code: int) -> None:
            self.exit_code = exit_code

    run = Run()
    reporter = WandbReporter(run)
    reporter.epoch(3, {"train_loss": 0.5})
    reporter.end("failed", {"dice": 0.75})
    assert run.rows == [{"epoch": 3, "train_loss": 0.5}]
    assert run.summary == {"test_dice": 0.75, "status": "failed"}
    assert run.exit_code == 1


class FakeTrackio(ModuleType):
    """A module with the function of Trackio that a reporter calls; it keeps what it gets."""

    def __init__(self) -> None:
        super().__init__("trackio")
        self.opened: dict[str, Any] = {}
        self.rows: list[tuple[int | None, dict[str, Any]]] = []
        self.is_finished = False

    def init(self, project: str, **options: Any) -> FakeTrackio:
        print("* Trackio project initialized")  # noqa: T201 as the library does
        self.opened = {"project": project, **options}
        return self

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        self.rows.append((step, values))

    def finish(self) -> None:
        self.is_finished = True


def test_trackio_gets_settings_epochs_and_scores(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchbench_reporters.trackio_reporter import open_run

    fake = FakeTrackio()
    monkeypatch.setitem(sys.modules, "trackio", fake)
    monkeypatch.setenv("TRACKIO_PROJECT", "ours")
    reporter = open_run("lgg/unet/default/fold0/seed0", {"fold": 0})
    reporter.epoch(3, {"train_loss": 0.5})
    reporter.end("failed", {"dice": 0.75})
    assert (fake.opened["project"], fake.opened["name"]) == ("ours", "lgg/unet/default/fold0/seed0")
    assert fake.opened["config"] == {"fold": 0}
    assert "space_id" not in fake.opened
    assert fake.rows == [(3, {"train_loss": 0.5}), (None, {"status": "failed", "test_dice": 0.75})]
    assert fake.is_finished
    assert not capsys.readouterr().out


def test_trackio_sends_nothing_to_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench_reporters.trackio_reporter import open_run

    fake = FakeTrackio()
    monkeypatch.setitem(sys.modules, "trackio", fake)
    monkeypatch.setenv("TRACKIO_SPACE_ID", "someone/space")
    with pytest.raises(ValueError, match="TRACKIO_SPACE_ID is set"):
        open_run("run", {})
    assert not fake.opened


@pytest.mark.skipif(find_spec("trackio") is None, reason="needs the extra trackio")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_trackio_writes_a_run_to_its_database(tmp_path: Path) -> None:
    code = (
        "from benchbench_reporters.trackio_reporter import open_run\n"
        "reporter = open_run('lgg/unet/default/fold0/seed0', {'fold': 0})\n"
        "reporter.epoch(0, {'train_loss': 0.5})\n"
        "reporter.end('done', {'dice': 0.75})\n"
    )
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path)}  # the folder is read when the library is imported
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "benchbench.db")) as database:
        rows = database.execute("select run_name, step, metrics from metrics order by id").fetchall()
    assert [row[:2] for row in rows] == [("lgg/unet/default/fold0/seed0", 0), ("lgg/unet/default/fold0/seed0", 1)]
    assert json.loads(rows[0][2]) == {"train_loss": 0.5}
    assert json.loads(rows[1][2]) == {"status": "done", "test_dice": 0.75}
