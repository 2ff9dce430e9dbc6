"""Rows whose weights saw patients of the dataset are shown and not ranked, with the reason."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace

import pytest
from carry import carry
from commands import benchbench
from handmade import change_manifest, end, graded, key, two_models
from torch import nn
from toy_benchmark import BENCHMARK, PAIR, write_benchmark, write_data

from benchbench.comparison import compare_results
from benchbench.comparison.board import boards
from benchbench.plan.contamination import contamination, pretrained_on, relatives_of, same_name
from benchbench.registry.registry import discover
from benchbench.spec.benchmark import read_benchmark
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.results import read_results
from benchbench.testing.behaviour_rules import pretrained_faults
from benchbench.testing.report import SkipRuleError

BRAIN = """
title = "Brain"
datasets = [{ name = "brats21" }, { name = "lgg", relatives = ["our own scans"] }]
models = [{ name = "unet", pretrained_on = ["BraTS 2020"] }, { name = "unet", label = "fresh" }]

[protocol]
patch = [32, 32]
epochs = 1
batch = 8
optimizer = { name = "adam", lr = 1e-2 }
loss = "bce+dice"

[[ensembles]]
name = "both"

[[external]]
name = "tool"
predictions = "tool/{dataset}/{case}.nii.gz"
pretrained_on = ["TCGA-GBM"]
"""


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("brats20", "BraTS 2020", True),
        ("TCGA-LGG", "tcga_lgg", True),
        ("brats20", "brats21", False),
        ("lgg", "TCGA-LGG", False),
        ("msd2020", "msd20", True),
        ("2020", "20", False),
    ],
)
def test_names_of_one_data_set_may_be_written_in_several_ways(first: str, second: str, is_same: bool) -> None:
    assert same_name(first, second) == is_same


def test_weights_are_compared_with_the_dataset_and_its_relatives() -> None:
    assert contamination(["ImageNet"], "brats21", ["brats20"]) == ""
    assert contamination(["BraTS21"], "brats21", []) == "weights saw BraTS21, the dataset itself"
    reason = contamination(["ImageNet", "brats20"], "brats21", ["brats19", "brats20"])
    assert reason == "weights saw brats20, which shares patients with brats21"


def test_relatives_are_those_of_the_plugin_of_other_plugins_and_of_the_file(tmp_path: Path) -> None:
    registry = discover(["lgg", "brats20", "brats21", "unet", "folders"])
    file = tmp_path / "brain.toml"
    file.write_text(BRAIN)
    benchmark = read_benchmark(file, check=registry.check)
    relatives = relatives_of(benchmark, registry)
    assert {"brats20", "TCGA-LGG", "lgg"} <= set(relatives["brats21"])
    assert {"brats20", "brats21", "TCGA-LGG", "our own scans"} <= set(relatives["lgg"])
    seen = pretrained_on(benchmark)
    assert seen == {"unet": ("BraTS 2020",), "both": ("BraTS 2020",), "tool": ("TCGA-GBM",)}
    for dataset in ("brats21", "lgg"):  # BraTS20 in BraTS21, and TCGA-LGG in BraTS
        assert contamination(seen["unet"], dataset, relatives[dataset])
    assert contamination(["our own scans"], "lgg", relatives["lgg"])
    assert contamination(seen["tool"], "brats21", relatives["brats21"])
    assert not contamination(seen["tool"], "lgg", relatives["lgg"])


def test_a_dataset_that_only_the_other_plugin_names_is_a_relative(tmp_path: Path) -> None:
    registry = discover(["lgg", "brats21", "folders", "unet"])
    file = tmp_path / "brain.toml"
    clinic = '{ name = "tcga_lgg", layout = "folders", regions = { tumour = 1 } }'
    file.write_text(BRAIN.replace('{ name = "brats21" }', clinic).replace(', "TCGA-GBM"', ""))
    relatives = relatives_of(read_benchmark(file, check=registry.check), registry)
    assert {"lgg", "brats21"} <= set(relatives["tcga_lgg"])


def test_a_row_whose_weights_saw_a_relative_is_shown_and_has_no_rank(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    assert list(leaderboard(read_results(folder))["rank"]) == [1, 2]
    change_manifest(folder, pretrained_on={"grand": ["plates"]}, relatives={"discs": ["plates"]})
    results = read_results(folder)
    board = leaderboard(results).set_index("model")
    assert list(board.index) == ["grand", "plain"]  # the better mean stays first
    assert board.loc["grand", "contamination"] == "weights saw plates, which shares patients with discs"
    assert board["rank"].isna().to_dict() == {"grand": True, "plain": False}
    assert board.loc["plain", "rank"] == 1
    assert board.loc["plain", "contamination"] == ""
    assert board.loc["grand", "dice"] == 1
    (ranked,) = boards(results)
    assert list(ranked.rows) == ["plain"]
    assert ranked.notes == ("grand is not ranked: its weights saw plates, which shares patients with discs",)


def test_the_data_sets_of_a_record_count_as_those_of_the_file(tmp_path: Path) -> None:
    folder = graded(tmp_path, {"one": 0.1, "two": 0.1})
    change_manifest(folder, relatives={"discs": ["plates"]})
    record = folder.run(key("two", 0)).read_record()
    assert record is not None
    assert record.pretrained_on == ()
    end(folder, key("two", 0), None, pretrained="resnet", pretrained_on=("ImageNet", "plates"))
    reason = leaderboard(read_results(folder)).set_index("model")["contamination"]
    assert reason["two"] == "weights saw plates, which shares patients with discs"
    end(folder, key("two", 0), None, pretrained="resnet", pretrained_on=("ImageNet",))
    assert "contamination" not in leaderboard(read_results(folder))


def test_compare_says_that_a_side_is_not_ranked(tmp_path: Path) -> None:
    folder = graded(tmp_path, {"one": 0.1, "two": 0.1})
    change_manifest(folder, pretrained_on={"two": ["DISCS"]}, relatives={})
    (outcome,) = compare_results("one", "two", results=folder.path)
    assert "two is not ranked: its weights saw DISCS, the dataset itself" in outcome.notes


@pytest.mark.usefixtures("without_figures", "few_plugins")
def test_a_file_with_pretrained_on_gives_an_unranked_row_on_the_page(tmp_path: Path) -> None:
    text = PAIR.replace('name = "plain_too"', 'name = "plain_too"\npretrained_on = ["rectangles"]')
    text = text.replace('{ name = "squares" }', '{ name = "squares", relatives = ["Rectangles"] }')
    file, data = write_benchmark(tmp_path, text.replace("epochs = 2", "epochs = 1")), write_data(tmp_path)
    before = benchbench("plan", write_benchmark(tmp_path / "..", BENCHMARK), "--format", "json", cwd=tmp_path)
    assert before.returncode == 0
    folder, _, _ = carry(file, data, tmp_path)
    reason = "weights saw rectangles, which shares patients with squares"
    board = leaderboard(read_results(folder)).set_index("model")
    assert board["contamination"].to_dict() == {"plain": "", "plain_too": reason, "both": reason}
    assert board["rank"].notna().to_dict() == {"plain": True, "plain_too": False, "both": False}
    assert reason in (folder.path / "index.html").read_text()
    assert reason in (folder.path / "leaderboard.md").read_text()


def test_pretrained_on_changes_no_digest(tmp_path: Path) -> None:
    registry = discover(["toy"])
    from benchbench.plan.expand import plan_runs

    digests = []
    for text in (BENCHMARK, BENCHMARK.replace('name = "plain"', 'name = "plain"\npretrained_on = ["squares"]')):
        benchmark = read_benchmark(write_benchmark(tmp_path, text), check=registry.check)
        digests.append([run.digest for run in plan_runs(benchmark, registry)])
    assert digests[0] == digests[1]


def same(model: nn.Module, *, seed: int) -> nn.Module:
    return model


@pytest.mark.parametrize(
    ("weights", "names", "n_faults"),
    [
        ("resnet imagenet", ("ImageNet",), 0),
        ("resnet imagenet", (), 1),
        ("resnet", "ImageNet", 1),
        ("resnet", ("",), 1),
    ],
)
def test_check_wants_the_data_sets_of_weights(weights: str, names: object, n_faults: int) -> None:
    model = nn.Conv2d(1, 1, 1)
    vars(model).update(pretrained=weights, pretrained_on=names)
    candidate = SimpleNamespace(build=functools.partial(same, model))
    assert len(list(pretrained_faults(candidate))) == n_faults  # type: ignore[arg-type]


def test_check_skips_models_that_start_from_random_numbers() -> None:
    candidate = SimpleNamespace(build=functools.partial(same, nn.Conv2d(1, 1, 1)))
    with pytest.raises(SkipRuleError):
        list(pretrained_faults(candidate))  # type: ignore[arg-type]


def test_encoders_of_the_library_name_their_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    from segmentation_models_pytorch.encoders import encoders

    from benchbench_models.smp_models import DATA_SETS, _data_sets_of

    for settings in encoders.values():
        assert set(settings["pretrained_settings"]) <= set(DATA_SETS)
    assert _data_sets_of("resnet18", "ssl") == ("YFCC100M", "ImageNet")
    assert _data_sets_of("tu-resnet18.a1_in1k", "yes") == ("those of the weights resnet18.a1_in1k of timm",)
