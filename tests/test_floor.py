"""The smallest difference that a plan can show, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from commands import benchbench
from handmade import N_FOLDS, graded
from toy_benchmark import write_benchmark, write_data

from benchbench.cli.plan_splits import count_patients, count_tested
from benchbench.comparison.floor import Floor, planned_floors
from benchbench.errors import DataError
from benchbench.plan.expand import plan_runs
from benchbench.registry.registry import discover
from benchbench.report import write_report
from benchbench.spec.benchmark import read_benchmark
from benchbench.statistics import Components, Design, detectable_difference
from benchbench.tables.results import PHANTOM_NOTE

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "lgg_unet_vs_unext.toml"


def floor_of(results: Path, *overrides: str, rehearse: bool = False, **options: dict[str, int]) -> Floor:
    registry = discover()
    benchmark = read_benchmark(BENCHMARK, check=registry.check, overrides=overrides, rehearse=rehearse)
    runs = plan_runs(benchmark, registry)
    (floor,) = planned_floors(runs, registry, results, deltas=benchmark.delta, **options)
    return floor


def test_the_floor_without_earlier_results_is_that_of_the_assumed_noise(tmp_path: Path) -> None:
    floor = floor_of(tmp_path, "protocol.folds=5")
    assert floor.design == Design(110, 5, 1)
    expected = detectable_difference(Components(0.05, 0.0, 0.01, float("nan")), Design(110, 5, 1))
    assert floor.difference == pytest.approx(expected)
    assert str(floor).startswith(
        f"lgg: 110 patients, 5 folds and 1 seed show a difference in dice of {expected:.2g}"
    )
    assert "assumed, as no earlier results of this dataset are here" in str(floor)
    assert list(floor.alternatives) == ["10 folds", "3 seeds", "220 patients"]
    assert all(value < floor.difference for value in floor.alternatives.values())


def test_only_designs_that_show_smaller_differences_are_named(tmp_path: Path) -> None:
    floor = floor_of(tmp_path, "protocol.folds=2", patients={"lgg": 16})
    assert "32 patients" in floor.alternatives
    assert all(value < floor.difference for value in floor.alternatives.values())
    assert f"with 80 % power, {floor.alternatives['32 patients']:.2g} with 32 patients (SD" in str(floor)


def test_a_difference_beyond_the_range_of_the_metric_is_none(tmp_path: Path) -> None:
    floor = floor_of(tmp_path, "protocol.folds=2", patients={"lgg": 16})
    wide = str(floor._replace(difference=1.2, alternatives={"10 folds": 1.1, "220 patients": 0.9}))
    assert "show no difference in dice with 80 % power, 0.9 with 220 patients (SD" in wide


def test_delta_and_a_hold_out_change_the_floor(tmp_path: Path) -> None:
    fine = floor_of(tmp_path, "protocol.folds=5", "statistics.delta={dice=0.005}")
    assert fine.spread[:2] == (0.025, 0.005)
    held_out = floor_of(tmp_path, "protocol.folds=1", "protocol.test=0.2")
    assert held_out.design == Design(22, 1, 1)
    assert held_out.difference > 0.05


def test_counted_and_phantom_patients_replace_the_published_number(tmp_path: Path) -> None:
    assert floor_of(tmp_path, patients={"lgg": 22}).design.patients == 22
    assert floor_of(tmp_path, rehearse=True).design.patients == 16


def test_the_noise_of_earlier_results_replaces_the_assumed_one(tmp_path: Path) -> None:
    folder = tmp_path / "earlier"
    folder.mkdir()
    (folder / "benchmark.json").touch()
    lines = [
        {"dataset": "lgg", "metric": "dice", "sd_patients": 0.1, "sd_folds": 0.03, "data": "real"},
        {"dataset": "lgg", "metric": "dice", "sd_patients": 0.2, "sd_folds": 0.05, "data": "22 of 110 patients"},
        {"dataset": "lgg", "metric": "dice", "sd_patients": 9.0, "sd_folds": 9.0, "data": PHANTOM_NOTE},
        {"dataset": "acdc", "metric": "dice", "sd_patients": 7.0, "sd_folds": 7.0, "data": "real"},
    ]
    pd.DataFrame(lines).to_csv(folder / "differences.csv", index=False)
    floor = floor_of(tmp_path)
    assert floor.spread == (pytest.approx(0.15), pytest.approx(0.04), "median of 2 earlier pairs")


@pytest.mark.usefixtures("without_figures")
def test_the_table_of_differences_has_the_noise_that_later_plans_read(tmp_path: Path) -> None:
    folder = graded(tmp_path / "b", {"one": 0.1, "two": 0.0})
    write_report(folder)
    table = pd.read_csv(folder.path / "differences.csv")
    assert {"dataset", "metric", "sd_patients", "sd_folds", "data"} <= set(table)
    assert table["folds"].tolist() == [N_FOLDS]


def test_tested_patients_are_counted_over_folds() -> None:
    rows = [("d", "v", fold, part, 3) for fold in (0, 1) for part in ("train", "test")]
    sizes = pd.DataFrame(rows, columns=["dataset", "variant", "fold", "part", "patients"])
    assert count_tested(sizes) == {"d": 6}
    assert count_tested(sizes[:0]) == {}


def test_run_counts_the_patients_in_the_folder_before_it_prints_the_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_data(tmp_path, patients=12)
    file = write_benchmark(tmp_path)

    def stop(*_: object, **__: object) -> None:
        raise DataError("nothing is trained here")

    monkeypatch.setattr("benchbench.launch.orchestrate.carry_out", stop)
    done = benchbench("run", file, "--data-root", root, cwd=tmp_path)
    assert done.stdout.startswith("squares: 12 patients, 2 folds and 1 seed show a difference in dice of ")
    assert "nothing is trained here" in done.stderr


@pytest.mark.parametrize(("override", "number"), [("protocol.folds=2", 20), ("protocol.test=0.25", 5)])
def test_patients_are_counted_where_the_dataset_can_be_opened(tmp_path: Path, override: str, number: int) -> None:
    registry = discover(["toy"])
    file = write_benchmark(tmp_path)
    overrides = [override, "protocol.folds=1"] if "test" in override else [override]
    runs = plan_runs(read_benchmark(file, check=registry.check, overrides=overrides), registry)
    assert count_patients(runs, registry, data_root=tmp_path) == {}
    root = write_data(tmp_path, patients=20)
    assert count_patients(runs, registry, data_root=root) == {"squares": number}
    assert count_patients(runs, registry, data_root=None) == {}
