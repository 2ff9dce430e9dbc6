"""A region that no case has: a run says so before it trains, and `score`, leaderboard and page say what it does."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from carry import carry
from commands import benchbench
from handmade import FOLD_0, end, key, plan

from benchbench import CaseRef
from benchbench.comparison import compare_results
from benchbench.data.folds import Fold
from benchbench.data.region_presence import absent_region_remarks, rare_region_remarks
from benchbench.records.folder import ResultsFolder
from benchbench.report import write_report
from benchbench.report.leaderboard_page import leaderboard_page
from benchbench.tables.absent_regions import absent_region_notes
from benchbench.tables.results import read_results

EMPTY = [(0, 0, 0, 10), (0, 0, 0, 10)]
NOTE = (
    "discs: no scored case has region 'core': its scores say nothing, and in the mean over regions an empty"
    " prediction of it counts as perfect, any other as 0 (empty masks: score)"
)


@pytest.fixture
def without_core(tmp_path: Path) -> ResultsFolder:
    """Results of a model on cases of which one has no disc and none has a core."""
    folder = plan(tmp_path, [key("plain", 0)])
    end(folder, key("plain", 0), {case: {**regions, "core": EMPTY} for case, regions in FOLD_0.items()})
    return folder


def test_the_leaderboard_names_the_region_and_speaks_of_the_others_apart(without_core: ResultsFolder) -> None:
    page = leaderboard_page(read_results(without_core))
    assert NOTE in page
    assert "In 33% of the cases the reference is empty" in page


@pytest.mark.usefixtures("without_figures")
def test_the_page_names_the_region(without_core: ResultsFolder) -> None:
    write_report(without_core, pictures=False)
    page = (without_core.path / "index.html").read_text()
    assert NOTE.replace("'", "&#39;") in page


@pytest.mark.parametrize(
    ("empty", "effect"),
    [
        ("stratify", "the mean over regions leaves it out (empty masks: stratify)"),
        ("zero", "in the mean over regions it counts as 0 (empty masks: zero)"),
    ],
)
def test_the_effect_is_that_of_the_rule_for_empty_masks(tmp_path: Path, empty: str, effect: str) -> None:
    folder = plan(tmp_path, [key("plain", 0)], empty=empty)
    end(folder, key("plain", 0), {case: {**regions, "core": EMPTY} for case, regions in FOLD_0.items()})
    (note,) = absent_region_notes(read_results(folder))
    assert note.endswith(effect)


def test_compare_names_the_region(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key(model, 0) for model in ("plain", "grand")])
    for model in ("plain", "grand"):
        end(folder, key(model, 0), {case: {**regions, "core": EMPTY} for case, regions in FOLD_0.items()})
    (outcome,) = compare_results("plain", "grand", results=folder.path, metrics=["dice"])
    assert NOTE in outcome.notes
    assert absent_region_notes(read_results(folder), dataset="rings") == []


def test_a_region_that_a_case_has_gets_no_note(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0)])
    assert absent_region_notes(read_results(folder)) == []
    end(folder, key("plain", 0), FOLD_0)
    assert absent_region_notes(read_results(folder)) == []


@pytest.mark.usefixtures("without_report")
def test_a_run_names_the_region_before_it_trains(benchmark_file: Path, squares: Path, tmp_path: Path) -> None:
    sets = ("datasets.squares.regions=[1,2]", "protocol.epochs=1")
    for _ in range(2):  # prepared now, then found in the cache
        _, _, recorder = carry(benchmark_file, squares, tmp_path, *sets, only=["fold=0"])
        assert recorder.remarks == [
            "squares: region square_1: in no case, so that nothing can be learnt or scored; check the label's map"
        ]


def test_a_region_that_a_part_of_a_fold_lacks_is_named_with_the_part() -> None:
    cases = [CaseRef(name, name) for name in "abc"]
    fold = Fold(number=0, train=(cases[0],), validation=(cases[1],), test=(cases[2],))
    cases_with = {"disc": {cases[0], cases[2]}, "core": set()}
    assert list(rare_region_remarks(cases_with, [fold], n_cases=3)) == [
        "region disc: in 2 of 3 cases, in none of validation of fold 0"
    ]
    assert [line.partition(",")[0] for line in absent_region_remarks(cases_with)] == ["region core: in no case"]


def test_score_names_a_region_that_no_reference_has(tmp_path: Path) -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:2] = 1
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "a.nii.gz")
    done = benchbench(
        "score", "a.nii.gz", "a.nii.gz", "--labels", "disc=1 core=2", "--metrics", "dice", cwd=tmp_path
    )
    notes = " ".join(done.stdout.split())
    assert "note: no reference has region 'core': its scores say nothing, and in the mean over regions" in notes
    assert "100%" not in notes
