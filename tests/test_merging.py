"""Bringing results of several machines together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from handmade import FOLD_0, FOLD_1, PERFECT_0, PERFECT_1, end, key, plan, two_models

from benchbench.cli import cli
from benchbench.errors import IncompatibleError, IntegrityError
from benchbench.records.folder import ResultsFolder
from benchbench.records.merging import merge
from benchbench.report import write_report
from benchbench.tables.results import read_results

KEYS = [key(model, fold) for fold in (0, 1) for model in ("plain", "grand")]
SCANS = {("plain", 0): FOLD_0, ("plain", 1): FOLD_1, ("grand", 0): PERFECT_0, ("grand", 1): PERFECT_1}


def machine(path: Path, *runs: tuple[str, int], **changes: Any) -> ResultsFolder:
    """A results folder in which only these runs are done."""
    folder = plan(path, KEYS, **changes)
    for run in runs:
        end(folder, key(*run), SCANS[run])
    return folder


@pytest.mark.usefixtures("without_figures")
def test_the_parts_of_two_machines_give_the_tables_of_one(tmp_path: Path) -> None:
    whole = two_models(tmp_path / "whole")
    one = machine(tmp_path / "one", ("plain", 0), ("grand", 1))
    other = machine(tmp_path / "other", ("plain", 1), ("grand", 0))
    target = ResultsFolder(tmp_path / "into")
    merged = merge([one, other], target)
    write_report(target)
    assert (merged.copied, merged.present, merged.planned, merged.twice) == (4, 0, 4, ())
    CliRunner().invoke(cli, ["report", str(whole.path)], catch_exceptions=False)
    for name in ("folds.csv", "summary.csv", "leaderboard.md"):
        assert (target.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_what_is_in_the_target_stays_and_merging_again_changes_nothing(tmp_path: Path) -> None:
    target = machine(tmp_path / "into", ("plain", 0))
    other = machine(tmp_path / "other", ("plain", 1))
    assert merge([other], target).present == 1
    before = {path: path.read_bytes() for path in target.path.rglob("*") if path.is_file()}
    again = merge([other], target)
    assert (again.copied, again.present, again.twice) == (0, 2, ())
    assert {path: path.read_bytes() for path in target.path.rglob("*") if path.is_file()} == before


def test_every_file_of_a_run_comes_along_but_locks_and_unfinished_states(tmp_path: Path) -> None:
    one = machine(tmp_path / "one", ("plain", 0))
    run = one.run(key("plain", 0))
    for name in ("best.safetensors", "previews/best.png", "resume.pt", ".lock"):
        run.write(name, b"content")
    target = ResultsFolder(tmp_path / "into")
    merge([one], target)
    copied = target.run(key("plain", 0)).path
    names = {path.relative_to(copied).as_posix() for path in copied.rglob("*") if path.is_file()} - {".lock"}
    assert names == {"run.json", "cases.parquet", "slices.parquet", "best.safetensors", "previews/best.png"}


def test_a_record_of_outdated_settings_is_not_merged(tmp_path: Path) -> None:
    one = machine(tmp_path / "one", ("plain", 0))
    end(one, key("plain", 1), FOLD_1, digest="digest of an older protocol")
    merged = merge([one], ResultsFolder(tmp_path / "into"))
    assert (merged.copied, merged.planned) == (1, 4)


def test_a_run_that_is_done_takes_the_place_of_one_that_failed(tmp_path: Path) -> None:
    one, other = machine(tmp_path / "one"), machine(tmp_path / "other", ("plain", 0))
    end(one, key("plain", 0), None, status="failed", reason="out of memory")
    target = ResultsFolder(tmp_path / "into")
    merge([one, other], target)
    assert read_results(target).records[key("plain", 0)].status == "done"
    assert merge([one], target).copied == 0


def test_a_run_done_twice_with_other_scores_is_named(tmp_path: Path) -> None:
    one, other = machine(tmp_path / "one", ("plain", 0)), machine(tmp_path / "other")
    end(other, key("plain", 0), PERFECT_0)
    target = ResultsFolder(tmp_path / "into")
    merged = merge([one, other], target)
    assert merged.twice == (key("plain", 0),)
    assert read_results(target).records[key("plain", 0)].files == one.run(key("plain", 0)).read_record().files  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "c"}, "'name' is 'c', but 'b' in"),
        ({"phantom": True}, "'phantom' is True, but False in"),
        ({"metrics": ["iou"]}, "'scores' is"),
        (
            {"runs": [{**KEYS[0]._asdict(), "digest": "another"}]},
            "digest another in .*, but digest of di in .*run it again",
        ),
    ],
)
def test_another_benchmark_protocol_or_code_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    one, other = machine(tmp_path / "one", ("plain", 0)), machine(tmp_path / "other", **changes)
    with pytest.raises(IncompatibleError, match=message):
        merge([one, other], ResultsFolder(tmp_path / "into"))
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("change", [{"data_digest": "other"}, {"split_digest": "other"}])
def test_other_data_or_another_split_are_refused(tmp_path: Path, change: dict[str, str]) -> None:
    one, other = machine(tmp_path / "one", ("plain", 0), ("plain", 1)), machine(tmp_path / "other")
    end(other, key("grand", 0), PERFECT_0, **change)
    with pytest.raises(IncompatibleError, match=r"discs/grand/default/fold0/seed0: \w+ other in"):
        merge([one, other], ResultsFolder(tmp_path / "into"))


def test_a_file_that_was_changed_is_not_merged(tmp_path: Path) -> None:
    one = machine(tmp_path / "one", ("plain", 0))
    one.run(key("plain", 0)).write("cases.parquet", b"changed")
    with pytest.raises(IntegrityError, match=r"cases\.parquet: missing or changed"):
        merge([one], ResultsFolder(tmp_path / "into"))


def test_the_command_says_how_many_runs_there_are(tmp_path: Path) -> None:
    one, other = machine(tmp_path / "one", ("plain", 0)), machine(tmp_path / "other", ("grand", 0))
    words = ["merge", str(one.path), str(other.path), "--into", str(tmp_path / "into")]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.output == f"{tmp_path / 'into'}: 2 runs copied, 0 kept, 2 of 4 recorded\n"
