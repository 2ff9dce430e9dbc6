"""Published splits: the forms of their files, the check by patient, and files for other tools."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from carry import carry
from commands import benchbench
from handmade import FOLD_0, change_manifest, end, key, plan

from benchbench import CaseRef, DataError
from benchbench.data.folds import make_folds
from benchbench.data.split_file import folds_of, split_text
from benchbench.report import write_report
from benchbench.spec.loss import Loss
from benchbench.spec.optimisation import Adam
from benchbench.spec.protocol import Protocol

CASES = [CaseRef(f"{patient}{number}", patient) for patient in "abcd" for number in (1, 2)]


def protocol(path: Path, *, folds: int = 1, allow_leaky_split: bool = False) -> Protocol:
    return Protocol(
        patch=(8, 8), epochs=1, batch=1, optimizer=Adam(name="adam", lr=1.0), loss=Loss(name="dice"),
        folds=folds, splits=str(path), validation=0.5, allow_leaky_split=allow_leaky_split,
    )  # fmt: skip


def write(tmp_path: Path, content: Any, name: str = "splits.json") -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def ids(cases: tuple[CaseRef, ...]) -> str:
    return " ".join(case.id for case in cases)


def test_nnunet_tests_its_validation_and_the_inner_validation_is_taken_from_its_training_cases(
    tmp_path: Path,
) -> None:
    entries = [
        {"train": ["a1", "a2", "b1", "b2"], "val": ["c1", "c2", "d1", "d2"]},
        {"train": ["c1", "c2", "d1", "d2"], "val": ["a1", "a2", "b1", "b2"]},
    ]
    first, second = folds_of(CASES, protocol(write(tmp_path, entries, "splits_final.json"), folds=2))
    assert (ids(first.test), ids(second.test)) == ("c1 c2 d1 d2", "a1 a2 b1 b2")
    assert {ids(first.train), ids(first.validation)} == {"a1 a2", "b1 b2"}
    assert {ids(second.train), ids(second.validation)} == {"c1 c2", "d1 d2"}


def nnunet_splits(names: list[str]) -> str:
    """Return the text of a splits_final.json as nnU-Net v2 writes it for these cases.

    Source: nnunetv2/utilities/crossval_split.py: scikit-learn's KFold over the sorted names, five folds, shuffled with
    the seed 12345; written by batchgenerators with sorted keys and an indent of 4.
    """
    k_fold = pytest.importorskip("sklearn.model_selection").KFold
    ordered = sorted(names)
    entries = []
    for train, val in k_fold(5, shuffle=True, random_state=12345).split(ordered):
        entries.append({"train": [ordered[at] for at in train], "val": [ordered[at] for at in val]})
    return json.dumps(entries, indent=4, sort_keys=True)


def test_a_splits_final_json_of_nnunet_is_used_fold_by_fold(tmp_path: Path) -> None:
    cases = [CaseRef(f"hippocampus_{number:03}", f"hippocampus_{number:03}") for number in range(23)]
    text = nnunet_splits([case.id for case in cases])
    entries = json.loads(text)
    assert [len(entry["val"]) for entry in entries] == [5, 5, 5, 4, 4]
    folds = folds_of(cases, protocol(write(tmp_path, text, "splits_final.json"), folds=5))
    for fold, entry in zip(folds, entries, strict=True):
        assert ids(fold.test) == " ".join(entry["val"])
        trained = sorted(case.id for case in (*fold.train, *fold.validation))
        assert trained == entry["train"]
    written = json.loads(split_text(folds, "splits_final.json"))
    assert written == entries


def test_a_splits_final_json_of_nnunet_with_two_cases_of_a_patient_is_refused(tmp_path: Path) -> None:
    names = [f"patient{number:02}_frame{frame:02}" for number in range(10) for frame in (1, 12)]
    cases = [CaseRef(name, name.partition("_")[0]) for name in names]
    path = write(tmp_path, nnunet_splits(names), "splits_final.json")
    with pytest.raises(
        DataError, match=r"fold 0: patients in several parts: patient0\d \(patient0\d_frame\d\d in train"
    ):
        folds_of(cases, protocol(path, folds=5))
    folds = folds_of(cases, protocol(path, folds=5, allow_leaky_split=True))
    assert [ids(fold.test).split() for fold in folds] == [entry["val"] for entry in json.loads(path.read_text())]


@pytest.mark.parametrize(
    "file",
    [
        ("lists.json", {"train": ["a", "b"], "val": ["c"], "test": ["d"]}),
        ("lists.json", [{"training": ["a1", "a2", "b"], "validation": ["c1", "c2"], "test": ["d"]}]),
        ("lists.csv", "patient,part\na,train\nb,train\nc,val\nd,test\n"),
        ("lists.csv", "case,part,fold\na1,train,0\na2,Train,0\nb1,training,\nb2,train,0\nc1,validation,0\nc2,val,0\nd1,test,0\nd2,test,0\n"),
    ],
    ids=["official lists", "a list of one fold", "patients", "cases"],
)  # fmt: skip
def test_official_lists_are_one_fold_by_case_or_by_patient(tmp_path: Path, file: tuple[str, Any]) -> None:
    name, content = file
    (fold,) = folds_of(CASES, protocol(write(tmp_path, content, name)))
    assert [ids(part) for part in (fold.train, fold.validation, fold.test)] == ["a1 a2 b1 b2", "c1 c2", "d1 d2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"train": ["a1", "b", "c"], "test": ["a2", "d"]},
            "fold 0: patients in several parts: a (a1 in train, a2 in test); a patient must be in one part alone",
        ),
        ({"train": ["a", "b", "c"], "test": ["a1", "d"]}, "fold 0: in two parts: a1 (train and test); leave each in one"),
        ({"train": ["a", "b", "c"], "test": ["e", "d"]}, "fold 0: no such case or patient: e; correct the names"),
        ({"train": ["a", "b"], "test": ["d"]}, "fold 0: in no part: c1, c2; add them, or take their files out of the dataset"),
        ({"train": ["a", "b", "c", "d"]}, "fold 0: no case is tested; add a part 'test'"),
        ({"train": ["a"], "test": ["b", "c", "d"]}, "fold 0: found too few patients to train on; one must be trained on"),
        ({"train": ["a"], "tests": ["b"]}, "fold 0: found part 'tests', expected train, validation or test; rename it"),
        ([{"train": [1]}], "fold 0: expected lists of names such as"),
        ("{", "not valid JSON"),
        ([{"train": ["a", "b", "c"], "test": ["d"]}] * 2, "found 2 folds, expected protocol.folds = 1; change it"),
    ],
)  # fmt: skip
def test_a_split_that_leaks_or_is_not_complete_is_refused_by_name(
    tmp_path: Path, content: Any, message: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError) as refused:
        folds_of(CASES, protocol(path))
    assert refused.value.problems[0].startswith(f"{path}: {message}")


def leaky(tmp_path: Path, content: Any) -> Protocol:
    return protocol(write(tmp_path, content), allow_leaky_split=True)


def test_a_leaky_split_is_used_as_it_is_where_it_is_allowed(tmp_path: Path) -> None:
    (fold,) = folds_of(CASES, leaky(tmp_path, {"train": ["a1", "b"], "val": ["c"], "test": ["a2", "d"]}))
    assert [ids(part) for part in (fold.train, fold.validation, fold.test)] == ["a1 b1 b2", "c1 c2", "a2 d1 d2"]
    # the inner validation takes whole patients of the training part, and no case of another part
    (fold,) = folds_of(CASES, leaky(tmp_path, {"train": ["a1", "b", "c"], "test": ["a2", "d"]}))
    assert ids(fold.test) == "a2 d1 d2"
    assert sorted([*fold.train, *fold.validation]) == sorted(set(CASES) - set(fold.test))
    assert {case.patient for case in fold.train}.isdisjoint(case.patient for case in fold.validation)


def test_a_split_without_leaks_needs_no_permission(tmp_path: Path) -> None:
    path = write(tmp_path, {"train": ["a", "b"], "val": ["c"], "test": ["d"]})
    with pytest.raises(DataError, match="no patient is in several parts; remove allow_leaky_split"):
        folds_of(CASES, protocol(path, allow_leaky_split=True))
    with pytest.raises(ValueError, match="allow_leaky_split is for a file named by splits; remove it"):
        Protocol.model_validate(
            {**protocol(path).model_dump(), "splits": None, "folds": 2, "allow_leaky_split": True}
        )


@pytest.mark.usefixtures("without_figures")
def test_every_table_marks_the_rows_of_a_leaky_split(tmp_path: Path) -> None:
    table = {"rows": "fold", "columns": "model", "value": "dice"}
    folder = plan(tmp_path, [key("one", 0), key("two", 0)], tables=[table])
    manifest = folder.read_manifest()
    scores = manifest.model_dump(mode="json")["scores"]
    for rules in scores.values():
        rules["leaky_split"] = True
    change_manifest(folder, scores=scores)
    for model in ("one", "two"):
        end(folder, key(model, 0), FOLD_0)
    write_report(folder)
    for name in ("folds.csv", "summary.csv", "leaderboard.csv", "cost.csv"):
        rows = pd.read_csv(folder.path / name).query("model in ['one', 'two']")
        assert set(rows["split"]) == {"leaky split"}, name
    assert "leaky split" in (folder.path / "tables" / "1-dice-fold-by-model.md").read_text()
    assert "leaky split" in (folder.path / "leaderboard.md").read_text()
    assert "as allow_leaky_split permits: the scores are too high" in (folder.path / "index.html").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,part\na,train\n", ": found columns ['name', 'part'], expected case or patient, and part; add them"),
        ("case,part,fold\na1,train,x\n", ":2: found fold 'x', expected a number from 0; change it"),
        ("case,part,fold\na1,train,1\n", ": found folds [1], expected 0 to 0; number them so"),
    ],
)
def test_a_csv_that_cannot_be_read_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path, content, "splits.csv")
    with pytest.raises(DataError) as refused:
        folds_of(CASES, protocol(path))
    assert refused.value.problems == (f"{path}{message}",)


@pytest.mark.parametrize("name", ["splits.json", "splits.csv", "splits_final.json"])
def test_written_splits_are_read_again_as_the_same_folds(tmp_path: Path, name: str) -> None:
    folds = make_folds(CASES, folds=2, validation=0.5)
    path = write(tmp_path, split_text(folds, name), name)
    assert folds_of(CASES, protocol(path, folds=2)) == folds


def test_splits_for_nnunet_have_its_keys_and_train_on_the_inner_validation_too() -> None:
    folds = make_folds(CASES, folds=2, validation=0.5)
    for fold, entry in zip(folds, json.loads(split_text(folds, "splits_final.json")), strict=True):
        assert list(entry) == ["train", "val"]
        assert entry["train"] == sorted(case.id for case in (*fold.train, *fold.validation))
        assert entry["val"] == [case.id for case in fold.test]


@pytest.mark.usefixtures("without_report")
def test_a_benchmark_uses_the_file_next_to_it_and_split_writes_what_was_used(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    names = [f"patient0{number}-a" for number in range(4)]
    write(tmp_path, [{"train": names[1:3], "val": [names[0], names[3]]}], "splits_final.json")
    sets = ['protocol.splits="splits_final.json"', "protocol.folds=1", "protocol.epochs=1"]
    folder, (record,), _ = carry(benchmark_file, squares, tmp_path, *sets)
    assert record is not None
    assert record.status == "done", record.reason
    digest = hashlib.sha256((tmp_path / "splits_final.json").read_bytes()).hexdigest()
    assert record.resolved["protocol"]["splits"] == digest, "a record names no path of a machine"
    split = pd.read_csv(folder.run(record.key).path / "split.csv")
    assert set(split.loc[split["part"] == "test", "case"]) == {names[0], names[3]}
    options = [word for item in sets for word in ("--set", item)]
    words = ["split", benchmark_file, "--write", "used.csv", "--data-root", squares, *options]
    done = benchbench(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "wrote 1 fold of squares to used.csv\n")
    used = pd.read_csv(tmp_path / "used.csv")
    assert dict(zip(used["case"], used["part"], strict=True)) == dict(
        zip(split["case"], split["part"], strict=True)
    )
    write(tmp_path, [{"train": [names[0], *names[1:3]], "val": names[3:]}], "splits_final.json")
    assert carry(benchmark_file, squares, tmp_path, *sets)[2].todo == 1, "another split is another run"


def test_a_missing_file_and_a_share_next_to_a_file_are_refused(benchmark_file: Path, tmp_path: Path) -> None:
    words = ["plan", benchmark_file, "--set", 'protocol.splits="none.json"']
    missing = benchbench(*words, cwd=tmp_path)
    assert missing.returncode == 2
    assert (
        f"protocol.splits: no file {tmp_path / 'none.json'}; give a path relative to the benchmark file"
        in missing.stderr
    )
    both = benchbench(*words, "--set", "protocol.test=0.2", cwd=tmp_path)
    assert "test has no effect with splits" in both.stderr
    assert benchbench(*words, "--rehearse", cwd=tmp_path).returncode == 0


def test_a_split_file_that_is_no_regular_file_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "splits.json")
    with pytest.raises(DataError, match=r"splits\.json: found a pipe, socket or device"):
        folds_of(CASES, protocol(tmp_path / "splits.json"))
