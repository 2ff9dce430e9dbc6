"""Results of a part of a dataset say so wherever a number is: "22 of 110 patients"."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from commands import benchbench
from toy_benchmark import Finished

from benchbench.launch.dataset_facts import dataset_facts
from benchbench.plan.expand import plan_runs
from benchbench.registry.registry import discover
from benchbench.report.figures.canvas import export, figure_style, new_drawing
from benchbench.report.page.compared import compared
from benchbench.spec.benchmark import read_benchmark
from benchbench.tables.results import read_results

ROOT = Path(__file__).parent.parent


@pytest.fixture
def part(finished_pair: Finished, tmp_path: Path) -> Finished:
    """The results of four patients of a dataset that has eleven."""
    return with_published(finished_pair.copy(tmp_path), 11)


def with_published(finished: Finished, patients: int | None) -> Finished:
    path = finished.folder.path / "benchmark.json"
    manifest = json.loads(path.read_text())
    manifest["dataset_facts"] = {"squares": {"channels": ["grey"], "licence": "CC0", "patients": patients}}
    path.write_text(json.dumps(manifest))
    return finished


@pytest.mark.usefixtures("without_figures", "without_statistics")
def test_every_table_and_page_names_the_part_of_the_patients(part: Finished) -> None:
    done = benchbench("report", part.results, "--no-pictures", cwd=part.root)
    assert done.returncode == 0, done.stderr
    folder = part.folder.path
    for path in [*folder.glob("*.csv"), *folder.glob("tables/*.csv")]:
        table = pd.read_csv(path)
        assert set(table["data"]) <= {"4 of 11 patients"}, path
    assert "**4 of 11 patients**" in (folder / "leaderboard.md").read_text()
    for path in [*folder.glob("*.tex"), *folder.glob("tables/*.md"), *folder.glob("tables/*.tex")]:
        assert "(4 of 11 patients)" in path.read_text(), path
    page = (folder / "index.html").read_text()
    assert "4 of 11 patients: every number on this page is of these patients alone." in page
    assert "squares: 4 of 11 patients" in page
    for name in ("index.html", "index.md"):
        assert "4 of 11 patients" in (part.results / name).read_text()


@pytest.mark.parametrize("published", [4, 3, None])
def test_all_patients_need_no_note(finished_pair: Finished, tmp_path: Path, published: int | None) -> None:
    results = read_results(with_published(finished_pair.copy(tmp_path), published).folder)
    assert results.note == ""
    assert results.data == "real"


def test_phantom_patients_are_no_part_of_the_real_ones(part: Finished) -> None:
    lines = compared(part.folder, read_results(part.folder))
    assert "squares: 4 of 11 patients" in lines[0].text
    path = part.folder.path / "benchmark.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"phantom": True}))
    lines = compared(part.folder, read_results(part.folder))
    assert "squares: 4 patients" in lines[0].text


def test_a_figure_carries_the_note() -> None:
    with figure_style():
        drawing = new_drawing(1.0)
        figure = export(drawing, name="a", title="t", caption="Scores.", alt="", note="4 of 11 patients")
    assert figure.caption == "Scores. (4 of 11 patients.)"
    assert "4 of 11 patients" in figure.svg


def test_lgg_has_110_patients_in_the_manifest() -> None:
    registry = discover()
    benchmark = read_benchmark(ROOT / "benchmarks" / "lgg_small.toml", check=registry.check)
    assert dataset_facts(plan_runs(benchmark, registry), registry)["lgg"].patients == 110
