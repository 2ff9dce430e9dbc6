"""A variant that changes one model only: the other models are trained once, and their rows share the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from carry import Recorder, carry
from commands import benchbench
from toy_benchmark import BENCHMARK, write_benchmark

from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.report.page.evidence import facts
from benchbench.tables.results import read_results

VARIANTS = BENCHMARK.replace(
    "[protocol]",
    """[[models]]
name = "plain_too"

[[variants]]
label = "narrow"
set = {}

[[variants]]
label = "wide"
set = { "models.plain.width" = 5 }

[protocol]""",
)


@pytest.fixture
def variants(tmp_path: Path) -> Path:
    return write_benchmark(tmp_path, VARIANTS)


def key(model: str, variant: str) -> RunKey:
    return RunKey("squares", model, variant, 0, 0)


def trained(recorder: Recorder) -> set[RunKey]:
    """The runs that reported an epoch."""
    return {run for run, event in recorder.events if getattr(event, "note", "")}


def check_shared(folder: ResultsFolder) -> None:
    """Check that the wide run of the unchanged model has the scores and files of the narrow one."""
    narrow, wide = (folder.run(key("plain_too", variant)) for variant in ("narrow", "wide"))
    first, second = narrow.read_record(), wide.read_record()
    assert first is not None
    assert second is not None
    assert (first.trained_as, second.trained_as) == ("", str(key("plain_too", "narrow")))
    assert (second.key, second.digest, second.status) == (key("plain_too", "wide"), first.digest, "done")
    assert (narrow.path / "best.safetensors").read_bytes() == (wide.path / "best.safetensors").read_bytes()
    for name in ("cases.parquet", "slices.parquet"):
        tables = [run.read_table(name, record).to_pandas() for run, record in ((narrow, first), (wide, second))]
        assert set(tables[1]["variant"]) == {"wide"}
        pd.testing.assert_frame_equal(*[table.drop(columns="variant") for table in tables])


@pytest.mark.usefixtures("without_page")
def test_equal_digests_are_trained_once_and_their_rows_share_the_results(
    variants: Path, squares: Path, tmp_path: Path
) -> None:
    folder, records, recorder = carry(variants, squares, tmp_path, "protocol.epochs=1", only=["fold=0"])
    assert [record.status for record in records if record] == ["done"] * 4
    assert trained(recorder) == {key("plain", "narrow"), key("plain", "wide"), key("plain_too", "narrow")}
    check_shared(folder)
    results = read_results(folder)
    assert set(results.cases["variant"]) == {"narrow", "wide"}
    (fact,) = [fact for fact in facts(results) if fact.term == "Equal rows"]
    assert fact.text.startswith("squares/plain_too/wide has the settings of squares/plain_too/narrow")
    again, _, recorder = carry(variants, squares, tmp_path, "protocol.epochs=1", only=["fold=0"])
    assert recorder.todo == 0
    assert again.path == folder.path


@pytest.mark.usefixtures("without_report")
def test_a_run_that_is_selected_alone_shares_what_an_earlier_command_trained(
    variants: Path, squares: Path, tmp_path: Path
) -> None:
    sets = "protocol.epochs=1"
    carry(variants, squares, tmp_path, sets, only=["fold=0", "model=plain_too", "variant=narrow"])
    folder, _, recorder = carry(
        variants, squares, tmp_path, sets, only=["fold=0", "model=plain_too", "variant=wide"]
    )
    assert trained(recorder) == set()
    check_shared(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("without_report")
def test_worker_processes_wait_for_the_equal_run(variants: Path, squares: Path, tmp_path: Path) -> None:
    only: Any = ["fold=0", "model=plain_too"]
    folder, _, recorder = carry(variants, squares, tmp_path, "protocol.epochs=1", only=only, jobs=2)
    assert len(trained(recorder)) == 1
    check_shared(folder)


def test_the_plan_says_how_many_runs_share_results(variants: Path, tmp_path: Path) -> None:
    done = benchbench("plan", variants, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "8 runs, 6 to do, 2 of equal settings to share their results"
