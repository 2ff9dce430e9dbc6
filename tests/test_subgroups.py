"""Scores by subgroups of patients: what is found, what is not tested, and what a results folder keeps of patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade import N_FOLDS, end, graded, key, scans
from scipy.stats import binom

from benchbench.comparison.board import Board, boards
from benchbench.comparison.subgroups import subgroup_table, subgroups_of
from benchbench.errors import IntegrityError
from benchbench.records.folder import ResultsFolder
from benchbench.records.metadata import METADATA_NAME, read_metadata, write_metadata
from benchbench.report import write_report
from benchbench.report.page.subgroups import subgroup_sections
from benchbench.statistics import Panel
from benchbench.statistics.subgroups import subgroup_differences
from benchbench.tables.results import Results, read_results

PATIENTS = [f"f{fold}p{number}" for fold in range(N_FOLDS) for number in range(12)]


def make_panel(values: np.ndarray, folds: int = 5) -> Panel:
    """Return a panel of (M, P) values, the patients in folds of equal size."""
    models, patients = values.shape
    return Panel(
        models=tuple(map(str, range(models))),
        patients=tuple(map(str, range(patients))),
        folds=np.sort(np.arange(patients) % folds),
        sums=values,
        counts=np.ones_like(values),
    )


def test_the_difference_is_that_within_folds_worked_out_by_hand() -> None:
    # fold 0: 0.9, 0.7 against 0.6; fold 1: 0.5 against 0.1, 0.3; both folds have the weight 2/3
    panel = make_panel(np.array([[0.9, 0.7, 0.6, 0.5, 0.1, 0.3]]), folds=2)
    members = np.array([[True, True, False, True, False, False]])
    compared = subgroup_differences(panel, members)
    assert compared.differences[0, 0] == pytest.approx((0.2 + 0.3) / 2)
    # the larger of 9 equally probable arrangements, and their mirror images, is rare
    assert 0.05 < compared.p[0, 0] < 0.5


def test_noise_of_folds_is_no_difference_between_subgroups() -> None:
    folds = np.sort(np.arange(100) % 5)
    claims = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        values = generator.normal(0.8, 0.02, (1, 100))
        # one fold is much worse, and most of its patients are in the subgroup
        members = np.where(folds == 0, generator.random(100) < 0.8, generator.random(100) < 0.2)[None]
        values[0, folds == 0] -= 0.4
        claims += subgroup_differences(make_panel(values), members, permutations=199).p[0, 0] < 0.05
    # without folds every experiment would claim a difference of about 0.2
    assert claims <= binom.ppf(0.999, 200, 0.05)


def test_a_planted_bias_is_found_and_its_interval_contains_it() -> None:
    generator = np.random.default_rng(1)
    values = generator.normal(0.8, 0.05, (2, 100))
    members = generator.random((6, 100)) < 0.3
    values[1, members[2]] -= 0.1
    compared = subgroup_differences(make_panel(values), members)
    assert compared.p[2, 1] < 0.01
    assert abs(compared.differences[2, 1] + 0.1) < compared.half_widths[2, 1]
    others = np.delete(compared.p.ravel(), 2 * 2 + 1)
    assert others.min() > 0.05


def test_no_subgroup_differs_in_95_percent_of_experiments_without_bias() -> None:
    generator = np.random.default_rng(2)
    claims = 0
    for _ in range(100):
        failed = generator.random((2, 60)) < 0.08
        values = np.where(failed, 0.0, generator.beta(17, 3, (2, 60)))
        members = generator.random((6, 60)) < 0.4
        claims += subgroup_differences(make_panel(values), members, permutations=199).p.min() < 0.05
    assert claims <= binom.ppf(0.999, 100, 0.05)


def test_equal_values_differ_in_nothing() -> None:
    compared = subgroup_differences(make_panel(np.ones((1, 30))), np.arange(30)[None] % 2 == 0)
    assert (compared.differences[0, 0], compared.p[0, 0]) == (0.0, 1.0)


def test_a_subgroup_that_fills_its_folds_has_no_difference() -> None:
    panel = make_panel(np.random.default_rng(3).random((1, 30)), folds=2)
    compared = subgroup_differences(panel, (panel.folds == 0)[None])
    assert np.isnan(compared.differences[0, 0])
    assert np.isnan(compared.p[0, 0])


def with_metadata(
    path: Path, metadata: Mapping[str, Mapping[str, str]], *, bias: Mapping[str, float]
) -> ResultsFolder:
    """Return a model on sixty patients with metadata; `bias` is added to the Dice of patients of an institution."""
    folder = graded(path, {"one": 0.1})
    for fold in range(N_FOLDS):
        run, of_fold = key("one", fold), dict(scans(fold, better=0.1))
        for patient in of_fold:
            hit = of_fold[patient]["disc"][0][0]
            hit += round(100 * bias.get(metadata.get(patient, {}).get("institution", ""), 0.0))
            of_fold[patient] = {"disc": [(hit, 100 - hit, 100 - hit, 300)]}
        write_metadata(folder.run(run), {patient: metadata[patient] for patient in of_fold if patient in metadata})
        end(folder, run, of_fold, pictures=folder.run(run).digests([METADATA_NAME]))
    return folder


def metadata_of(patients: list[str]) -> dict[str, dict[str, str]]:
    """Return an institution, an age and an id of each patient; a tenth are of a small institution."""
    metadata = {}
    for number, patient in enumerate(patients):
        institution = ("north", "south")[number % 2] if number % 10 else "small"
        metadata[patient] = {"institution": institution, "age": str(40 + number % 30), "id": f"x{number}"}
    return metadata


def opened(folder: ResultsFolder) -> tuple[Results, Board]:
    results = read_results(folder)
    (board,) = boards(results)
    return results, board


def test_a_biased_institution_is_found_and_a_small_one_is_named(tmp_path: Path) -> None:
    results, board = opened(with_metadata(tmp_path, metadata_of(PATIENTS), bias={"north": -0.2}))
    table = subgroup_table(results, board).set_index(["column", "subgroup"])
    north = table.loc[("institution", "north")]
    assert (north["patients"], north["row"]) == (24, "one")
    assert north["p_adjusted"] < 0.05
    assert north["difference_low"] < -0.1 < north["difference_high"] or north["difference_high"] < -0.1
    small = table.loc[("institution", "small")]
    assert small["note"] == "6 patients are too few for a test; 10 are the least"
    assert (small["row"], small["patients"]) == ("", 6)
    assert pd.isna(small["mean"])
    assert pd.isna(small["p_adjusted"])
    # every patient has another id
    assert "id" not in table.index.get_level_values("column")
    # ages 40 to 69, each of two patients
    ages = table.loc["age"]
    assert dict(zip(ages.index, ages["patients"], strict=True)) == {
        "up to 49": 20,
        "above 49 to 59": 20,
        "above 59": 20,
    }
    # all lesions have 100 voxels
    assert "size of the lesion" not in table.index.get_level_values("column")


def test_the_page_folds_out_the_differences_and_names_what_is_too_small(tmp_path: Path) -> None:
    results, board = opened(with_metadata(tmp_path, metadata_of(PATIENTS), bias={"north": -0.2}))
    (section,) = subgroup_sections([board], [subgroup_table(results, board)])
    assert section.summary.startswith(
        "Dice on discs by subgroup: 5 subgroups tested, different from the other patients"
    )
    assert "institution north" in section.summary
    assert section.untested == (
        "Not tested, because fewer than ten patients or fewer than ten others: institution: small (6)."
    )
    assert section.table is not None
    assert len(section.table.rows) == 5


def test_sizes_of_lesions_are_thirds_and_empty_references_are_a_subgroup_of_their_own(tmp_path: Path) -> None:
    folder = graded(tmp_path, {"one": 0.1})
    for fold in range(N_FOLDS):
        of_fold = {}
        for number in range(12):
            size = 10 * number * (number > 1)  # 0, 0, 20, 30, ... 110
            of_fold[f"f{fold}p{number}"] = {"disc": [(size // 2, 0, size - size // 2, 300)]}
        end(folder, key("one", fold), of_fold)
    results, board = opened(folder)
    groups = {group.value: group.patients for group in subgroups_of(results, board)}
    assert groups == {
        "no lesion": 10,
        "up to 50 voxels": 20,
        "above 50 to 80 voxels": 15,
        "above 80 voxels": 15,
    }


def test_values_that_are_not_known_are_a_subgroup(tmp_path: Path) -> None:
    metadata = {patient: {"sex": ("f", "NA")[number % 2]} for number, patient in enumerate(PATIENTS[:-1])}
    results, board = opened(with_metadata(tmp_path, metadata, bias={}))
    groups = {group.value: group.patients for group in subgroups_of(results, board)}
    assert groups == {"f": 30, "not known": 30}


def test_changed_metadata_are_refused_and_results_without_them_are_read(tmp_path: Path) -> None:
    old = graded(tmp_path / "old", {"one": 0.1})
    assert read_results(old).metadata == {"discs": {}}
    folder = with_metadata(tmp_path / "new", metadata_of(PATIENTS), bias={})
    run = folder.run(key("one", 0))
    record = run.read_record()
    assert record is not None
    assert read_metadata(run, record)["f0p1"] == {"institution": "south", "age": "41", "id": "x1"}
    path = run.path / METADATA_NAME
    path.write_text(path.read_text().replace("south", "north"))
    with pytest.raises(IntegrityError, match=r"metadata\.csv: missing or changed since run\.json"):
        read_results(folder)


def test_the_report_writes_the_subgroups(tmp_path: Path, without_figures: None) -> None:
    folder = with_metadata(tmp_path, metadata_of(PATIENTS), bias={"north": -0.2})
    write_report(folder)
    table = pd.read_csv(folder.path / "subgroups.csv")
    assert set(table["data"]) == {"real"}
    assert set(table["column"]) == {"institution", "age"}
    page = (folder.path / "index.html").read_text()
    assert "<summary>Dice on discs by subgroup: 5 subgroups tested" in page
    assert 'href="subgroups.csv"' in page
