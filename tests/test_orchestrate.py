"""Tests that carry out whole benchmarks of a third-party plugin, in this process and in workers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from carry import Recorder, carry, tables
from commands import benchbench
from toy_benchmark import PAIR, Finished, write_benchmark, write_data

from benchbench import CaseRef
from benchbench.cli import _TerminatedError
from benchbench.data.folds import PARTS, make_folds
from benchbench.engine.devices.settings import ComputeSettings
from benchbench.errors import BenchbenchError, DataError, IntegrityError, SpecError
from benchbench.launch import RunEvent
from benchbench.metrics.masks import pack, unpack
from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.merging import merge
from benchbench.records.record import Record
from benchbench.report import write_report

pytestmark = pytest.mark.usefixtures("without_figures")
tables_only = pytest.mark.usefixtures("without_page")
records_only = pytest.mark.usefixtures("without_report")

FIRST = RunKey("squares", "plain", "default", 0, 0)


def record_of(finished: Finished) -> Record:
    record = finished.folder.run(FIRST).read_record()
    assert record
    return record


def test_a_benchmark_writes_all_files(finished: Finished) -> None:
    folder = finished.folder
    assert record_of(finished).status == "done"
    assert len(list(finished.cache.glob("prepared/*/*/case.json"))) == 4
    run = folder.run(FIRST).path
    left = {path.name for path in run.iterdir() if not path.name.startswith((".", "events"))}
    tables = {"cases.parquet", "slices.parquet", "predictions.parquet", "pictures.parquet", "planes.parquet"}
    assert left == tables | {"run.json", "split.csv", "history.csv", "best.safetensors", "previews"}
    assert {path.name for path in (run / "previews").iterdir()} == {"best.png", "median.png", "worst.png"}
    cases = pd.read_parquet(run / "cases.parquet")
    slices = pd.read_parquet(run / "slices.parquet")
    counts = ["tp", "fp", "fn", "tn"]
    assert (cases[counts].sum(axis=1) == 3 * 32 * 32).all()
    assert slices.groupby("case")[counts].sum().equals(cases.set_index("case")[counts].sort_index())
    history = pd.read_csv(run / "history.csv")
    assert list(history["epoch"]) == [0, 1]
    folds = pd.read_csv(folder.path / "folds.csv")
    expected = 2 * cases["tp"] / (2 * cases["tp"] + cases["fp"] + cases["fn"])
    assert folds["dice"][0] == pytest.approx(expected.mean(), abs=1e-6)


@tables_only
def test_a_distance_added_later_is_measured_without_training_again(finished: Finished, tmp_path: Path) -> None:
    ask = 'protocol.metrics=["dice", "hd95", "nsd@2", "lesion_dice@gli"]'
    first = record_of(finished)
    copy = finished.copy(tmp_path)
    run = copy.folder.run(FIRST)
    weights, counts = run.digest_of("best.safetensors"), pd.read_parquet(run.path / "cases.parquet")
    folder, (second, _), recorder = carry(copy.file, copy.data, tmp_path, ask)
    assert recorder.todo == 2
    assert second is not None
    assert (second.digest, second.seconds, second.epochs) == (first.digest, first.seconds, first.epochs)
    assert second.provenance["measured"]["metrics"] == ["hd95", "nsd@2", "lesion_dice@gli"]
    assert run.digest_of("best.safetensors") == weights
    cases = pd.read_parquet(run.path / "cases.parquet")
    assert cases.drop(columns=["hd95_px", "nsd@2_px", "lesion_dice@gli_px"]).equals(counts)
    board = (folder.path / "leaderboard.md").read_text()
    assert "hd95_px" in board
    assert "lesion_dice@gli_px" in board
    assert carry(copy.file, copy.data, tmp_path, ask)[2].todo == 0
    fresh, *_ = carry(copy.file, copy.data, tmp_path / "fresh", ask)
    assert pd.read_parquet(fresh.run(second.key).path / "cases.parquet").equals(cases)


def read_events(run: Path) -> dict[str, dict[int, float]]:
    """Return what TensorBoard reads: name -> epoch -> value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run)).Reload()
    return {name: {event.step: event.value for event in events.Scalars(name)} for name in events.Tags()["scalars"]}


@records_only
def test_tensorboard_has_all_columns_of_the_history(benchmark_file: Path, squares: Path, tmp_path: Path) -> None:
    early = "protocol.early_stopping={ patience = 9 }"
    plateau = 'protocol.schedule={ name = "plateau", patience = 1 }'
    folder, _, _ = carry(benchmark_file, squares, tmp_path, early, plateau, only=["fold=0"])
    run = folder.run(FIRST).path
    history = pd.read_csv(run / "history.csv").set_index("epoch")
    assert history.pop("energy_wh").isna().all()  # not measured on a CPU, so TensorBoard has no such curve
    assert {"lr", "is_best", "validations_without_gain", "train_loss"} <= set(history)
    events = read_events(run)
    assert events.keys() == set(history)
    for name, values in events.items():
        assert values == pytest.approx(dict(history[name]), rel=1e-5, nan_ok=True), name


def test_a_run_that_is_validated_rarely_is_stopped_early_and_done(
    benchmark_file: Path, squares: Path, tmp_path: Path, without_report: None
) -> None:
    sets = ("protocol.early_stopping={ patience = 1 }", "protocol.validate_every=3", "protocol.epochs=12")
    # the Dice cannot rise where nothing is learnt
    never = ('protocol.optimizer={ name = "sgd", lr = 1e-12 }', "models.plain.norm=false")
    _, (record,), _ = carry(benchmark_file, squares, tmp_path, *sets, *never, only=["fold=0"])
    assert record is not None
    assert (record.status, record.epochs, record.best_epoch) == ("done", 6, 2)


def test_records_name_no_path_user_or_host(finished: Finished) -> None:
    import getpass
    import socket

    folder = finished.folder
    for path in [*folder.path.glob("*.*"), *folder.path.rglob("run.json"), *folder.path.rglob("*.md")]:
        text = path.read_text()
        for private in (str(finished.root), str(Path.home()), getpass.getuser() + "@", socket.gethostname() + "."):
            assert private not in text, path.name
    assert not [path for path in folder.path.rglob("*") if socket.gethostname() in path.name.split(".")]


def test_the_same_command_again_runs_nothing_and_writes_the_same_tables(
    finished: Finished, tmp_path: Path
) -> None:
    copy = finished.copy(tmp_path)
    before = tables(copy.folder)
    shutil.rmtree(copy.folder.path / "tables")
    folder, records, recorder = carry(copy.file, copy.data, tmp_path)
    assert (recorder.todo, recorder.done) == (0, 2)
    assert len(records) == 2
    assert tables(folder) == before


@records_only
def test_only_runs_with_a_changed_setting_or_file_are_repeated(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    assert carry(copy.file, copy.data, tmp_path, "protocol.empty=brats")[2].todo == 0
    assert carry(copy.file, copy.data, tmp_path, "protocol.epochs=1")[2].todo == 2
    assert carry(copy.file, copy.data, tmp_path, "models.plain.width=5", only=["fold=1"])[2].todo == 1
    carry(copy.file, copy.data, tmp_path)
    path = copy.data / "squares" / "patient00-a.npz"
    with np.load(path) as stored:
        np.savez(path, image=stored["image"] + np.uint8(1), label=stored["label"])
    assert carry(copy.file, copy.data, tmp_path)[2].todo == 2


@records_only
def test_variants_with_and_without_denoising_are_prepared_separately(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    variants = '[[variants]]\nlabel = "{0}"\nset = {{ "protocol.denoise" = "{1}" }}\n'
    text = variants.format("raw", "none") + variants.format("smooth", "tv")
    benchmark_file.write_text(benchmark_file.read_text() + text)
    folder, records, recorder = carry(benchmark_file, squares, tmp_path, only=["fold=0"])
    assert recorder.prepared_cases == 2 * 4
    raw, smooth = (record for record in records if record)
    assert (raw.variant, smooth.variant) == ("raw", "smooth")
    assert raw.digest != smooth.digest
    assert raw.data_digest == smooth.data_digest
    weights = [folder.run(record.key).digest_of("best.safetensors") for record in (raw, smooth)]
    assert weights[0] != weights[1]


@records_only
def test_poisoned_test_labels_do_not_change_the_weights(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    folder = copy.folder
    clean = (folder.run(FIRST).path / "best.safetensors").read_bytes()
    clean_history = pd.read_csv(folder.run(FIRST).path / "history.csv").drop(columns=["seconds", "cpu_seconds"])
    clean_counts = pd.read_parquet(folder.run(FIRST).path / "cases.parquet")
    tested = set(clean_counts["case"])
    assert tested
    for case in tested:
        path = copy.data / "squares" / f"{case}.npz"
        with np.load(path) as stored:
            np.savez(path, image=stored["image"], label=1 - stored["label"])
    folder, _, recorder = carry(copy.file, copy.data, tmp_path, only=["fold=0"])
    assert recorder.todo == 1
    assert (folder.run(FIRST).path / "best.safetensors").read_bytes() == clean
    assert (
        pd.read_csv(folder.run(FIRST).path / "history.csv")
        .drop(columns=["seconds", "cpu_seconds"])
        .equals(clean_history)
    )
    assert not pd.read_parquet(folder.run(FIRST).path / "cases.parquet").equals(clean_counts)


@records_only
def test_poisoned_validation_labels_change_the_validation_and_no_weights(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    settings = {"only": ["fold=0"]}
    folder, _, _ = carry(benchmark_file, squares, tmp_path, "protocol.epochs=1", **settings)
    run = folder.run(FIRST)
    weights, history = run.digest_of("best.safetensors"), pd.read_csv(run.path / "history.csv")
    split = pd.read_csv(run.path / "split.csv")
    validated = split.loc[split["part"] == "validation", "case"]
    assert len(validated)
    for case in validated:
        path = squares / "squares" / f"{case}.npz"
        with np.load(path) as stored:
            np.savez(path, image=stored["image"], label=1 - stored["label"])
    carry(benchmark_file, squares, tmp_path, "protocol.epochs=1", **settings)
    assert run.digest_of("best.safetensors") == weights
    poisoned = pd.read_csv(run.path / "history.csv")
    assert poisoned["train_loss"].tolist() == history["train_loss"].tolist()
    assert poisoned["validation_loss"].tolist() != history["validation_loss"].tolist()


@records_only
def test_emptied_test_labels_leave_the_thresholds_and_component_sizes_that_were_searched(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    ask = ("protocol.epochs=1", "protocol.postprocess={ search = true, components = { square_0 = 5 } }")
    folder, (before, *_), _ = carry(benchmark_file, squares, tmp_path, *ask, only=["fold=0"])
    assert before is not None
    assert before.postprocess is not None
    assert before.postprocess["thresholds"] != {"square_0": 0.5}, "the search has something to choose"
    for case in set(pd.read_parquet(folder.run(before.key).path / "cases.parquet")["case"]):
        path = squares / "squares" / f"{case}.npz"
        with np.load(path) as stored:
            # a search on these cases would take a threshold that predicts nothing
            np.savez(path, image=stored["image"], label=0 * stored["label"])
    _, (after, *_), recorder = carry(benchmark_file, squares, tmp_path, *ask, only=["fold=0"])
    assert recorder.todo == 1
    assert after is not None
    assert after.postprocess == before.postprocess
    assert after.files["cases.parquet"] != before.files["cases.parquet"]


@records_only
def test_poisoned_training_labels_do_change_the_weights(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    folder = copy.folder
    clean = (folder.run(FIRST).path / "best.safetensors").read_bytes()
    tested = set(pd.read_parquet(folder.run(FIRST).path / "cases.parquet")["case"])
    for path in (copy.data / "squares").glob("*.npz"):
        if path.stem not in tested:
            with np.load(path) as stored:
                np.savez(path, image=stored["image"], label=1 - stored["label"])
    folder, _, _ = carry(copy.file, copy.data, tmp_path, only=["fold=0"])
    assert (folder.run(FIRST).path / "best.safetensors").read_bytes() != clean


@records_only
def test_a_byte_that_changed_in_the_cache_changes_no_score(
    finished: Finished, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = finished.copy(tmp_path)
    run = copy.folder.run(FIRST)
    weights, scores = run.digest_of("best.safetensors"), run.digest_of("cases.parquet")
    for path in copy.cache.glob("prepared/*/*/image.npy"):
        content = bytearray(path.read_bytes())
        content[-500:] = bytes(500)
        path.write_bytes(content)
    assert carry(copy.file, copy.data, tmp_path)[2].todo == 0
    assert caplog.text == ""  # nothing reads the arrays of a finished run
    shutil.rmtree(run.path)
    carry(copy.file, copy.data, tmp_path)
    assert (run.digest_of("best.safetensors"), run.digest_of("cases.parquet")) == (weights, scores)
    assert caplog.text.count("damaged in the cache, prepared again") == 4


@tables_only
def test_a_hold_out_split_tests_each_patient_of_its_part_once(
    pair_file: Path, squares: Path, tmp_path: Path
) -> None:
    sets = ["protocol.folds=1", "protocol.test=0.5", "protocol.epochs=1"]
    folder, records, _ = carry(pair_file, squares, tmp_path, *sets, only=["model=plain", "model=plain_too"])
    assert [(record.fold, record.status) for record in records if record] == [(0, "done")] * 2
    folds = pd.read_csv(folder.path / "folds.csv")
    assert folds.loc[folds["model"] == "plain", "n_cases"].tolist() == [2]
    assert "plain_too" in (folder.path / "leaderboard.md").read_text()


def test_rehearsals_have_a_folder_of_their_own_and_are_marked(benchmark_file: Path, tmp_path: Path) -> None:
    folder, _, _ = carry(benchmark_file, None, tmp_path, rehearse=True)
    assert folder.path == tmp_path / "results" / "rehearsal" / "squares"
    tables = [*folder.path.glob("*.csv"), *folder.path.glob("*.md"), *folder.path.glob("tables/*")]
    for path in tables:
        text = path.read_text()
        if len(text.splitlines()) > 1:  # a comparison of models has no rows for a single one
            assert "phantom data, not a result" in text, path.name


@records_only
def test_phantom_data_given_as_data_root_are_still_a_rehearsal(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    (squares / "squares" / "PHANTOM.json").write_text("{}")
    folder, _, _ = carry(benchmark_file, squares, tmp_path)
    assert folder.path.parent.name == "rehearsal"


@records_only
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_that_stops_between_its_last_epoch_and_its_record_keeps_its_history(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    settings = (f"protocol.epochs={epochs}",)
    file, data = finished.file, finished.data
    with monkeypatch.context() as patch:
        patch.setattr("benchbench.run.scored.evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            carry(file, data, tmp_path, *settings, only=["fold=0"])
    run = ResultsFolder(tmp_path / "results" / "squares").run(FIRST)
    history = (run.path / "history.csv").read_bytes()
    assert history.count(b"\n") == 1 + epochs
    _, (record,), _ = carry(file, data, tmp_path, *settings, only=["fold=0"])
    assert (run.path / "history.csv").read_bytes() == history
    assert record is not None
    assert record.digests["history.csv"] == run.digest_of("history.csv")
    assert not (run.path / "resume.pt").exists()


@pytest.mark.usefixtures("without_statistics")
@pytest.mark.parametrize(
    "interruption",
    [
        KeyboardInterrupt,
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in (_TerminatedError, RuntimeError)),
    ],
)
def test_an_interrupted_benchmark_leaves_a_page_and_an_index_of_the_runs_that_are_done(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    copy = finished.copy(tmp_path)
    shutil.rmtree(copy.folder.run(FIRST).path)
    (copy.folder.path / "index.html").unlink()
    (copy.results / "index.html").write_text("of another day")

    def stop(*_: object) -> None:
        raise interruption

    monkeypatch.setattr("benchbench.launch.orchestrate.launch_inline", stop)
    with pytest.raises(interruption):
        carry(copy.file, copy.data, tmp_path)
    page = (copy.folder.path / "index.html").read_text()
    assert "1 of 2 planned runs are done and scored" in page
    assert "1 of 2 runs" in (copy.results / "index.html").read_text()
    assert pd.read_csv(copy.folder.path / "folds.csv")["status"].tolist() == ["not run", "done"]


LISTED = (
    *("cases.parquet", "slices.parquet", "predictions.parquet", "pictures.parquet", "planes.parquet"),
    *("split.csv", "history.csv"),
)


@pytest.mark.parametrize("name", [*LISTED, "best.safetensors"])
def test_a_changed_byte_of_a_finished_run_is_noticed_by_run_report_and_merge(
    finished: Finished, tmp_path: Path, name: str
) -> None:
    copy = finished.copy(tmp_path)
    assert set(record_of(copy).digests) == {*LISTED, "best.safetensors"}
    path = copy.folder.run(FIRST).path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    message = rf"{name}: missing or changed since run\.json was written"
    with pytest.raises(IntegrityError, match=message):
        carry(copy.file, copy.data, tmp_path)
    with pytest.raises(IntegrityError, match=message):
        write_report(copy.folder)
    with pytest.raises(IntegrityError, match=message):
        merge([copy.folder], ResultsFolder(tmp_path / "merged"))


def test_the_split_of_every_fold_is_a_file_that_the_trust_box_links_to(finished: Finished) -> None:
    split = pd.read_csv(finished.folder.path / "split.csv")
    assert list(split) == ["dataset", "variant", "case", "patient", "fold", "part", "slices", "data"]
    for fold in make_folds([CaseRef(f"patient0{n}-a", f"patient0{n}") for n in range(4)], folds=2, validation=0.2):
        of_fold = split[split["fold"] == fold.number]
        for part in PARTS:
            cases = of_fold[of_fold["part"] == part]
            assert list(zip(cases["case"], cases["patient"], strict=True)) == list(fold.part(part))
        assert sorted(of_fold["case"]) == [f"patient0{n}-a" for n in range(4)]
    cases = pd.read_parquet(finished.folder.run(FIRST).path / "cases.parquet")
    tested = split[(split["fold"] == 0) & (split["part"] == "test")]
    assert set(cases["case"]) == set(tested["case"])
    page = (finished.folder.path / "index.html").read_text()
    assert '<a href="split.csv">split.csv</a> has the fold and part of every case and patient' in page


def test_a_forged_split_is_refused_although_its_digest_was_corrected(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    run = copy.folder.run(FIRST)
    text = (run.path / "split.csv").read_text()
    record = record_of(copy)
    for forged, problem in (
        (text.replace("test", "train"), "not the split of which run.json has the digest"),
        (text.replace("test", "seen"), "not a list of cases"),
        ("case\n1\n", "not a list of cases"),
    ):
        run.write("split.csv", forged.encode())
        run.write_record(replace(record, files={**record.files, "split.csv": run.digest_of("split.csv")}))
        with pytest.raises(IntegrityError, match=rf"split\.csv: {re.escape(problem)}"):
            write_report(copy.folder)


@records_only
def test_forged_masks_are_noticed_when_they_are_opened_although_their_digest_was_corrected(
    finished: Finished, tmp_path: Path
) -> None:
    copy = finished.copy(tmp_path)
    run, record = copy.folder.run(FIRST), record_of(copy)
    rows = run.read_table("predictions.parquet", record).to_pylist()
    mask = unpack(rows[0])
    mask[0] = np.roll(mask[0], 5, axis=0)  # as many voxels in another place
    mask[0, 0] = ~mask[0, 0]
    run.write_table("predictions.parquet", pa.Table.from_pylist([{**rows[0], **pack(mask)}, *rows[1:]]))
    files = {**record.files, "predictions.parquet": run.digest_of("predictions.parquet")}
    run.write_record(replace(record, files=files))
    with pytest.raises(IntegrityError, match=r"predictions\.parquet: case patient0\d-a: differs from slices"):
        carry(copy.file, copy.data, tmp_path, 'protocol.metrics=["dice", "hd95"]', only=["fold=0"])


@tables_only
def test_weights_that_were_deleted_to_save_space_are_no_change(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    for path in copy.folder.path.rglob("best.safetensors"):
        path.unlink()
    assert merge([copy.folder], ResultsFolder(tmp_path / "merged")).copied == 2
    assert carry(copy.file, copy.data, tmp_path)[2].todo == 0
    (copy.folder.run(FIRST).path / "history.csv").unlink()
    with pytest.raises(IntegrityError, match=r"history\.csv: missing or changed"):
        write_report(copy.folder)


@pytest.mark.slow
@records_only
def test_a_worker_imports_nothing_from_the_working_folder(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("benchbench", "toy_plugin", "json", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working folder')")
    monkeypatch.chdir(tmp_path)
    _, (record,), _ = carry(finished.file, finished.data, tmp_path, only=["fold=0"], jobs=1)
    assert record is not None
    assert record.status == "done"


@records_only
def test_a_worker_starts_without_the_working_folder_on_its_path(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def refuse(words: list[str], **_: object) -> None:
        started.append(words)
        raise FileNotFoundError(2, "No such file or directory", "python")

    monkeypatch.setattr("benchbench.launch.worker_process._servers", {})
    monkeypatch.setattr("benchbench.launch.worker_process.subprocess.Popen", refuse)
    _, _, recorder = carry(finished.file, finished.data, tmp_path, only=["fold=0"], jobs=1)
    server, worker = started  # a worker of its own where the server does not start
    assert server[:-1] == [sys.executable, "-P", "-m", "benchbench.launch.fork_server"]
    assert worker == [sys.executable, "-P", "-m", "benchbench.launch.worker"]
    assert "python: No such file or directory" in str(recorder.events[-1][1])


@records_only
def test_the_record_and_log_of_another_process_at_the_same_run_stay(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchbench.launch.process.LOCK_SECONDS", 0)
    folder = ResultsFolder(tmp_path / "results" / "squares").run(FIRST)
    with folder.lock(0):
        (folder.path / "worker.log").write_text("of the other process")
        _, (record,), recorder = carry(finished.file, finished.data, tmp_path, only=["fold=0"], jobs=1)
    assert record is None
    assert [str(event).partition(": ")[2] for _, event in recorder.events] == [
        "another process is at this run; wait for it or stop it"
    ]
    assert (folder.path / "worker.log").read_text() == "of the other process"


@pytest.mark.usefixtures("card_only")
def test_a_model_whose_build_exits_fails_with_its_name_and_the_others_are_done(
    finished: Finished, tmp_path: Path
) -> None:
    file = write_benchmark(tmp_path, PAIR)
    words = ["--data-root", finished.data, "--jobs", 0, "--only", "fold=0", "--set", "protocol.epochs=1"]
    done = benchbench("run", file, *words, "--set", 'models.plain.explode="build exits"', cwd=tmp_path)
    assert done.returncode == 1
    reason = "model 'plain': building it ends the process with exit code 3"
    assert f"note: {reason}; correct or uninstall its plugin; its runs fail" in done.stderr
    folder = ResultsFolder(tmp_path / "results" / "squares")
    states = {key.model: folder.run(key).read_record() for key in (FIRST, FIRST._replace(model="plain_too"))}
    assert {model: record and record.status for model, record in states.items()} == {
        "plain": "failed",
        "plain_too": "done",
    }
    assert reason in (states["plain"] or record_of(finished)).reason


def test_a_model_whose_build_exits_does_not_end_show_or_check(tmp_path: Path) -> None:
    for command in ("show", "check"):
        done = benchbench(command, "plain", "--set", "explode=build exits", cwd=tmp_path)
        assert done.returncode == 2
        assert "error: model 'plain': building it ends the process with exit code 3" in done.stderr


@records_only
def test_a_dataset_that_raises_is_one_line(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("patient")

    words = ("run", benchmark_file, "--data-root", squares, "--jobs", 0)
    for name in ("cases", "files"):
        with monkeypatch.context() as patch:
            patch.setattr(f"toy_plugin.Squares.{name}", fail)
            done = benchbench(*words, cwd=tmp_path)
        assert done.returncode == 3
        assert done.stderr.splitlines()[0].startswith(f"error: squares: its plugin failed in {name}(")
        assert "KeyError: 'patient'" in done.stderr


@records_only
def test_the_reason_for_which_a_worker_left_no_record_is_that_of_the_run(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import json, sys; sys.stdin.buffer.read(1); print(json.dumps({'error': 'run.json: full'})); sys.exit(5)"
    )

    def start(_: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    monkeypatch.setattr("benchbench.launch.process.start_worker", start)
    _, (record,), _ = carry(finished.file, finished.data, tmp_path, only=["fold=0"], jobs=1)
    assert record is not None
    assert (record.status, record.reason) == ("failed", "run.json: full")


HARMLESS = ("raise", "nan")
"""Faults that do not touch the process in which they happen."""
FAULTS = (*HARMLESS, "exit", "kill", "print")


class Faulty(NamedTuple):
    """A benchmark with one run for each fault of a model, and the number of runs to do afterwards."""

    folder: ResultsFolder
    outcomes: dict[str, Record]
    todo: int
    done: int


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    root = tmp_path_factory.mktemp("faulty")
    file, data = write_benchmark(root), write_data(root)
    variant = '[[variants]]\nlabel = "{0}"\nset = {{ "models.plain.explode" = "{0}" }}\n'
    variants = "".join(variant.format(fault) for fault in FAULTS)
    file.write_text(file.read_text().replace("[protocol]", f"{variants}[protocol]", 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchbench.launch.orchestrate.write_page", lambda *_, **__: None)
        carry(file, data, root, only=select(HARMLESS))
        carry(file, data, root, only=select(FAULTS[2:]), jobs=1)
        patch.setattr("benchbench.launch.orchestrate._launcher", lambda *_: lambda *_: None)
        folder, records, again = carry(file, data, root, only=select(FAULTS))
    return Faulty(folder, {record.variant: record for record in records if record}, again.todo, again.done)


def select(faults: Sequence[str]) -> list[str]:
    return [f"variant={fault},fold=0" for fault in faults]


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("raise", "failed", "RuntimeError: the model fell over"),
        ("exit", "failed", "ended with exit code 3 and without a record"),
        ("kill", "failed", "killed by signal 9 (SIGKILL); the system may have run out of memory"),
        ("nan", "diverged", "training loss became nan in epoch 0"),
        ("print", "done", ""),
    ],
)
def test_a_run_that_fails_is_a_row_with_its_reason_and_the_others_continue(
    faulty: Faulty, fault: str, status: str, reason: str
) -> None:
    assert faulty.outcomes[fault].status == status
    assert reason in faulty.outcomes[fault].reason
    folds = pd.read_csv(faulty.folder.path / "folds.csv", keep_default_na=False)
    row = folds[(folds["variant"] == fault) & (folds["fold"] == 0)].iloc[0]
    assert row["status"] == status
    assert reason in row["reason"]
    if status == "failed":
        assert row["dice"] == ""


def test_failed_runs_are_repeated_and_others_are_not(faulty: Faulty) -> None:
    assert (faulty.todo, faulty.done) == (3, 2)


@records_only
def test_a_model_with_a_wrong_output_is_a_failed_run(benchmark_file: Path, squares: Path, tmp_path: Path) -> None:
    benchmark_file.write_text(benchmark_file.read_text().replace('"plain"', '"wrong"'))
    _, records, _ = carry(benchmark_file, squares, tmp_path, only=["fold=0"])
    assert records[0] is not None
    assert "returned shape (2, 2, 32, 32), expected (2, 1, 32, 32)" in records[0].reason


def test_workers_and_this_process_give_the_same_tables(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    shutil.rmtree(copy.folder.run(FIRST).path)
    folder, _, recorder = carry(copy.file, copy.data, tmp_path, jobs=1)
    assert recorder.todo == 1
    assert tables(folder) == tables(finished.folder)
    assert any("loss" in getattr(event, "note", "") for _, event in recorder.events)


def test_faults_of_the_data_are_reported_before_training(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    for name in ("patient01-a", "patient03-a"):
        path = squares / "squares" / f"{name}.npz"
        with np.load(path) as stored:
            np.savez(path, image=stored["image"], label=stored["label"] * 7)
    with pytest.raises(DataError) as caught:
        carry(benchmark_file, squares, tmp_path)
    assert [problem.split(":")[1].strip() for problem in caught.value.problems] == ["patient01-a", "patient03-a"]
    assert not (tmp_path / "results").exists()


@records_only
def test_an_image_under_two_patients_is_refused(benchmark_file: Path, squares: Path, tmp_path: Path) -> None:
    folder = squares / "squares"
    with np.load(folder / "patient00-a.npz") as stored:
        np.savez(folder / "patient09-a.npz", image=stored["image"], label=1 - stored["label"])
    with pytest.raises(DataError, match=r"patient09-a: the same image, voxel for voxel, as patient00-a"):
        carry(benchmark_file, squares, tmp_path)
    with np.load(folder / "patient00-a.npz") as stored:
        np.savez(folder / "patient00-b.npz", image=stored["image"], label=1 - stored["label"])
    (folder / "patient09-a.npz").unlink()
    carry(benchmark_file, squares, tmp_path, only=["fold=0"])


def test_a_softmax_on_overlapping_regions_is_refused_at_planning(benchmark_file: Path, tmp_path: Path) -> None:
    regions = 'datasets = [{ name = "squares", regions = [1, 1] }]'
    text = benchmark_file.read_text().replace('datasets = [{ name = "squares" }]', regions)
    benchmark_file.write_text(text)
    with pytest.raises(
        SpecError, match=r"protocol.loss: found 'ce\+dice', a softmax of one class per voxel, but the regions"
    ):
        carry(benchmark_file, None, tmp_path, "protocol.loss=ce+dice", rehearse=True)


def test_more_folds_than_patients_is_a_data_error(benchmark_file: Path, squares: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found 4 patients for 9 folds"):
        carry(benchmark_file, squares, tmp_path, "protocol.folds=9")


@records_only
def test_a_run_locked_by_another_process_is_skipped(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = finished.copy(tmp_path)
    monkeypatch.setattr("benchbench.run.execute.LOCK_SECONDS", 0.1)
    with copy.folder.run(FIRST).lock(1):
        _, records, recorder = carry(copy.file, copy.data, tmp_path, "protocol.epochs=1")
    assert isinstance(recorder.events[0][1], BenchbenchError)
    assert records[1] is not None
    assert records[1].epochs == 1


@tables_only
def test_an_interrupted_run_resumes_from_its_saved_state(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _, _ = carry(benchmark_file, squares, tmp_path, "protocol.epochs=5", only=["fold=0"])
    before = tables(whole)
    shutil.rmtree(whole.path)
    settings = ComputeSettings(resume_seconds=0.0)
    epochs: list[Any] = []

    def stop_after_three(self: Recorder, key: RunKey, event: RunEvent) -> None:
        if getattr(event, "note", ""):
            epochs.append(event.epochs)
            if len(epochs) == 4:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_run_event", stop_after_three)
        with pytest.raises(KeyboardInterrupt):
            carry(benchmark_file, squares, tmp_path, "protocol.epochs=5", only=["fold=0"], settings=settings)
    folder, records, recorder = carry(benchmark_file, squares, tmp_path, "protocol.epochs=5", only=["fold=0"])
    trained = [event.epochs for _, event in recorder.events if getattr(event, "note", "")]
    assert trained == [4, 5]
    assert records[0] is not None
    assert records[0].epochs == 5
    assert tables(folder) == before
    assert list(read_events(folder.run(records[0].key).path)["lr"]) == [0, 1, 2, 3, 4]


@tables_only
def test_a_protocol_may_select_the_checkpoint_on_the_test_set(
    finished: Finished, benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    folder, (record, _), _ = carry(benchmark_file, squares, tmp_path, "protocol.select_on=report")
    assert record
    history = pd.read_csv(folder.run(record.key).path / "history.csv")
    scored = pd.read_parquet(folder.run(record.key).path / "cases.parquet")
    dice = (2 * scored["tp"] / (2 * scored["tp"] + scored["fp"] + scored["fn"])).fillna(1.0).mean()
    assert history.loc[record.best_epoch, "validation_dice_case"] == pytest.approx(dice)
    assert "optimistic selection" in (folder.path / "leaderboard.md").read_text()
    assert "optimistic selection" not in (finished.folder.path / "leaderboard.md").read_text()


def test_a_record_has_the_values_of_the_selected_epoch(finished: Finished) -> None:
    record = record_of(finished)
    row = pd.read_csv(finished.folder.run(record.key).path / "history.csv").loc[record.best_epoch]
    of_epoch = {name: value for name, value in record.shown.items() if name.startswith(("train_", "validation_"))}
    assert of_epoch == pytest.approx({name: row[name] for name in of_epoch}, nan_ok=True)
    assert {"train_loss", "validation_loss", "train_dice_pooled"} <= of_epoch.keys()
    assert record.shown["input"].endswith("x1")


def test_a_listing_of_a_setting_that_no_run_has_is_refused_at_planning(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    listing = '\n[[listings]]\ntitle = "L"\nrows = "model"\ncolumns = { rate = "protocol.optimizer.rate" }\n'
    benchmark_file.write_text(benchmark_file.read_text() + listing)
    with pytest.raises(
        SpecError, match=r"'protocol.optimizer.rate': run squares/plain/default/fold0/seed0 has no"
    ):
        carry(benchmark_file, squares, tmp_path)
