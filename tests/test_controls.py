"""Controls of a benchmark: which runs they add, what their labels are, and what their failure does to the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from commands import benchbench
from handmade import N_FOLDS, change_manifest, end, graded, key, plan, scans
from toy_benchmark import BENCHMARK, write_benchmark, write_data

from benchbench.comparison.board import Board, boards
from benchbench.comparison.controls import control_outcomes
from benchbench.contract import CaseRef
from benchbench.engine.preparation.moved_labels import MovedCase, move_labels
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.errors import SpecError, UsageError
from benchbench.images.arrays import IGNORED
from benchbench.plan.expand import plan_runs
from benchbench.plan.run import RunKey
from benchbench.prediction.runs import Row, choose_runs
from benchbench.records.folder import ResultsFolder
from benchbench.records.metadata import read_metadata
from benchbench.registry.registry import discover
from benchbench.report import write_report
from benchbench.report.page.evidence import facts
from benchbench.spec.benchmark import read_benchmark
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.references import with_references
from benchbench.tables.results import read_results

if TYPE_CHECKING:
    from handmade import Scans

CONTROLS = '[controls]\na_a_twin = "plain"\nshuffled_labels = "plain"\n\n[protocol]'
A_A, SHUFFLED = "one (A/A twin)", "one (shuffled labels)"


def with_control(path: Path, kind: str, of_fold: dict[int, Scans]) -> ResultsFolder:
    """Return two models on sixty patients and a control of the first, with these scores."""
    folder = graded(path, {"one": 0.1, "two": 0.1})
    name = {"a_a_twin": A_A, "shuffled_labels": SHUFFLED}[kind]
    runs = [run.model_dump() for run in folder.read_manifest().runs]
    added = [key(name, fold, seed=int(kind == "a_a_twin")) for fold in range(N_FOLDS)]
    runs += [{**run._asdict(), "digest": f"digest of {run}"} for run in added]
    change_manifest(folder, runs=runs, controls=[{"kind": kind, "model": "one"}])
    for run in added:
        end(folder, run, of_fold[run.fold])
    return folder


def a_a_of(path: Path, better: float) -> ResultsFolder:
    return with_control(path, "a_a_twin", {fold: scans(fold, better=better, seed=1) for fold in range(N_FOLDS)})


def shuffled_of(path: Path, hit: int) -> ResultsFolder:
    """Return a control that finds some of the 100 voxels of each lesion, with as many false ones; 300 are right."""
    patients = {f"f{fold}p{number}": fold for fold in range(N_FOLDS) for number in range(12)}
    of_fold: dict[int, Scans] = {}
    for fold in range(N_FOLDS):
        names = [name for name, place in patients.items() if place == fold]
        of_fold[fold] = {name: {"disc": [(hit, hit, 100 - hit, 400 - hit)]} for name in names}
    return with_control(path, "shuffled_labels", of_fold)


def board_of(folder: ResultsFolder) -> Board:
    (board,) = boards(read_results(folder))
    return board


def test_an_a_a_row_that_is_alike_changes_nothing_and_has_no_rank(tmp_path: Path) -> None:
    folder = a_a_of(tmp_path, 0.1)
    results, board = read_results(folder), board_of(folder)
    assert (list(board.rows), board.failed_controls) == (["one", "two"], ())
    assert board.verdict.headline == "one and two are equivalent within 0.01 on discs"
    (outcome,) = control_outcomes(results)
    assert outcome.has_failed is False
    assert outcome.text.startswith("one (A/A twin) does not differ from one (dice ")
    table = with_references(leaderboard(results), results)
    control = table[table["model"] == A_A]
    assert len(control) == 1
    assert control["rank"].isna().all()
    assert control["dice"].item() == pytest.approx(0.7, abs=0.03)
    # the models are ranked as without a control
    assert table.loc[table["model"].isin(["one", "two"]), "rank"].tolist() == [1, 1]


def test_a_planted_difference_to_the_a_a_row_turns_the_box_red(tmp_path: Path, without_figures: None) -> None:
    folder = a_a_of(tmp_path, 0.2)
    board = board_of(folder)
    assert board.verdict.headline.startswith("Do not believe this: one (A/A twin) differs from one (dice +0.")
    assert "one and two are equivalent" in board.verdict.grounds
    (fact,) = [fact for fact in facts(read_results(folder)) if fact.term == "Control, discs"]
    assert fact.is_good is False
    write_report(folder)
    page = (folder.path / "index.html").read_text()
    assert '<div class="verdict failed">' in page
    assert '<section id="evidence" class="failed">' in page
    assert "Do not believe this" in (folder.path / "leaderboard.md").read_text()
    assert "Do not believe this" in json.loads((folder.path / "card.json").read_text())["verdicts"][0]


def test_labels_of_other_patients_must_not_score_more_than_knowing_nothing(tmp_path: Path) -> None:
    # all foreground has 2 * 100 / (100 + 500) = 0.333, an empty mask 0
    # 2 * 20 / (2 * 20 + 20 + 80) = 0.2857
    (at_chance,) = control_outcomes(read_results(shuffled_of(tmp_path / "chance", 20)))
    assert at_chance.has_failed is False
    assert "does not score more than all foreground, which knows nothing (dice -0.0476" in at_chance.text
    (leaked,) = control_outcomes(read_results(shuffled_of(tmp_path / "leak", 80)))
    # 2 * 80 / (2 * 80 + 80 + 20) = 0.6154
    assert leaked.has_failed is True
    assert leaked.text.startswith(
        "one (shuffled labels) scores more than all foreground, which knows nothing (dice +0.2821"
    )


def test_a_control_with_runs_missing_or_few_patients_is_not_known(tmp_path: Path) -> None:
    folder = a_a_of(tmp_path / "missing", 0.1)
    (folder.run(key(A_A, 0, seed=1)).path / "run.json").unlink()
    (outcome,) = control_outcomes(read_results(folder))
    assert (outcome.has_failed, outcome.text) == (None, "one (A/A twin) is not known, as runs are missing")
    keys = [key("one", 0), RunKey("discs", A_A, "default", 0, 1)]
    few = plan(tmp_path / "few", keys, controls=[{"kind": "a_a_twin", "model": "one"}])
    for run in keys:
        end(few, run, scans(0, better=0.1, patients=9))
    (outcome,) = control_outcomes(read_results(few))
    assert outcome.has_failed is None
    assert "9 patients are too few for a test" in outcome.text


def test_a_line_in_the_file_adds_the_runs_of_a_control(tmp_path: Path) -> None:
    registry = discover(["toy"])
    text = BENCHMARK.replace("[protocol]", CONTROLS).replace("folds = 2", "folds = 2\nseeds = [0, 4]")
    benchmark = read_benchmark(write_benchmark(tmp_path, text), check=registry.check)
    runs = plan_runs(benchmark, registry)
    keys = {(run.model.row, run.seed) for run in runs}
    assert keys == {
        ("plain", 0),
        ("plain", 4),
        ("plain (A/A twin)", 5),
        ("plain (A/A twin)", 9),
        ("plain (shuffled labels)", 0),
        ("plain (shuffled labels)", 4),
    }
    assert {run.model.name for run in runs} == {"plain"}
    assert len({run.digest for run in runs}) == len(runs) == 12


def test_a_control_of_an_unknown_model_is_refused(tmp_path: Path) -> None:
    registry = discover(["toy"])
    text = BENCHMARK.replace("[protocol]", '[controls]\na_a_twin = "plane"\n\n[protocol]')
    with pytest.raises(
        SpecError, match=r"squares\.toml:9: controls\.a_a_twin: no such model 'plane'; did you mean 'plain'"
    ):
        read_benchmark(write_benchmark(tmp_path, text), check=registry.check)


class Drawn(PreparedCase):
    """A case whose label is an array."""

    def label(self) -> np.ndarray:
        return LABELS[self.case.id]

    native_label = label

    @property
    def present_bits(self) -> int:
        return 1


LABELS = {
    "a": np.zeros((2, 4, 4), np.uint8),
    "b": np.zeros((4, 4, 4), np.uint8),
    "c": np.zeros((2, 4, 4), np.uint8),
}
LABELS["b"][0, 0, 0] = LABELS["b"][1, 0, 0] = 1
LABELS["a"][0, 3, 3] = IGNORED


def drawn(name: str) -> Drawn:
    return Drawn(CaseRef(name, f"patient {name}"), Path(name))


class MovedDrawing(MovedCase, Drawn):
    """A moved case of drawn ones."""


def test_a_label_is_moved_to_the_shape_of_the_other_image() -> None:
    moved = MovedDrawing(drawn("a").case, Path("a"), drawn("b"), (0.5, 0.25, 0.0), (False, False, True))
    # four slices become two, the first of which has the lesion: shifted by one slice and one row, and mirrored
    expected = np.zeros((2, 4, 4), np.uint8)
    expected[1, 1, 3] = 1
    expected[0, 3, 3] = IGNORED  # voxels of the image
    np.testing.assert_array_equal(moved.label(), expected)
    assert moved.foreground().tolist() == [[1, 1, 3]]


def test_every_case_gets_the_label_of_another_patient() -> None:
    cases = [drawn(name) for name in "abc"]
    parts = move_labels(cases[:2], cases[2:], seed=0)
    moved = [*parts["train"], *parts["validation"]]
    assert [case.case.id for case in moved] == ["a", "b", "c"]
    sources = [case.source.case.id for case in moved if isinstance(case, MovedCase)]
    assert sorted(sources) == ["a", "b", "c"]
    assert all(case.case.id != source for case, source in zip(moved, sources, strict=True))
    assert move_labels(cases[:2], cases[2:], seed=0) == parts


def test_controls_are_trained_and_shown_without_a_rank(
    tmp_path: Path, card_only: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = {patient: {"sex": "f"} for patient in ("patient00", "patient01", "patient02", "nobody")}
    monkeypatch.setattr("toy_plugin.Squares.metadata", lambda _: metadata)
    file = write_benchmark(tmp_path, BENCHMARK.replace("[protocol]", CONTROLS))
    data = write_data(tmp_path)
    words = (
        "--data-root",
        data,
        "--results",
        tmp_path / "results",
        "--set",
        "protocol.epochs=1",
        "--only",
        "fold=0",
    )
    done = benchbench("run", file, *words, "--jobs", 0, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = ResultsFolder(tmp_path / "results" / "squares")
    results = read_results(folder)
    assert {key.model for key in results.records} == {"plain"}
    assert results.with_controls is not None
    assert len(results.with_controls.records) == 3
    board = (folder.path / "leaderboard.md").read_text()
    assert "plain (A/A twin)" in board
    assert "plain (shuffled labels)" in board
    digests = {record.files["best.safetensors"] for record in results.with_controls.records.values()}
    assert len(digests) == 3
    # a model that was trained with false labels predicts nothing for a user
    row = Row(results=folder.path)
    with pytest.raises(
        UsageError, match=r"plain \(shuffled labels\) is a control, which predicts nothing; give another row$"
    ):
        choose_runs("plain (shuffled labels)", row)
    run = folder.run(next(key for key in results.with_controls.records if key.model == "plain (A/A twin)"))
    with pytest.raises(UsageError, match=r"plain \(A/A twin\) is a control"):
        choose_runs(str(run.path), row)
    assert [run.record.model for run in choose_runs("plain", row)] == ["plain"]
    # each run stores the metadata of those patients that it tests
    assert results.metadata["squares"]
    for control, record in results.with_controls.records.items():
        run = folder.run(control)
        tested = set(run.read_table("cases.parquet", record).to_pandas()["patient"])
        expected = {patient: metadata[patient] for patient in tested & metadata.keys()}
        assert read_metadata(run, record) == results.metadata["squares"] == expected
