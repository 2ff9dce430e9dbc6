"""[tune]: trials on the inner validation, the same after any interruption, under an equal budget for every model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from carry import Recorder, carry
from commands import benchbench
from test_plan import FILE, plan
from toy_benchmark import PAIR, write_benchmark, write_data

from benchbench.engine.devices.settings import ComputeSettings
from benchbench.engine.inference.predict import Predictor
from benchbench.errors import SpecError, UsageError
from benchbench.launch.job_file import read_job_file, runs_of
from benchbench.plan.run import RunKey
from benchbench.plan.settings import own_settings
from benchbench.prediction.runs import Row, choose_runs
from benchbench.prediction.trained import open_trained
from benchbench.records.folder import ResultsFolder, benchmark_folders
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder
from benchbench.records.trial_counts import count_trials
from benchbench.registry.registry import discover
from benchbench.report.page.tuned import tuned_tables
from benchbench.run.members import read_weights
from benchbench.run.trial_journal import Trial, TrialJournal, check_optuna, ranked
from benchbench.spec.benchmark import read_benchmark
from benchbench.spec.tuning import Budget, TunedValues, Tuning
from benchbench.tables.results import read_results
from benchbench.tables.tuning import spent_table, trial_table

pytest.importorskip("optuna", reason="needs the extra tune")

SPACE = """
[tune]
trials = 3
seed = 1
startup = 1
ensemble = 2
[tune.space]
"protocol.optimizer.lr" = { low = 1e-4, high = 1e-1, log = true }
"""
PLANNED = FILE + SPACE
ONE = PAIR.replace('[[ensembles]]\nname = "both"\n', "").replace('[[models]]\nname = "plain_too"\n', "")
ONE = (
    ONE.replace("folds = 2", "folds = 1\ntest = 0.25").replace("epochs = 2", 'epochs = 1\nselect = "loss"') + SPACE
)
ONE += '"models.plain.width" = { choices = [2, 4, 6] }\n'
SAVE_EACH_STEP = ComputeSettings(resume_seconds=0.0)


def tuned_record(folder: ResultsFolder, model: str = "plain (tuned)", fold: int = 0) -> Record:
    record = folder.run(RunKey("squares", model, "default", fold, 0)).read_record()
    assert record is not None
    assert record.status == "done", record.reason
    return record


def outcome(folder: ResultsFolder, model: str = "plain (tuned)", fold: int = 0) -> Any:
    """All that tuning decides: the trials without their seconds, the choice, and the weights."""
    record = tuned_record(folder, model, fold)
    trials = [
        {name: value for name, value in trial.items() if name != "spent"} for trial in record.tuning["trials"]
    ]
    weights = {name: digest for name, digest in record.files.items() if name.endswith(".safetensors")}
    return trials, record.tuning["chosen"], weights


def poison(data: Path, cases: set[str]) -> None:
    """Swap foreground and background of the labels of some cases."""
    for case in cases:
        path = data / "squares" / f"{case}.npz"
        with np.load(path) as stored:
            np.savez(path, image=stored["image"], label=1 - stored["label"])


@pytest.mark.usefixtures("without_page")
def test_a_search_that_was_killed_twice_on_poisoned_test_labels_has_the_same_trials_choice_and_weights(
    tmp_path: Path,
) -> None:
    file, data = write_benchmark(tmp_path, ONE), write_data(tmp_path)
    folder, records, _ = carry(file, data, tmp_path / "whole")
    assert [record.status for record in records if record] == ["done"] * 3
    clean = pd.read_parquet(folder.run(RunKey("squares", "plain (tuned)", "default", 0, 0)).path / "cases.parquet")

    poison(data, set(clean["case"]))
    events = 0

    def stop(self: Recorder, key: RunKey, event: Any) -> None:
        nonlocal events
        events += key.model == "plain (tuned)"
        if events in {3, 9}:  # in the middle of a trial, each time
            events += 1
            raise KeyboardInterrupt

    only = ["model=plain (tuned)"]
    with mock.patch.object(Recorder, "on_run_event", stop):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                carry(file, data, tmp_path / "killed", only=only, settings=SAVE_EACH_STEP)
    killed, records, _ = carry(file, data, tmp_path / "killed")
    for model in ("plain (tuned)", "plain (tuned + ensembled)"):
        assert outcome(killed, model) == outcome(folder, model)
    poisoned = pd.read_parquet(
        killed.run(RunKey("squares", "plain (tuned)", "default", 0, 0)).path / "cases.parquet"
    )
    assert not poisoned["fn"].equals(clean["fn"])
    check_rows(folder)


def check_rows(folder: ResultsFolder) -> None:
    """Check the tables and files of the whole search."""
    record, together = tuned_record(folder), tuned_record(folder, "plain (tuned + ensembled)")
    trials = record.tuning["trials"]
    best = ranked([Trial(**trial) for trial in trials])
    assert record.tuning["chosen"] == best[0].number
    assert together.tuning["chosen"] == [trial.number for trial in best[:2]]
    assert trials[0]["settings"] == {"model.width": 4, "protocol.optimizer.lr": 1e-2}  # those of the file
    run = folder.run(record.key)
    assert sorted(path.name for path in (run.path / "tuning").iterdir()) == sorted(
        ["journal.log", *(f"trial_{trial.number:04}" for trial in best[:2])]
    )
    widths = [trial.settings["model.width"] for trial in best[:2]]
    for rank, width in enumerate(widths):
        name = f"best_{rank + 1}.safetensors" if rank else "best.safetensors"
        saved = read_weights(folder.run(together.key).path / name, key=together.key, digest=together.digest)
        assert saved.weights["0.weight"].shape[0] == width
    results = read_results(folder)
    table = trial_table(results)
    assert len(table) == len(pd.read_csv(folder.path / "tuning.csv")) == 3
    assert table["chosen"].tolist() == [int(trial["number"] == best[0].number) for trial in trials]
    (spent,) = spent_table(results, "squares").to_dict("records")
    assert (spent["budget"], spent["trials"], spent["failed"], spent["epochs"]) == ("3 trials", 3, 0, 3)
    assert spent["trial_seconds"] == pytest.approx(record.cost["train_seconds"])
    (page_table,) = tuned_tables(results)
    assert page_table.caption == "Tuning on the inner validation of squares: 3 trials for each run"
    headings = [heading.text for heading in page_table.headings]
    assert headings == [
        *("Row", "Fold", "Trials", "Epochs", "Training (s)"),
        *("Score of the file's settings", "Score of the chosen", "Settings"),
    ]
    assert (spent["file_score"], spent["chosen_score"]) == (trials[0]["value"], best[0].value)
    check_reuse(folder, widths)
    marks = pd.read_csv(folder.path / "leaderboard.csv").set_index("model")["own_settings"].dropna().to_dict()
    assert marks == {
        "plain": "default",
        "plain (tuned)": "tuned: 3 trials of width, optimizer.lr",
        "plain (tuned + ensembled)": "tuned and ensembled: best 2 of 3 trials of width, optimizer.lr",
    }


def check_reuse(folder: ResultsFolder, widths: list[int]) -> None:
    """Check that other machines can carry out the runs, and that both rows can predict."""
    planned = {run.key: run.tuning for run in runs_of(read_job_file(folder), folder)}  # raises for another digest
    kinds = [tuning.kind for tuning in planned.values() if tuning]
    assert kinds == ["tuned", "ensembled"]
    for row, expected in (("plain (tuned)", widths[:1]), ("plain (tuned + ensembled)", widths)):
        runs = choose_runs(row, Row(results=folder.path))
        (predictor,) = open_trained(runs, discover(["toy"]), torch.device("cpu")).predictors.values()
        assert isinstance(predictor, Predictor)
        assert [model[0].out_channels for model in predictor.models] == expected


@pytest.mark.usefixtures("without_report")
def test_failed_trials_are_counted_and_named_and_the_others_decide(tmp_path: Path) -> None:
    text = ONE.replace(
        '"models.plain.width" = { choices = [2, 4, 6] }', '"models.plain.explode" = { choices = ["nan", "raise"] }'
    )
    text = text.replace("ensemble = 2", "ensemble = 0")
    folder, records, _ = carry(write_benchmark(tmp_path, text), write_data(tmp_path), tmp_path, only=["fold=0"])
    assert len([record for record in records if record]) == 2  # without the row of the best trials together
    first, *others = tuned_record(folder).tuning["trials"]
    assert first["value"] is not None
    for trial in others:
        assert trial["value"] is None
        reason = {"nan": "diverged: ", "raise": "RuntimeError: the model fell over"}[
            trial["settings"]["model.explode"]
        ]
        assert trial["reason"].startswith(reason)
    assert tuned_record(folder).tuning["chosen"] == 0


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "trials = 3",
            "trials = 0",
            "b.toml:17: tune.trials: input should be greater than or equal to 1, found 0",
        ),
        ("trials = 3", "", "tune: found no budget; give one of trials, epochs and seconds, equal for all models"),
        ("trials = 3", "trials = 3\nepochs = 9", "tune: found trials and epochs; give one of"),
        ("trials = 3", "trails = 3", "tune.trails: no such key; did you mean 'trials'?"),
        (
            "high = 1e-1",
            "high = 1e-4",
            "found low = 0.0001 and high = 0.0001, an empty range; low must be smaller",
        ),
        ("low = 1e-4", "low = 0", "found low = 0 with log = true, expected a number above 0"),
        ("low = 1e-4, high = 1e-1, log = true", "choices = [0.1]", "choices: tuple should have at least 2 items"),
        ("low = 1e-4, ", "", "found no values; give low and high, or choices"),
        (
            "optimizer.lr",
            "optimizer.lrs",
            "b.toml:22: tune.space.protocol.optimizer.lrs: protocol.optimizer.lrs: no such key; did you mean 'lr'?",
        ),
        (
            "low = 1e-4, high = 1e-1, log = true",
            "low = -1, high = 1",
            "protocol.optimizer.lr: input should be greater than 0, found -1",
        ),
        (
            "protocol.optimizer.lr",
            "optimizer.lr",
            "tune.space: found 'optimizer.lr': begin with protocol. or models.NAME.",
        ),
        (
            "protocol.optimizer.lr",
            "models.plian.width",
            "tune.space: found 'models.plian.width': no such model; did you mean 'plain'?",
        ),
        (
            '"protocol.optimizer.lr" = { low = 1e-4, high = 1e-1, log = true }',
            '"models.plain.width" = { low = 2, high = 8 }',
            "tune.space: nothing to tune for model 'grand'",
        ),
        (
            "protocol.optimizer.lr",
            "models.plain.widht",
            "tune.space.models.plain.widht: no such parameter; did you mean 'width'?",
        ),
        ("protocol.optimizer.lr", "protocol.folds", "tune.space.protocol.folds: the same for all trials"),
        ("protocol.optimizer.lr", "protocol.patch", "tune.space.protocol.patch: the same for all trials"),
        (
            '"protocol.optimizer.lr" = { low = 1e-4, high = 1e-1, log = true }',
            '"protocol.loss" = { choices = ["bce", "ce"] }',
            "found 'ce', a softmax, but 'dice' of [protocol] is a sigmoid",
        ),
        (
            "batch = 4",
            'batch = 4\nselect_on = "report"',
            "tune: protocol.select_on is 'report', which chooses on the test cases",
        ),
        (
            "batch = 4",
            "batch = 4\nworld_size = 2",
            "tune: 'plain' is trained by 2 processes, expected one per trial",
        ),
        (
            '"plain"',
            '"plain"\nlabel = "grand (tuned)"',
            "tune: a row is called 'grand (tuned)' already; rename it",
        ),
    ],
)
def test_a_mistake_in_the_space_or_the_budget_is_one_line(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, text=PLANNED.replace(old, new))
    lines = [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]
    assert [line for line in lines if expected in line] == lines[:1], lines
    assert "\n" not in lines[0]


def test_every_model_has_three_rows_and_the_same_budget(tmp_path: Path) -> None:
    text = PLANNED.replace('"plain"', '"plain"\ndefaults_from = "Smith 2020"', 1)
    text += '"models.plain.protocol.optimizer.lr" = { choices = [0.5, 1.0] }\n"models.grand.width" = { low = 2, high = 8, step = 2 }\n'
    runs = {run.model.row: run for run in plan(tmp_path, text=text)}
    assert set(runs) == {
        f"{model}{kind}" for model in ("plain", "grand") for kind in ("", " (tuned)", " (tuned + ensembled)")
    }
    spaces = {
        row: list(run.tuning.space) for row, run in runs.items() if run.tuning and run.tuning.kind == "tuned"
    }
    assert spaces == {
        "plain (tuned)": ["protocol.optimizer.lr"],
        "grand (tuned)": ["model.width", "protocol.optimizer.lr"],
    }
    plain, grand = runs["plain (tuned)"].tuning, runs["grand (tuned)"].tuning
    assert plain is not None
    assert grand is not None
    assert plain.space["protocol.optimizer.lr"].choices == (0.5, 1.0)
    assert (plain.budget, grand.budget) == ("3 trials", "3 trials")
    assert [member.model.row for member in runs["plain (tuned + ensembled)"].members] == ["plain (tuned)"]
    plain_runs = {run.model.row: run for run in plan(tmp_path, text=FILE)}
    assert runs["plain"].digest == plain_runs["plain"].digest  # trained once, with or without [tune]
    path = tmp_path / "b.toml"
    path.write_text(text)
    texts = own_settings(read_benchmark(path, check=lambda *_: ()), list(runs.values()))["default"]
    assert texts["plain"].text == "default of Smith 2020"
    assert texts["grand"].text == "default"
    small = plan(tmp_path, "tune.epochs=50", text=text.replace("trials = 3", "epochs = 9"), rehearse=True)
    assert {run.tuning.budget for run in small if run.tuning} == {"2 trials"}


@pytest.mark.parametrize(
    ("budget", "spent", "is_allowed"),
    [
        (Budget(trials=2), {"trials": 1, "epochs": 99, "seconds": 99.0}, True),
        (Budget(trials=2), {"trials": 2, "epochs": 0, "seconds": 0.0}, False),
        (Budget(epochs=20), {"trials": 5, "epochs": 10, "seconds": 99.0}, True),
        (Budget(epochs=20), {"trials": 5, "epochs": 11, "seconds": 0.0}, False),
        (Budget(epochs=5), {"trials": 0, "epochs": 0, "seconds": 0.0}, True),  # that of the file is always trained
        (Budget(seconds=5.0), {"trials": 1, "epochs": 0, "seconds": 4.9}, True),
        (Budget(seconds=5.0), {"trials": 1, "epochs": 0, "seconds": 5.0}, False),
    ],
)
def test_a_trial_starts_while_the_budget_lasts(budget: Budget, spent: Mapping[str, Any], is_allowed: bool) -> None:
    assert budget.allows(**spent, next_epochs=10) == is_allowed


def carry_out_trials(folder: Path, total: int, *, reopens: bool) -> list[Trial]:
    """Carry out trials of a function, with the journal opened again before each one or not."""
    space = {
        "model.width": TunedValues(low=2, high=8),
        "protocol.optimizer": TunedValues(choices=({"name": "adam", "lr": 0.1}, {"name": "sgd", "lr": 0.2})),
        "protocol.optimizer.lr": TunedValues(low=1e-4, high=1e-1, log=True),
    }
    tuning = Tuning(
        trials=total, kind="tuned", model="m", seed=1, sampler="tpe", startup=2, ensemble=2, space=space
    )
    folder.mkdir(exist_ok=True)

    def opened(tag: str = "a b") -> TrialJournal:
        present = {"model.width": 4, "protocol.optimizer": None, "protocol.optimizer.lr": 1.0}  # two are outside
        return TrialJournal(RunFolder(folder), tuning, present, seed=3, tag=tag)

    journal = opened()
    for number in range(total):
        if reopens:
            path = folder / "tuning" / "journal.log"
            path.write_bytes(path.read_bytes() + b'{"op_code": 4, "wor')  # what a power cut leaves
            (path.parent / "journal.log.lock").touch()
            journal = opened()
        trial = journal.next_trial()
        assert trial.number == number
        width, rate = trial.settings["model.width"], trial.settings["protocol.optimizer.lr"]
        value = None if number == 2 else -abs(width - 5) - rate
        journal.add(Trial(number=number, settings=trial.settings, value=value, reason="" if value else "why"))
    trials = journal.trials
    assert opened("another run").trials == []  # its trials are not those of this run
    return trials


def test_the_next_trial_depends_on_the_ended_ones_and_the_seed_alone(tmp_path: Path) -> None:
    trials = carry_out_trials(tmp_path / "whole", 5, reopens=False)
    assert carry_out_trials(tmp_path / "parts", 5, reopens=True) == trials
    assert trials[2].state == "failed"
    assert isinstance(trials[1].settings["protocol.optimizer"], dict)
    assert len({json.dumps(trial.settings) for trial in trials}) == 5


def test_a_trial_with_the_settings_of_an_earlier_one_takes_its_value(tmp_path: Path) -> None:
    space = {"model.width": TunedValues(choices=(2, 4))}
    tuning = Tuning(
        trials=9, kind="tuned", model="m", seed=1, sampler="random", startup=1, ensemble=3, space=space
    )
    journal = TrialJournal(RunFolder(tmp_path), tuning, {"model.width": 4}, seed=0, tag="t")
    for _ in range(6):
        trial = journal.next_trial()
        value = trial.value if trial.same_as is not None else float(trial.settings["model.width"])
        journal.add(Trial(number=trial.number, settings=trial.settings, value=value, same_as=trial.same_as))
    assert [trial.settings["model.width"] for trial in ranked(journal.trials)] == [4, 2]
    repeated = [trial for trial in journal.trials if trial.same_as is not None]
    assert len(repeated) == 4
    assert all(trial.value == trial.settings["model.width"] for trial in repeated)


def test_without_optuna_a_run_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        UsageError, match=r"\[tune\] needs optuna, which is not installed; pip install 'benchbench\[tune\]'"
    ):
        check_optuna()


@pytest.mark.usefixtures("few_plugins")
def test_plan_prints_the_budget_and_the_space(tmp_path: Path) -> None:
    write_benchmark(tmp_path, ONE)
    done = benchbench("plan", "squares.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert (
        "plain (tuned), variant default: 3 trials in the one fold (sampler tpe, seed 1): model.width 2 | 4 | 6;"
        " protocol.optimizer.lr 0.0001 to 0.1, log"
    ) in text
    document = json.loads(benchbench("plan", "squares.toml", "--format", "json", cwd=tmp_path).stdout)
    assert len(document["trials"]) == 1
    assert document["runs"][0]["own_settings"] == "default"


CARRY = """
import sys
from pathlib import Path
from unittest import mock
from carry import carry

place = Path(sys.argv[1])
launch = "benchbench.launch.orchestrate."
with mock.patch(launch + "write_tables"), mock.patch(launch + "write_page"), mock.patch(launch + "write_index"):
    carry(place / "squares.toml", place.parent / "data", place, jobs=2)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)  # three commands, each of which imports torch several times
def test_two_models_of_six_trials_killed_twice_make_the_same_choice(tmp_path: Path) -> None:
    text = PAIR.replace('[[ensembles]]\nname = "both"\n', "") + SPACE.replace("trials = 3", "trials = 6")
    text = text.replace("folds = 2", 'folds = 1\ntest = 0.25\nselect = "loss"')
    write_data(tmp_path)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "TOY_SECONDS_PER_STEP": "0.02"}
    outcomes = []
    for name in ("whole", "killed"):
        place = tmp_path / name
        place.mkdir()
        write_benchmark(place, text)
        command = [sys.executable, "-c", CARRY, str(place)]
        for ended in (3, 8) if name == "killed" else ():
            process = subprocess.Popen(command, env=environment, start_new_session=True)
            wait_for_trials(place, ended, process)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        subprocess.run(command, env=environment, check=True)
        folder = ResultsFolder(place / "results" / "squares")
        rows = [f"{model} ({kind})" for model in ("plain", "plain_too") for kind in ("tuned", "tuned + ensembled")]
        outcomes.append([outcome(folder, row) for row in rows])
    assert [len(trials) for trials, _, _ in outcomes[0]] == [6, 0, 6, 0]
    assert outcomes[0] == outcomes[1]


def wait_for_trials(place: Path, ended: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the journals have so many trials together."""
    while process.poll() is None:
        journals = place.glob("results/squares/runs/*/*/*/*/tuning/journal.log")
        if sum(journal.read_bytes().count(b'"op_code":4') for journal in journals) >= ended:
            return
        time.sleep(0.02)
    raise AssertionError("the runs ended before they were killed")


def test_status_counts_the_trials_that_have_ended(tmp_path: Path) -> None:
    assert count_trials(tmp_path) == ""
    for budget, expected in ((Budget(trials=3), "2 of 3 trials"), (Budget(epochs=9), "2 in 9 epochs")):
        folder = RunFolder(tmp_path / expected)
        folder.path.mkdir()
        space = {"protocol.optimizer.lr": TunedValues(low=0.1, high=1.0)}
        choice = {"kind": "tuned", "model": "m", "seed": 1, "sampler": "tpe", "startup": 2, "ensemble": 0}
        tuning = Tuning.model_validate({**choice, "space": space, **budget.model_dump()})
        journal = TrialJournal(folder, tuning, {"protocol.optimizer.lr": 0.5}, seed=0, tag="tag")
        for number in range(2):
            journal.add(Trial(number=number, settings={"protocol.optimizer.lr": 0.5}, value=0.1))
        with (folder.path / "tuning" / "journal.log").open("a") as file:
            file.write('{"op_code": 4, "work')  # a line that is being written
        assert count_trials(folder.path) == expected


@pytest.mark.slow
def test_a_planned_benchmark_is_tuned_by_work_as_by_run(tmp_path: Path) -> None:
    file, data = write_benchmark(tmp_path, ONE), write_data(tmp_path)
    words = ["--data-root", data, "--cache", tmp_path / "cache"]
    expected = outcome(carry(file, data, tmp_path / "run")[0])
    planned = benchbench("plan", file, "--write", *words, "--results", tmp_path / "work", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    (folder,) = benchmark_folders(tmp_path / "work")
    done = benchbench(
        "work",
        folder.path,
        "--until-empty",
        "--jobs",
        0,
        "--device",
        "cpu",
        "--cache",
        tmp_path / "other",
        "--data-root",
        data,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert outcome(folder) == expected
    assert "3 of 3 trials" in benchbench("status", folder.path, cwd=tmp_path).stdout
    # the first trial is the training of the default row
    default = pd.read_csv(folder.run(RunKey("squares", "plain", "default", 0, 0)).path / "history.csv")
    first = tuned_record(folder).tuning["trials"][0]
    assert first["value"] == pytest.approx(-default["validation_loss"].min(), abs=1e-12)


@pytest.mark.slow
def test_tuned_rows_choose_thresholds_over_all_folds(tmp_path: Path) -> None:
    text = ONE.replace("folds = 1\ntest = 0.25", "folds = 2")
    text = text.replace("\n[tune]", "\n[protocol.postprocess]\nsearch = { over = 'folds' }\n\n[tune]", 1)
    folder, *_ = carry(write_benchmark(tmp_path, text), write_data(tmp_path), tmp_path)
    for row in ("plain", "plain (tuned)", "plain (tuned + ensembled)"):
        both = [folder.run(RunKey("squares", row, "default", fold, 0)).read_record() for fold in (0, 1)]
        assert [record and record.status for record in both] == ["done", "done"]
        first, second = (record.postprocess for record in both if record)
        assert first == second
        assert all(len(record.searched) == 2 for record in both if record)
