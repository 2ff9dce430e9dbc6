"""`--format json`: one document on stdout with stable keys and unrounded numbers, and nothing else there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pandas as pd
import pytest
from commands import Done, benchbench
from toy_benchmark import SHORT, Finished

from benchbench.cli.json_output import plain_values
from benchbench.tables.folds import fold_table
from benchbench.tables.results import read_results

DOCUMENTATION = (Path(__file__).parent.parent / "docs" / "json.md").read_text()


def refuse_constant(name: str) -> float:
    pytest.fail(f"{name} is not JSON")


def document(done: Done, command: str) -> dict[str, Any]:
    """The one document on stdout; NaN and Infinity, which Python's parser takes, are refused."""
    content = json.loads(done.stdout, parse_constant=refuse_constant)
    assert content["command"] == command
    return content


def documented(command: str) -> set[str]:
    """The names in the line of a command of docs/json.md."""
    (line,) = re.findall(rf"^\| `{command}` \| (.*) \|$", DOCUMENTATION, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", line))


def check_keys(content: dict[str, Any], command: str, *lists: str) -> None:
    """Compare the keys of a document, and of the first entry of some of its lists, with the documentation."""
    known = documented(command) | {"command"}
    assert set(content) <= known
    for name in lists:
        assert set(content[name][0]) <= known, name


class Row(NamedTuple):
    name: str
    score: float


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (np.float64(0.1), 0.1),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (pd.NA, None),
        (pd.NaT, None),
        (Path("a/b"), "a/b"),
        ((1, 2), [1, 2]),
        (frozenset({3, 2}), [2, 3]),
        (np.array([[1.5, np.nan]]), [[1.5, None]]),
        (Row("a", 0.5), {"name": "a", "score": 0.5}),
        ({1: Row("a", float("nan"))}, {"1": {"name": "a", "score": None}}),
        (pd.DataFrame({"n": pd.array([1, None], "Int64")}), [{"n": 1}, {"n": None}]),
    ],
)
def test_every_value_of_a_table_has_a_form_in_json(value: Any, plain: Any) -> None:
    assert plain_values(value) == plain
    assert json.loads(json.dumps(plain_values(value), allow_nan=False)) == plain


@pytest.mark.usefixtures("few_plugins")
def test_run_prints_runs_and_leaderboard(finished_pair: Finished, tmp_path: Path) -> None:
    pair = finished_pair.copy(tmp_path)
    sets = [word for change in SHORT for word in ("--set", change)]
    words = ["run", pair.file, "--data-root", pair.data, "--cache", pair.cache, "--jobs", 0, *sets]
    done = benchbench(*words, "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 runs to do, 6 already done" in done.stderr
    content = document(done, "run")
    check_keys(content, "run", "benchmarks")
    (benchmark,) = content["benchmarks"]
    assert (benchmark["name"], benchmark["exit_code"], benchmark["message"]) == (
        "squares",
        0,
        "all 6 runs are done",
    )
    assert Path(benchmark["page"]).name == "index.html"
    expected = fold_table(read_results(pair.folder))
    assert [row["dice"] for row in benchmark["runs"]] == list(expected["dice"])
    assert {row["model"] for row in benchmark["leaderboard"]} == {"plain", "plain_too", "both"}


def test_a_benchmark_that_cannot_be_carried_out_is_in_the_document_of_run(
    finished: Finished, tmp_path: Path
) -> None:
    files = []
    for name in ("one", "two"):
        files.append(tmp_path / f"{name}.toml")
        files[-1].write_text(finished.file.read_text())
    done = benchbench("run", *files, "--format", "json", "--jobs", 0, cwd=tmp_path)
    ends = document(done, "run")["benchmarks"]
    assert (done.returncode, [end["exit_code"] for end in ends]) == (3, [3, 3])
    assert [end["name"] for end in ends] == ["one", "two"]
    assert ends[0]["message"].startswith("not carried out: no data root given")


def test_plan_and_status_print_states(finished: Finished) -> None:
    words = ["--results", finished.results, "--format", "json"]
    content = document(benchbench("plan", finished.file, *words, cwd=finished.root), "plan")
    check_keys(content, "plan", "runs")
    assert [(run["fold"], run["state"]) for run in content["runs"]] == [(0, "done"), (1, "done")]
    assert len(content["runs"][0]["digest"]) > 12
    status = document(benchbench("status", finished.results, "--format", "json", cwd=finished.root), "status")
    check_keys(status, "status", "benchmarks")
    (benchmark,) = status["benchmarks"]
    assert benchmark["counts"] == {"done": 2}
    assert set(benchmark["runs"][0]) <= documented("status")
    assert [run["epochs"] for run in benchmark["runs"]] == [2, 2]
    refused = benchbench("status", finished.results, "--watch", "--format", "json", cwd=finished.root)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "--watch: prints again and again" in refused.stderr


def test_compare_prints_every_number_of_the_comparison(finished_pair: Finished) -> None:
    words = ["compare", "plain", "plain_too", "--results", finished_pair.folder.path]
    done = benchbench(*words, "--format", "json", cwd=finished_pair.root)
    content = document(done, "compare")
    check_keys(content, "compare", "outcomes")
    (outcome,) = content["outcomes"]
    assert outcome["verdict"] in benchbench(*words, cwd=finished_pair.root).stdout
    first = outcome["comparisons"][0]
    board = fold_table(read_results(finished_pair.folder))
    means = board.groupby("model")["dice"].mean()  # folds of equal size
    assert first["difference"] == pytest.approx(means["plain"] - means["plain_too"], abs=1e-12)
    assert first["interval_low"] is None or first["interval_low"] <= first["difference"]
    assert (first["p"] is None) == ("p:" in first["note"])
    assert {"key": "model.params.width", "first": "4", "second": "3"} in outcome["recipe"] or outcome["recipe"]


def test_score_prints_unrounded_cases(tmp_path: Path) -> None:
    reference = np.zeros((6, 6, 4), np.uint8)
    reference[0, 0, :3] = 1
    prediction = np.zeros((6, 6, 4), np.uint8)
    prediction[0, 0, 1:] = 1
    prediction[0, 1, 0] = 1
    for name, labels in (("reference", reference), ("prediction", prediction)):
        nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / f"{name}.nii.gz")
    words = ["score", "reference.nii.gz", "prediction.nii.gz", "--labels", "tumour=1", "--metrics", "dice"]
    done = benchbench(*words, "--out", "out", "--format", "json", cwd=tmp_path)
    content = document(done, "score")
    check_keys(content, "score")
    assert content["cases"][0]["dice"] == 2 * 2 / 7  # 0.5714285714285714, not 0.5714
    assert "written to out" in done.stderr
    summary = [row for row in content["summary"] if row["region"] == "tumour" and row["aggregate"] == "case"]
    assert (summary[0]["mean"], summary[0].get("low")) == (4 / 7, None)
    assert benchbench(*words[:2], "nothing.nii.gz", *words[3:], "--format", "json", cwd=tmp_path).stdout == ""


@pytest.mark.usefixtures("few_plugins")
def test_check_prints_rules_and_files(finished: Finished) -> None:
    done = benchbench("check", "plain", "--format", "json", cwd=finished.root)
    content = document(done, "check")
    check_keys(content, "check", "rules")
    states = [rule["state"] for rule in content["rules"]]
    assert content["passed"] == states.count("passed") > 5
    assert (content["failed"], done.returncode) == (1, 1)  # its parameters have no descriptions
    file = document(benchbench("check", finished.file, "--format", "json", cwd=finished.root), "check")
    assert file == {"command": "check", "name": str(finished.file), "runs": 2, "exits": {}}


@pytest.mark.usefixtures("few_plugins")
def test_list_and_show_print_plugins(tmp_path: Path) -> None:
    listed = document(benchbench("list", "--format", "json", cwd=tmp_path), "list")
    check_keys(listed, "list", "datasets", "models")
    assert {"plain", "unet"} <= {entry["name"] for entry in listed["models"]}
    model = document(benchbench("show", "plain", "--format", "json", cwd=tmp_path), "show")
    check_keys(model, "show", "parameters", "costs")
    (cost, *_) = model["costs"]
    assert cost["geometry"] == {"in_channels": 3, "out_channels": 1, "patch": [256, 256]}
    assert cost["parameters"] > 0
    assert {"dataset", "counts", "reason"} == set(cost["datasets"][0])
    dataset = document(benchbench("show", "lgg", "--format", "json", cwd=tmp_path), "show")
    check_keys(dataset, "show")
    assert dataset["regions"] == {"tumour": [1]}
    assert dataset["channels"] == ["pre_contrast", "flair", "post_contrast"]


@pytest.mark.usefixtures("few_plugins")
def test_doctor_prints_findings(tmp_path: Path) -> None:
    done = benchbench("doctor", "--data-root", tmp_path / "nothing", "--format", "json", cwd=tmp_path)
    content = document(done, "doctor")
    check_keys(content, "doctor", "findings")
    (root,) = [finding for finding in content["findings"] if finding["subject"] == "data root"]
    assert root["is_problem"]
    assert root["advice"] == "give the folder that holds the dataset folders"
    assert done.returncode == 1
