"""docs/python.ipynb: its cells run in their order, and the examples of docs/python.md name what exists."""

from __future__ import annotations

import ast
import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from phantom_runs import PLUGINS

import benchbench
from benchbench.api.finished import BenchmarkResults
from benchbench.api.loaded import Benchmark
from benchbench.registry.registry import discover

DOCS = Path(__file__).parent.parent / "docs"
NOTEBOOK = json.loads((DOCS / "python.ipynb").read_text())
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


TRAINING = next(number for number, source in enumerate(CELLS) if "benchmark.run(" in source)
"""Number of the first cell that trains, which takes seconds."""


def execute(folder: Path, monkeypatch: pytest.MonkeyPatch, cells: list[str]) -> dict[str, Any]:
    """Execute cells in a folder and return their names."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCHBENCH_CACHE", str(folder / "cache"))
    names: dict[str, Any] = {}
    for number, source in enumerate(cells):
        exec(compile(source, f"cell {number}", "exec"), names)  # noqa: S102 our own notebook
    return names


def check(names: dict[str, Any]) -> None:
    assert list(names["scores"].cases["dice"]) == [0.5]
    assert list(names["scores"].cases["hd95_mm"]) == [1]
    assert list(names["results"].folds["status"]) == ["done"] * 4
    assert set(names["results"].leaderboard["model"]) == {"small", "wide"}
    assert names["labels"].shape == (32, 32)
    assert set(names["wide"].regions) == {"tumour"}
    assert len(names["comparison"]) >= 1


def test_the_cells_before_the_training_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchbench.api.loaded.discover", functools.partial(discover, PLUGINS))
    names = execute(tmp_path, monkeypatch, CELLS[:TRAINING])
    assert list(names["scores"].cases["dice"]) == [0.5]
    assert list(names["scores"].cases["hd95_mm"]) == [1]
    assert list(names["benchmark"].plan()["model"]) == ["small", "wide"] * 2


@pytest.mark.slow
def test_the_cells_of_the_notebook_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = execute(tmp_path, monkeypatch, CELLS)
    check(names)
    assert (names["results"].path / "index.html").stat().st_size > 10_000


def test_the_notebook_is_stored_without_output_in_the_format_of_notebooks() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    for cell in NOTEBOOK["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_the_page_names_functions_and_tables_that_exist() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    owners: dict[str, Any] = {"benchbench": benchbench, "results": BenchmarkResults, "benchmark": Benchmark}
    used = set()
    for node in ast.walk(ast.parse(example)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in owners:
            used.add((node.value.id, node.attr))
    for owner, name in used - {("results", "path")}:
        assert hasattr(owners[owner], name), f"{owner}.{name}"
    assert {name for owner, name in used if owner == "benchbench"} == {"load", "results", "score", "predictor"}
