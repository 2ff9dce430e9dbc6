"""Rows of one model under several labels, models of single variants, and settings that a model has of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from carry import carry
from commands import benchbench
from test_plan import FILE, make_registry, plan
from test_spec_errors import VALID, problems
from toy_benchmark import BENCHMARK, write_benchmark, write_data

from benchbench.errors import SpecError
from benchbench.plan.settings import own_settings
from benchbench.records.folder import ResultsFolder
from benchbench.spec.benchmark import read_benchmark

SIZES = """title = "Sizes"
datasets = [{ name = "discs" }]
[[models]]
name = "plain"
label = "S"
width = 4
[models.S.protocol]
optimizer = { lr = 3e-3 }
[[models]]
name = "plain"
label = "M"
[models.M.protocol]
optimizer = { name = "sgd", lr = 0.1, momentum = 0.9 }
batch = 8
[[models]]
name = "plain"
label = "L 1.5"
width = 16
[[models]]
name = "grand"
[models."L 1.5".protocol]
epochs = 3
[models.grand.protocol]
schedule = { name = "cosine" }
loss = "bce+dice"
augment = [{ name = "flip" }]
[protocol]
patch = [32, 64]
epochs = 2
batch = 4
folds = 1
test = 0.2
loss = "dice"
optimizer = { name = "adam", lr = 1e-3, weight_decay = 1e-4 }
"""


GRAND = "schedule cosine, min_lr 0; loss bce+dice; augment flip, p 0.5"


def test_one_model_has_a_row_for_each_label_with_settings_of_its_own(tmp_path: Path) -> None:
    runs = {run.key.model: run for run in plan(tmp_path, text=SIZES)}
    assert list(runs) == ["S", "M", "L 1.5", "grand"]
    assert {run.model.name for run in runs.values()} == {"plain", "grand"}
    assert len({run.digest for run in runs.values()}) == 4
    # a table without a name changes its keys alone
    assert runs["S"].protocol.optimizer.model_dump() == {"name": "adam", "lr": 3e-3, "weight_decay": 1e-4}
    assert runs["M"].protocol.optimizer.model_dump() == {
        "name": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.0,
    }
    assert [runs[name].protocol.batch for name in runs] == [4, 8, 4, 4]
    assert [runs[name].protocol.epochs for name in runs] == [2, 2, 3, 2]
    assert runs["grand"].protocol.loss.name == "bce+dice"


def test_the_settings_of_a_model_are_described_by_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text(SIZES)
    registry = make_registry()
    benchmark = read_benchmark(path, check=registry.check)
    texts = own_settings(benchmark, plan(tmp_path, text=SIZES))["default"]
    assert {name: settings.text for name, settings in texts.items()} == {
        "S": "optimizer.lr 0.003",
        "M": "batch 8; optimizer sgd, lr 0.1, momentum 0.9, weight_decay 0",
        "L 1.5": "epochs 3",
        "grand": GRAND,
    }


def test_a_label_alone_changes_no_digest(tmp_path: Path) -> None:
    (without,) = plan(tmp_path, "protocol.folds=1", "protocol.test=0.2", text=VALID)
    labelled = VALID.replace('name = "plain"', 'name = "plain"\nlabel = "Plain net"')
    (run,) = plan(tmp_path, "protocol.folds=1", "protocol.test=0.2", text=labelled)
    assert run.key.model == "Plain net"
    assert run.digest == without.digest


def test_settings_equal_to_those_of_all_change_no_digest_and_are_not_marked(tmp_path: Path) -> None:
    text = VALID.replace('name = "plain"', 'name = "plain"\nprotocol = { epochs = 2 }')
    registry = make_registry()
    path = tmp_path / "b.toml"
    path.write_text(text)
    runs = plan(tmp_path, text=text)
    assert own_settings(read_benchmark(path, check=registry.check), runs) == {}
    assert {run.digest for run in runs} == {run.digest for run in plan(tmp_path, text=VALID)}


def test_a_variant_can_have_some_of_the_models_and_set_values_of_a_label(tmp_path: Path) -> None:
    variants = """
[[variants]]
label = "all"
[[variants]]
label = "small"
models = ["S", "grand"]
set = { "models.S.width" = 2, "models.L 1.5.width" = 64, "models.S.protocol.batch" = 2 }
"""
    runs = plan(tmp_path, text=SIZES + variants)
    by_variant = {(run.key.variant, run.key.model): run for run in runs}
    assert [model for variant, model in by_variant if variant == "small"] == ["S", "grand"]
    assert len(by_variant) == 6
    assert by_variant["small", "S"].model.params["width"] == 2
    assert by_variant["small", "S"].protocol.batch == 2
    assert by_variant["all", "S"].protocol.batch == 4


def test_a_rehearsal_changes_the_same_settings_of_all_models(tmp_path: Path) -> None:
    text = SIZES + "[rehearse]\nprotocol = { epochs = 1, patch = [32, 32] }\n"
    runs = {run.key.model: run for run in plan(tmp_path, text=text, rehearse=True)}
    assert {run.protocol.epochs for run in runs.values()} == {1}
    assert runs["M"].protocol.batch == 8


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('label = "M"', 'label = "S"', "b.toml:{M}: models: 'S' is listed twice; give each a label of its own"),
        (
            "batch = 8",
            "btach = 8",
            "b.toml:14: models.M.protocol.btach: no such key; did you mean 'batch'?",
        ),
        ("batch = 8", "batch = 0", "b.toml:14: models.M.protocol.batch: input should be greater than or equal to 1, found 0"),
        (
            "batch = 8",
            "seeds = [1]",
            "b.toml:14: models.M.protocol.seeds: found a value for one model, expected one for all, which are tested and scored alike; set it in [protocol]",
        ),
        ("[models.M.", "[models.N.", "b.toml:12: models.N: no such model; known: S, M, L 1.5, grand"),
        (
            'label = "M"',
            'label = "M:1"',
            "b.toml:{M}: models.M:1.label: found 'M:1', expected a name without comma, = and :, so that commands can name it",
        ),
    ],
)  # fmt: skip
def test_a_problem_of_a_model_names_file_line_and_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = SIZES.replace(old, new, 1)
    if "{M}" in expected:  # without the table that would name no model
        text = text.replace(
            '[models.M.protocol]\noptimizer = { name = "sgd", lr = 0.1, momentum = 0.9 }\nbatch = 8\n', ""
        )
    reported = problems(tmp_path, text)
    line = "9" if "listed twice" in expected else "11"
    assert reported[0] == expected.replace("{M}", line)


def test_a_variant_names_known_models_once(tmp_path: Path) -> None:
    variants = '[[variants]]\nlabel = "v"\nmodels = ["S", "s", "S"]\n'
    assert problems(tmp_path, SIZES + variants) == [
        "b.toml:37: variants.0.models: no such model 's'; known: S, M, L 1.5, grand",
        "b.toml:37: variants.0.models: 'S' is listed twice; name each model once",
    ]


def test_an_ensemble_has_rows_where_all_its_members_are_trained(tmp_path: Path) -> None:
    both = '[[ensembles]]\nname = "both"\nmodels = ["S", "L 1.5"]\n'
    variants = '[[variants]]\nlabel = "a"\n[[variants]]\nlabel = "b"\nmodels = ["S"]\n'
    runs = plan(tmp_path, text=SIZES + both + variants)
    assert [run.key.variant for run in runs if run.members] == ["a"]
    assert [member.key.model for run in runs for member in run.members] == ["S", "L 1.5"]
    alone = variants.replace('label = "a"\n', 'label = "a"\nmodels = ["M"]\n')
    with pytest.raises(SpecError, match=r"no variant trains S, L 1\.5 together"):
        plan(tmp_path, text=SIZES + both + alone)


def test_members_of_an_ensemble_predict_alike(tmp_path: Path) -> None:
    both = '[[ensembles]]\nname = "both"\nmodels = ["S", "M"]\n'
    text = SIZES.replace("batch = 8", "patch = [64, 64]") + both
    with pytest.raises(
        SpecError, match="found members with different patch, whose probabilities are not averaged"
    ):
        plan(tmp_path, text=text)


def test_a_dimension_of_one_model_is_checked_against_that_model(tmp_path: Path) -> None:
    text = FILE.replace('name = "plain"', 'name = "plain"\nprotocol = { ndim = 3, patch = [8, 8, 8] }')
    with pytest.raises(SpecError, match="found 3, but model 'plain' is 2D; change one of them") as caught:
        plan(tmp_path, text=text)
    assert ":5:" in str(caught.value)


# results


@pytest.mark.usefixtures("without_figures", "few_plugins")
def test_own_settings_are_next_to_the_row_on_every_table_and_in_compare(tmp_path: Path) -> None:
    text = BENCHMARK.replace("epochs = 2", "epochs = 1").replace(
        "[protocol]",
        '[[models]]\nname = "plain"\nlabel = "quick"\n[models.quick.protocol]\noptimizer = { lr = 0.05 }\n[protocol]',
    )
    text += '[[listings]]\nrows = "model"\ntitle = "Nets"\ncolumns = { net = "model", rate = "protocol.optimizer.lr", Dice = "dice" }\n'
    file, data = write_benchmark(tmp_path, text), write_data(tmp_path)
    planned = benchbench("plan", file, cwd=tmp_path)
    assert "4 runs, 4 to do" in planned.stdout
    assert "optimizer.lr 0.05" in planned.stdout
    carry(file, data, tmp_path)
    folder = ResultsFolder(tmp_path / "results" / "squares")
    assert folder.read_manifest().own_text("default", "quick") == "optimizer.lr 0.05"
    assert folder.run(next(run.key for run in folder.read_manifest().runs if run.model == "quick")).read_record()
    for name in ("folds.csv", "summary.csv", "cost.csv"):
        table = pd.read_csv(folder.path / name, keep_default_na=False)
        marks = table.groupby("model")["own_settings"].unique()
        assert {model: list(texts) for model, texts in marks.items()} == {
            "plain": [""],
            "quick": ["optimizer.lr 0.05"],
        }
    listing = next((folder.path / "tables").glob("listing-1*.csv"))
    assert pd.read_csv(listing, dtype=str).set_index("net")["rate"].to_dict() == {"plain": "0.01", "quick": "0.05"}
    pivot = next((folder.path / "tables").glob("1-dice*.csv"))
    assert "quick (optimizer.lr 0.05)" in pivot.read_text()
    board = (folder.path / "leaderboard.md").read_text()
    assert board.count("optimizer.lr 0.05") >= 2  # the leaderboard and the ranks
    assert "optimizer.lr 0.05" in (folder.path / "differences.csv").read_text()
    assert (folder.path / "index.html").read_text().count("optimizer.lr 0.05") >= 3
    compared = benchbench("compare", "quick", "plain", "--results", folder.path, cwd=tmp_path)
    assert "quick has settings of its own: optimizer.lr 0.05" in compared.stdout
    assert "protocol.optimizer.lr" in compared.stdout
    weights = folder.run(next(run.key for run in folder.read_manifest().runs if run.model == "quick")).path
    record = json.loads((weights / "run.json").read_text())
    assert (record["model"], record["resolved"]["model"]["name"]) == ("quick", "plain")
