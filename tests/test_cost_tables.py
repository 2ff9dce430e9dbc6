from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from handmade import FOLD_0, FOLD_1, PERFECT_0, PERFECT_1, end, key, plan, two_models

from benchbench.report import write_report
from benchbench.tables.cost_tables import cost_summary, cost_table, total_gpu_hours
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.results import read_results

pytestmark = pytest.mark.usefixtures("without_figures")

COST = {
    "train_seconds": 10.0,
    "train_cpu_seconds": 19.0,
    "compile_seconds": 3.5,
    "gpu_hours": 0.5,
    "energy_wh": 4.0,
    "runs_per_device": 1,
    "gmacs": 1.5,
    "gmacs_per_case": 30.0,
    "uncounted": ["scan", "embedding"],
    "ms_per_case_p50": 20.0,
    "ms_per_case_p90": 26.0,
    "cpu_ms_per_case_p50": 36.0,
    "images_per_second": 300.0,
    "load": 1.2,
}
GPU = {"device": "cuda:0", "name": "Accelerator", "threads": 1, "precision": "bf16", "peak_memory_bytes": 99}


def row(table: pd.DataFrame, **where: object) -> dict[str, Any]:
    for name, value in where.items():
        table = table[table[name] == value]
    (line,) = table.to_dict("records")
    return line


def test_the_cost_table_has_the_cost_of_every_run(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    end(folder, key("grand", 0), PERFECT_0, provenance=GPU, cost=COST)
    costs = cost_table(read_results(folder))
    plain, grand = row(costs, model="plain", fold=0), row(costs, model="grand", fold=0)
    assert (plain["seconds"], plain["device"], plain["precision"], plain["threads"]) == (1.235, "cpu", "fp32", 2)
    assert (grand["device"], grand["precision"], grand["peak_memory_bytes"]) == ("Accelerator", "bf16", 99)
    assert {name: grand[name] for name in COST} == {**COST, "uncounted": "scan; embedding"}
    assert pd.isna(plain["peak_memory_bytes"])
    assert all(pd.isna(plain[name]) for name in COST if name != "uncounted")


def test_the_cost_of_a_model_is_over_its_runs(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    end(folder, key("grand", 0), PERFECT_0, provenance=GPU, cost=COST)
    other = {"train_seconds": 14.0, "gpu_hours": 0.75, "energy_wh": 5.0, "ms_per_case_p50": 25.0}
    end(folder, key("grand", 1), PERFECT_1, provenance={**GPU, "peak_memory_bytes": 101}, cost={**COST, **other})
    grand = row(cost_summary(read_results(folder)), model="grand")
    assert grand == {
        "dataset": "discs",
        "model": "grand",
        "variant": "default",
        "runs": 2,
        "timed_runs": 2,
        "parameters": 1234,
        "gmacs": 1.5,
        "train_seconds": 12.0,
        "train_cpu_seconds": 19.0,
        "gpu_hours": 1.25,
        "ms_per_case_p50": 22.5,
        "ms_per_case_p90": 26.0,
        "cpu_ms_per_case_p50": 36.0,
        "ms_per_case_range": "20.0 to 25.0",
        "unsteady": "",
        "images_per_second": 300.0,
        "load": 1.2,
        "peak_memory_bytes": 101,
        "energy_wh": 9.0,
        "device": "Accelerator",
        "trained_as": "",
        "data": "real",
    }


def test_times_of_a_busy_machine_have_their_range_and_a_mark(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key(model, fold) for model in ("plain", "grand") for fold in range(3)])
    for fold, milliseconds in enumerate((415.0, 163.0, 85.0)):
        busy = {**COST, "ms_per_case_p50": milliseconds, "load": 4.0 + fold}
        # the run of fold 2 stopped early: the time of an epoch is the same
        end(folder, key("plain", fold), FOLD_0, cost=busy, epochs=5)
        calm = {**COST, "train_seconds": 10.0 * (fold + 1)}
        end(folder, key("grand", fold), FOLD_0, cost=calm, epochs=3 * (fold + 1))
    summary = cost_summary(read_results(folder))
    plain, grand = row(summary, model="plain"), row(summary, model="grand")
    assert plain["ms_per_case_p50"] == 221.0
    assert plain["ms_per_case_range"] == "85.0 to 415.0"
    assert plain["unsteady"] == "ms_per_case_p50 4.9 times"
    assert (plain["cpu_ms_per_case_p50"], plain["load"]) == (36.0, 6.0)
    assert (grand["ms_per_case_range"], grand["unsteady"]) == ("20.0 to 20.0", "")


def test_times_are_those_of_the_runs_that_shared_a_device_with_the_fewest_others(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key(model, fold) for model in ("plain", "grand") for fold in range(3)])
    for fold in range(3):
        packed = {"runs_per_device": 4, "train_seconds": 50.0, "ms_per_case_p50": 99.0, "gpu_hours": 1.0}
        alone = {"gpu_busy": 0.4567, "gpu_memory_bytes": 2**31}
        end(folder, key("plain", fold), FOLD_0, cost={**COST, **(packed if fold else alone)})
        end(folder, key("grand", fold), FOLD_0, cost={**COST, **packed})
    results = read_results(folder)
    plain, grand = (row(cost_summary(results), model=model) for model in ("plain", "grand"))
    assert (plain["runs"], plain["timed_runs"], grand["timed_runs"]) == (3, 1, 3)
    assert (plain["train_seconds"], plain["ms_per_case_p50"]) == (10.0, 20.0)
    assert (plain["gpu_hours"], plain["unsteady"], plain["ms_per_case_range"]) == (2.5, "", "")
    assert (grand["train_seconds"], grand["ms_per_case_p50"]) == (50.0, 99.0)
    first = row(cost_table(results), model="plain", fold=0)
    assert (first["gpu_busy"], first["gpu_memory_bytes"]) == (0.457, 2**31)


def test_a_number_that_differs_or_that_a_run_lacks_is_empty(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    end(folder, key("grand", 0), PERFECT_0, provenance=GPU, cost=COST)
    end(folder, key("grand", 1), PERFECT_1, cost={**COST, "gmacs": 3.0, "gpu_hours": None, "energy_wh": None})
    grand = row(cost_summary(read_results(folder)), model="grand")
    assert all(pd.isna(grand[name]) for name in ("gmacs", "gpu_hours", "energy_wh", "peak_memory_bytes"))
    assert (grand["train_seconds"], grand["device"]) == (10.0, "Accelerator, cpu")


def test_a_training_that_two_rows_share_is_counted_once_in_sums(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    for fold, scans in enumerate((PERFECT_0, PERFECT_1)):
        end(folder, key("plain", fold), scans, cost=COST)
        end(folder, key("grand", fold), scans, cost=COST, trained_as=str(key("plain", fold)))
    results = read_results(folder)
    plain, grand = (row(cost_summary(results), model=model) for model in ("plain", "grand"))
    assert (plain["gpu_hours"], plain["energy_wh"], plain["trained_as"]) == (1.0, 8.0, "")
    assert (grand["gpu_hours"], grand["energy_wh"]) == (0.0, 0.0)
    assert grand["trained_as"] == "discs/plain/default"
    assert (grand["train_seconds"], grand["gmacs"]) == (10.0, 1.5)
    runs = cost_table(results)
    assert (runs["gpu_hours"].sum(), total_gpu_hours(results)) == (1.0, 1.0)
    write_report(folder)
    assert "All runs together took 1.00 GPU-hours" in (folder.path / "index.html").read_text()


def test_a_training_whose_first_row_left_the_plan_is_still_counted_once(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("grand", 0), key("large", 0)])
    for model in ("grand", "large"):
        end(folder, key(model, 0), PERFECT_0, cost=COST, trained_as=str(key("plain", 0)))
    assert total_gpu_hours(read_results(folder)) == 0.5


def test_gpu_hours_that_a_run_lacks_have_no_total(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    end(folder, key("plain", 0), FOLD_0, cost=COST)
    assert total_gpu_hours(read_results(folder)) is None


def test_failed_runs_have_a_cost_but_are_in_no_mean(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    end(folder, key("plain", 0), FOLD_0, status="diverged", reason="loss is nan", cost={"train_seconds": 3.0})
    end(folder, key("plain", 1), FOLD_1, cost=COST)
    end(folder, key("grand", 0), None, status="failed", reason="out of memory", parameters=None)
    end(folder, key("grand", 1), None, status="failed", reason="out of memory", parameters=None)
    results = read_results(folder)
    assert row(cost_table(results), model="plain", fold=0)["train_seconds"] == 3.0
    assert cost_table(results)["fold"].tolist() == [0, 1, 0, 1]
    grand, plain = cost_summary(results).to_dict("records")
    assert (plain["model"], plain["runs"], plain["train_seconds"]) == ("plain", 1, 10.0)
    assert (grand["model"], grand["runs"], grand["device"]) == ("grand", 0, "")
    assert math.isnan(grand["train_seconds"])


def test_planned_runs_have_their_rows_before_any_of_them_is_done(tmp_path: Path) -> None:
    results = read_results(plan(tmp_path, [key("plain", 0), key("plain", 1), key("grand", 0)]))
    assert cost_table(results)[["model", "fold"]].to_numpy().tolist() == [["grand", 0], ["plain", 0], ["plain", 1]]
    assert cost_summary(results)[["model", "runs"]].to_numpy().tolist() == [["grand", 0], ["plain", 0]]
    assert {"gmacs", "data"} <= set(cost_summary(results))


def test_tables_of_scores_are_the_same_on_every_machine(tmp_path: Path) -> None:
    folders = [two_models(tmp_path / name) for name in ("one", "other")]
    slower = {**COST, "train_seconds": 99.0, "ms_per_case_p50": 99.0, "images_per_second": 1.0, "energy_wh": None}
    for folder, cost in zip(folders, (COST, slower), strict=True):
        end(folder, key("grand", 0), PERFECT_0, cost=cost)
        end(folder, key("grand", 1), PERFECT_1, cost=cost)
        write_report(folder)
    for name in ("folds.csv", "summary.csv", "leaderboard.md"):
        assert (folders[0].path / name).read_bytes() == (folders[1].path / name).read_bytes()
    costs = [(folder.path / "cost_summary.csv").read_bytes() for folder in folders]
    assert costs[0] != costs[1]
    board = leaderboard(read_results(folders[0]))
    assert board.set_index("model")["gmacs"].to_dict() == pytest.approx(
        {"grand": 1.5, "plain": math.nan}, nan_ok=True
    )
