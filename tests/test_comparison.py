"""Comparing models of a results folder, and two results folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from handmade import FOLD_0, FOLD_1, N_FOLDS, end, graded, key, plan, scans, select_on_test_set, two_models

from benchbench.cli import cli
from benchbench.comparison import compare_results
from benchbench.comparison.board import boards
from benchbench.errors import IncompatibleError, UsageError
from benchbench.records.folder import ResultsFolder
from benchbench.statistics import Interval, Unknown
from benchbench.tables.results import read_results


def results(
    path: Path, better: float, *, models: tuple[str, str] = ("plain", "grand"), **options: Any
) -> ResultsFolder:
    return graded(path, dict(zip(models, (0.0, better), strict=True)), **options)


def test_a_better_model_is_named_with_all_the_evidence(tmp_path: Path) -> None:
    folder = results(tmp_path / "b", 0.1)
    (outcome,) = compare_results("grand", "plain", results=folder.path)
    assert list(outcome.comparisons) == ["dice", "iou"]
    dice = outcome.comparisons["dice"]
    assert dice.is_decided
    assert (dice.n, dice.folds, dice.wins) == (60, 5, 60)
    assert dice.difference == pytest.approx(0.1, abs=0.005)
    assert outcome.verdict.startswith("grand is better than plain on discs: dice +0.0")
    assert outcome.verdict.endswith("; 60 patients, 5 folds x 1 seed, training noise estimated from folds only")
    assert outcome.family == "Holm over 1 comparison: the pair of models on discs by each of dice, iou"
    assert [difference.key for difference in outcome.recipe] == ["model.name"]
    (turned,) = compare_results("plain", "grand", results=folder.path)
    assert turned.comparisons["dice"].difference == -dice.difference
    assert turned.verdict.startswith("grand is better than plain on discs: dice -0.0")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            "plain",
            "r1/b",
            "r1/b: a results folder, but the other name is not; give two results folders, or two models",
        ),
        ("r1/b", "plain", "r1/b: a results folder, but the other name is not"),
        ("r1", "r1/b", "r1: no benchmark.json in this folder; give one of r1/b"),
        ("r1/b", "r2/c", "r1/b: a results folder, but the other name is not"),
        ("r2/c", "r2/d", "r2/c: no such results folder; check the path"),
        ("plain", "grand", "--results results: no such folder; give the results folder of one benchmark"),
        ("plain", "grnd", "--results results: no such folder"),
    ],
)
def test_a_name_that_is_no_model_and_no_folder_is_named(
    tmp_path: Path, first: str, second: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    two_models(Path("r1/b"))
    with pytest.raises(UsageError) as caught:
        compare_results(first, second, results=Path("results"))
    assert str(caught.value).startswith(message)


def test_a_model_may_have_the_name_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = two_models(tmp_path / "b")
    Path("grand").mkdir()  # the package of the model, as `benchbench new model grand` writes it
    (outcome,) = compare_results("grand", "plain", results=folder.path, metrics=["dice"])
    assert (outcome.first, outcome.second) == ("grand", "plain")


def test_a_pair_has_the_same_p_in_a_comparison_as_on_the_page(tmp_path: Path) -> None:
    folder = graded(tmp_path / "b", {"grand": 0.02, "plain": 0.019, "third": 0.01})
    for fold in range(N_FOLDS):
        end(folder, key("plain", fold), scans(fold, better=0.0195, seed=1))
    (board,) = boards(read_results(folder))
    on_page = {frozenset((pair.first, pair.second)): pair for pair in board.comparisons}
    for first, second in (("grand", "plain"), ("third", "grand")):
        (outcome,) = compare_results(first, second, results=folder.path)
        dice = outcome.comparisons["dice"]
        assert dice.p_holm == pytest.approx(on_page[frozenset((first, second))].p_holm)
        assert {pair.family_size for pair in outcome.comparisons.values()} == {3}
        assert outcome.family == "Holm over 3 comparisons: the 3 pairs of models on discs by each of dice, iou"
        assert "p(Holm, 3 pairs) " in outcome.verdict


def test_equal_models_are_equivalent_and_the_verdict_has_the_detectable_difference(tmp_path: Path) -> None:
    folder = results(tmp_path / "b", 0.0)
    (outcome,) = compare_results("grand", "plain", results=folder.path)
    assert outcome.verdict.startswith(
        "grand and plain are equivalent within 0.01 on discs: dice +0.0000 [-0.0000, +0.0000]"
    )
    assert "a difference of 0.0000 would be detected with 80 % power" in outcome.verdict
    assert outcome.comparisons["dice"].ties == 60


def test_few_patients_are_undecided(tmp_path: Path) -> None:
    folder = two_models(tmp_path / "b")
    (outcome,) = compare_results("grand", "plain", results=folder.path, metrics=["dice"])
    assert isinstance(outcome.comparisons["dice"].interval, Unknown)
    assert outcome.verdict.startswith("grand and plain on discs: undecided: 6 patients are too few for a test; ")


def test_the_same_model_in_two_folders_is_compared_with_its_recipe(tmp_path: Path) -> None:
    old, new = results(tmp_path / "old", 0.0), results(tmp_path / "new", 0.0)
    for fold in range(N_FOLDS):
        protocol = {
            "folds": N_FOLDS,
            "validation": 0.2,
            "epochs": 9,
            "augment": [{"name": "flip", "p": 0.1}, {"name": "blur"}],
        }
        recipe = {"protocol": protocol, "model": {"name": "plain", "source_digest": "f" * 64}}
        end(new, key("plain", fold), scans(fold, better=0.05), resolved=recipe, provenance={"device": "cuda:0"})
    outcomes = compare_results(str(old.path), str(new.path), results=Path("unused"))
    by_model = {outcome.first.split()[0]: outcome for outcome in outcomes}
    assert set(by_model) == {"plain", "grand"}
    plain = by_model["plain"]
    assert plain.comparisons["dice"].difference == pytest.approx(-0.05, abs=0.01)
    assert plain.second == f"plain of {new.path}"
    assert {tuple(difference) for difference in plain.recipe} >= {
        ("protocol.epochs", "4", "9"),
        ("protocol.augment[0:flip].p", "0.5", "0.1"),
        ("protocol.augment[1:blur].name", "-", "blur"),
        ("model.source_digest", "-", "f" * 12),
        ("on.device", "cpu", "cuda:0"),
        ("on.threads", "2", "-"),
    }
    assert not by_model["grand"].recipe
    assert plain.family == "Holm over 2 comparisons: the 2 pairs of models on discs by each of dice, iou"


def test_several_seeds_count_as_one_value_per_case(tmp_path: Path) -> None:
    keys = [key(model, fold, seed=seed) for model in ("plain", "grand") for fold in range(3) for seed in (0, 1)]
    folder = plan(tmp_path / "b", keys, metrics=["dice"])
    for run in keys:
        end(folder, run, scans(run.fold, better=0.02 * run.seed + 0.05 * (run.model == "grand")))
    (outcome,) = compare_results("grand", "plain", results=folder.path)
    dice = outcome.comparisons["dice"]
    assert (dice.n, outcome.seeds) == (36, 2)
    assert isinstance(dice.interval, Interval)
    assert outcome.verdict.endswith("36 patients, 3 folds x 2 seeds")


def test_a_fold_of_which_a_seed_is_missing_is_left_out(tmp_path: Path) -> None:
    keys = [key(model, fold, seed=seed) for model in ("plain", "grand") for fold in range(3) for seed in (0, 1)]
    folder = plan(tmp_path / "b", keys, metrics=["dice"])
    for run in keys:
        is_missing = run == key("grand", 2, seed=1)
        end(folder, run, scans(run.fold, better=0.0), status="failed" if is_missing else "done")
    (outcome,) = compare_results("grand", "plain", results=folder.path)
    assert outcome.comparisons["dice"].n == 24
    assert outcome.notes == ("2 of 3 folds are done for both; only these are compared",)


def test_the_rule_of_the_first_side_for_empty_masks_holds_for_both(tmp_path: Path) -> None:
    keys = [key("plain", fold, variant=variant) for variant in ("ours", "theirs") for fold in (0, 1)]
    rules = {"metrics": ["dice"], "empty": "score", "select_on": "validation"}
    folder = plan(tmp_path / "b", keys, scores={"ours": rules, "theirs": {**rules, "empty": "zero"}})
    for run in keys:
        end(folder, run, (FOLD_0, FOLD_1)[run.fold])  # case c is empty, and rightly predicted so
    (outcome,) = compare_results("plain:ours", "plain:theirs", results=folder.path)
    assert outcome.comparisons["dice"].difference == 0
    assert outcome.notes == ("rules for empty masks differ; 'score' is applied to both",)


def test_the_verdict_claims_the_seeds_of_the_side_with_fewer(tmp_path: Path) -> None:
    runs = [key("plain", fold, seed=seed) for fold in range(3) for seed in (0, 1)]
    runs += [key("grand", fold) for fold in range(3)]
    folder = plan(tmp_path / "b", runs, metrics=["dice"])
    for run in runs:
        end(folder, run, scans(run.fold, better=0.0))
    (outcome,) = compare_results("grand", "plain", results=folder.path)
    assert outcome.seeds == 1


def test_folds_that_one_side_lacks_are_left_out_of_both_with_a_note(tmp_path: Path) -> None:
    folder = results(tmp_path / "b", 0.1)
    end(folder, key("grand", 3), None, status="failed", reason="out of memory")
    (outcome,) = compare_results("grand", "plain", results=folder.path)
    assert outcome.notes == ("4 of 5 folds are done for both; only these are compared",)
    assert outcome.comparisons["dice"].n == 48


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_digest": "other"}, "fold 2: different files"),
        ({"split_digest": "other"}, "fold 2: different splits"),
    ],
)
def test_models_scored_on_different_data_are_not_compared(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    folder = results(tmp_path / "b", 0.1)
    end(folder, key("grand", 2), scans(2, better=0.1), **change)
    with pytest.raises(IncompatibleError, match=message):
        compare_results("grand", "plain", results=folder.path)


def test_selection_on_the_test_set_is_not_compared_with_selection_on_validation(tmp_path: Path) -> None:
    keys = [key("plain", fold, variant=variant) for variant in ("honest", "dreamy") for fold in range(N_FOLDS)]
    folder = plan(tmp_path / "b", keys, metrics=["dice"])
    for run in keys:
        end(folder, run, scans(run.fold, better=0))
    select_on_test_set(folder, "dreamy")
    with pytest.raises(IncompatibleError, match=r"dreamy.* were selected on the test set; run both with the same"):
        compare_results("plain:honest", "plain:dreamy", results=folder.path)


def test_a_lower_distance_is_better(tmp_path: Path) -> None:
    folder = plan(
        tmp_path / "b", [key(m, f) for m in ("plain", "grand") for f in range(N_FOLDS)], metrics=["hd95"]
    )
    for fold in range(N_FOLDS):
        cases = scans(fold, better=0)
        for model, far in (("plain", 4.0), ("grand", 9.0)):
            spread = np.random.default_rng(fold).normal(0, 0.5, len(cases))
            distances = {case: {"hd95_mm": far + more} for case, more in zip(cases, spread, strict=True)}
            end(folder, key(model, fold), cases, distances)
    (outcome,) = compare_results("plain", "grand", results=folder.path)
    assert outcome.verdict.startswith("plain is better than grand on discs: hd95_mm -5.0000")
    assert outcome.verdict.endswith("lower is better")


def test_phantom_data_have_a_note(tmp_path: Path) -> None:
    folder = results(tmp_path / "b", 0.1, phantom=True)
    (outcome,) = compare_results("grand", "plain", results=folder.path)
    assert outcome.notes == ("phantom data, not a result",)


def test_a_variant_is_named_after_a_colon(tmp_path: Path) -> None:
    keys = [key("plain", fold, variant=variant) for fold in (0, 1) for variant in ("slow", "fast")]
    folder = plan(tmp_path / "b", keys, metrics=["dice"])
    for run in keys:
        end(folder, run, FOLD_1 if run.fold else FOLD_0)
    (outcome,) = compare_results("plain:slow", "plain:fast", results=folder.path)
    assert (outcome.first, outcome.second) == ("plain (slow)", "plain (fast)")
    with pytest.raises(UsageError, match=r"plain:fats: no such variant of 'plain'; did you mean 'fast'\?"):
        compare_results("plain:slow", "plain:fats", results=folder.path)


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (("grnad", "plain"), {}, "grnad: no such model here; did you mean 'grand'?"),
        (("grand", "plain"), {"dataset": "rings"}, "no dataset in common"),
        (
            ("grand", "plain"),
            {"metrics": ["hd95"]},
            "no metric measured for both; run `benchbench run` for what is missing",
        ),
    ],
)
def test_a_missing_model_dataset_or_metric_is_explained(
    tmp_path: Path, words: tuple[str, str], options: dict[str, Any], message: str
) -> None:
    folder = results(tmp_path / "b", 0.1)
    with pytest.raises(UsageError) as caught:
        compare_results(*words, results=folder.path, **options)
    assert message in str(caught.value)


def test_the_command_prints_the_verdict_first(tmp_path: Path) -> None:
    folder = results(tmp_path / "b", 0.1)
    done = CliRunner().invoke(
        cli, ["compare", "grand", "plain", "--results", str(folder.path)], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert done.output.startswith("grand is better than plain on discs: dice +0.")
    assert "differences between the recipes: 1" in done.output
    assert "60/0/0" in done.output
