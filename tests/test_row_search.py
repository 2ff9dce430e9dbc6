"""Thresholds that the inner validations of all folds of a row choose together."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from carry import carry
from toy_benchmark import PAIR, Finished, write_benchmark, write_data

from benchbench.engine.inference.candidates import read_candidates, write_candidates
from benchbench.engine.inference.search import search_rules
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.launch.preparation import Preparation
from benchbench.launch.process import _Exit, _read_end
from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.record import Record
from benchbench.report.page.searched import searched_tables
from benchbench.run.assignment import Assignment
from benchbench.run.row_run import without_scores
from benchbench.spec.inference import Postprocess, SearchSpec
from benchbench.tables.results import read_results

RULES = "{ search = { over = 'folds', totals = true }, components = { square_0 = 5 }, totals = { square_0 = 20 } }"
ASK = ("protocol.epochs=1", f"protocol.postprocess={RULES}")
pytestmark = pytest.mark.usefixtures("without_report")


def key(model: str = "plain", *, fold: int = 0) -> RunKey:
    return RunKey("squares", model, "default", fold, 0)


def record_of(folder: ResultsFolder, model: str = "plain", *, fold: int = 0) -> Record:
    record = folder.run(key(model, fold=fold)).read_record()
    assert record
    return record


def carry_row(root: Path) -> None:
    _, records, recorder = carry(write_benchmark(root), write_data(root), root, *ASK)
    assert [record and record.status for record in records] == ["done", "done"]
    ends = [event for _, event in recorder.events if isinstance(event, Record)]
    assert len(ends) == 2, "a run that waits for the other fold has not ended"


@pytest.fixture
def row(build_once: Callable[[str, Callable[[Path], None]], Path]) -> Finished:
    """A row whose two folds have chosen thresholds together."""
    return Finished(build_once("row", carry_row))


def contents(folder: ResultsFolder) -> dict[str, bytes]:
    """The files of all runs that must not depend on how the runs were carried out."""
    files: dict[str, bytes] = {}
    for path in sorted(folder.path.rglob("*")):
        if path.suffix in {".parquet", ".bin", ".safetensors"}:
            files[str(path.relative_to(folder.path))] = path.read_bytes()
    return files


def search_by_hand(folder: ResultsFolder) -> Postprocess:
    """The best rules over the candidate files of all folds, read in one go."""
    cases: list[Any] = []
    for fold in (0, 1):
        with (folder.run(key(fold=fold)).path / "candidates.bin").open("rb") as file:
            cases += read_candidates(file)
    rules = Postprocess(components={"square_0": 5}, totals={"square_0": 20}, search=SearchSpec(totals=True))
    return search_rules(rules, ("square_0",), lambda: cases)


def test_all_folds_choose_the_same_values_from_the_inner_validations_of_all(row: Finished) -> None:
    folder = row.folder
    first, second = record_of(folder), record_of(folder, fold=1)
    assert first.postprocess == second.postprocess == search_by_hand(folder).model_dump(mode="json")
    digests = {str(fold): folder.run(key(fold=fold)).digest_of("candidates.bin") for fold in (0, 1)}
    assert first.searched == second.searched == digests
    assert digests["0"] != digests["1"]


def test_a_fold_that_is_trained_alone_waits_and_is_scored_later_to_the_same_bytes(
    row: Finished, benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    folder, (first,), recorder = carry(benchmark_file, squares, tmp_path, *ASK, only=["fold=0"])
    assert first is not None
    assert first.status == "waiting"
    assert first.reason == "trained; thresholds are chosen over all folds, and fold 1 must be trained first"
    assert [event.status for _, event in recorder.events if isinstance(event, Record)] == ["waiting"]
    assert not (folder.run(key()).path / "cases.parquet").exists(), "no test case is opened before"
    weights = (folder.run(key()).path / "best.safetensors").stat().st_mtime_ns
    _, _, second = carry(benchmark_file, squares, tmp_path, *ASK, only=["fold=1"])
    assert record_of(folder, fold=1).status == "done", "the last one finds all that it needs"
    assert record_of(folder).status == "waiting", "a run that was not selected is not scored"
    assert second.todo == 1
    carry(benchmark_file, squares, tmp_path, *ASK)
    assert (folder.run(key()).path / "best.safetensors").stat().st_mtime_ns == weights, "nothing is trained again"
    assert contents(folder) == contents(row.folder)


@pytest.mark.slow
def test_a_process_that_dies_while_it_scores_leaves_a_trained_run(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    carry(benchmark_file, squares, tmp_path, *ASK, only=["fold=1"])
    with monkeypatch.context() as patch:
        patch.setattr("benchbench.run.evaluate.write_scores", fail)
        with pytest.raises(KeyboardInterrupt):
            carry(benchmark_file, squares, tmp_path, *ASK)
    folder, records, recorder = carry(benchmark_file, squares, tmp_path, *ASK)
    assert [record and record.status for record in records] == ["done", "done"]
    assert not any(getattr(event, "note", "") for _, event in recorder.events), "no epoch was trained"
    assert record_of(folder).epochs == 1


def test_an_error_while_scoring_is_the_reason_of_a_run_that_waits_on(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no memory left")

    carry(benchmark_file, squares, tmp_path, *ASK, only=["fold=1"])
    with monkeypatch.context() as patch:
        patch.setattr("benchbench.run.evaluate.write_scores", fail)
        _, records, _ = carry(benchmark_file, squares, tmp_path, *ASK)
    assert [(record.status, record.reason) for record in records if record] == [
        ("waiting", "RuntimeError: no memory left (see worker.log)")
    ] * 2


def test_a_worker_that_died_while_it_scored_gives_its_end_as_the_reason(row: Finished, tmp_path: Path) -> None:
    folder = row.copy(tmp_path).folder.run(key())
    assignment: Any = SimpleNamespace(folder=folder)
    trained = without_scores(record_of(row.folder))
    folder.write_record(trained)
    assert _read_end(assignment, _Exit(-9, "killed")) == replace(trained, reason="killed")
    waiting = replace(trained, reason="trained; fold 1 must be trained first")
    folder.write_record(waiting)
    assert _read_end(assignment, _Exit(1, "exit code 1")) == waiting


def test_a_fold_that_is_trained_again_with_other_candidates_scores_the_others_again(
    row: Finished, tmp_path: Path
) -> None:
    copy = row.copy(tmp_path)
    folder = copy.folder
    run = folder.run(key(fold=1))
    record = record_of(folder, fold=1)
    with (run.path / "candidates.bin").open("rb") as file:
        cases = list(read_candidates(file))
    changed = [case._replace(probabilities=np.maximum(case.probabilities - 0.1, 0)) for case in cases]

    content = io.BytesIO()
    for case in changed:
        write_candidates(content, case)
    run.write("candidates.bin", content.getvalue())
    run.write_record(replace(record, files={**record.files, "candidates.bin": run.digest_of("candidates.bin")}))
    carry(copy.file, copy.data, tmp_path, *ASK)
    digest = run.digest_of("candidates.bin")
    assert record_of(folder).searched["1"] == record_of(folder, fold=1).searched["1"] == digest
    assert record_of(folder).postprocess == search_by_hand(folder).model_dump(mode="json")
    assert carry(copy.file, copy.data, tmp_path, *ASK)[2].todo == 0


def test_candidates_that_were_changed_are_refused(row: Finished, tmp_path: Path) -> None:
    copy = row.copy(tmp_path)
    first, second = copy.folder.run(key()), copy.folder.run(key(fold=1))
    path = first.path / "candidates.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    for fold, run in enumerate((first, second)):
        run.write_record(without_scores(record_of(copy.folder, fold=fold)))
    _, (record,), _ = carry(copy.file, copy.data, tmp_path, *ASK, only=["fold=1"])
    assert record
    assert record.status == "waiting"
    assert record.reason.startswith(f"{path}: missing or changed since run.json was written")


@dataclass(frozen=True)
class Poisoned:
    """A test case whose label is all foreground."""

    prepared: PreparedCase

    def __getattr__(self, name: str) -> Any:
        return getattr(self.prepared, name)

    def native_label(self) -> np.ndarray:
        return np.ones_like(self.prepared.native_label())


def test_labels_of_cases_that_are_tested_choose_nothing(
    row: Finished, benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assign = Preparation.assign

    def poison(self: Preparation, *arguments: Any) -> Assignment:
        assignment = assign(self, *arguments)
        return replace(assignment, test=tuple(Poisoned(case) for case in assignment.test))

    monkeypatch.setattr(Preparation, "assign", poison)
    poisoned, _, _ = carry(benchmark_file, squares, tmp_path, *ASK)
    for fold in (0, 1):
        before, after = record_of(row.folder, fold=fold), record_of(poisoned, fold=fold)
        assert after.postprocess == before.postprocess
        assert after.searched == before.searched
        assert after.files["cases.parquet"] != before.files["cases.parquet"]


@pytest.mark.slow
def test_ensembles_and_their_members_choose_over_folds_each_for_itself(squares: Path, tmp_path: Path) -> None:
    file = write_benchmark(tmp_path, PAIR)
    width = "models.plain_too.width=3"
    folder, records, recorder = carry(file, squares, tmp_path, *ASK, width)
    assert [record and record.status for record in records] == ["done"] * 6
    assert len([event for _, event in recorder.events if isinstance(event, Record)]) == 6
    for model in ("plain", "plain_too", "both"):
        first, second = record_of(folder, model), record_of(folder, model, fold=1)
        assert first.postprocess == second.postprocess
        assert list(first.searched) == ["0", "1"]
    assert record_of(folder, "both").searched != record_of(folder).searched


@pytest.mark.slow
def test_rows_of_equal_settings_are_trained_once(squares: Path, tmp_path: Path) -> None:
    labels = '[[variants]]\nlabel = "a"\nset = {}\n[[variants]]\nlabel = "b"\nset = {}\n'
    file = write_benchmark(tmp_path)
    file.write_text(file.read_text().replace("[protocol]", labels + "\n[protocol]", 1))
    _, records, recorder = carry(file, squares, tmp_path, *ASK)
    assert [record and record.status for record in records] == ["done"] * 4
    trained = {run.variant for run, event in recorder.events if getattr(event, "note", "")}
    assert trained == {"a"}


def test_sizes_are_whole_numbers_also_where_another_region_has_none(
    row: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        {"row": "plain", "region": "core", "components": 16, "total": 1073},
        {"row": "plain", "region": "whole", "components": None, "total": None},
    ]
    monkeypatch.setattr("benchbench.report.page.searched._lines", lambda *_: iter(lines))
    (table,) = searched_tables(read_results(row.folder))
    assert [[cell.text for cell in line] for line in table.rows] == [
        ["plain", "core", "16", "1,073"],
        ["plain", "whole", "", ""],
    ]


def test_chosen_values_are_a_table_with_a_line_for_each_row_or_fold(
    row: Finished, finished: Finished, benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    chosen = record_of(row.folder).postprocess
    assert chosen is not None
    (table,) = searched_tables(read_results(row.folder))
    expected = [
        *("plain", "all", "square_0", f"{chosen['thresholds']['square_0']:g}"),
        *(str(chosen["components"]["square_0"]), str(chosen["totals"]["square_0"])),
    ]
    assert [[cell.text for cell in line] for line in table.rows] == [expected]
    per_fold = ("protocol.epochs=1", "protocol.postprocess={ search = true }")
    folder, _, _ = carry(benchmark_file, squares, tmp_path, *per_fold)
    (table,) = searched_tables(read_results(folder))
    assert [heading.name for heading in table.headings] == ["row", "fold", "region", "threshold"]
    assert [line[1].text for line in table.rows] == ["0", "1"]
    assert not (folder.run(key()).path / "candidates.bin").exists()
    assert searched_tables(read_results(finished.folder)) == []
