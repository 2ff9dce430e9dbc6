from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchbench.errors import SpecError
from benchbench.spec.augmentation import Albumentations, Flip
from benchbench.spec.benchmark import Benchmark, read_benchmark
from benchbench.spec.benchmark_file import PhantomSize
from benchbench.spec.optimisation import Adam, Constant
from benchbench.spec.protocol import Protocol
from benchbench.spec.table_specs import TableSpec

VALID = """title = "T"
datasets = [{ name = "discs" }]
[[models]]
name = "plain"
[protocol]
patch = [32, 64]
epochs = 2
batch = 4
loss = "dice"
optimizer = { name = "adam", lr = 1e-3 }
"""
REHEARSE = """[rehearse]
data = { patients = 3 }
protocol = { epochs = 1, optimizer = { lr = 0.5 } }
models = { plain = { width = 2 } }
"""


def read(tmp_path: Path, text: str, **options: Any) -> Benchmark:
    path = tmp_path / "b.toml"
    path.write_text(text)
    return read_benchmark(path, **{"check": lambda *_: (), **options})


def protocols(benchmark: Benchmark) -> dict[str, Protocol]:
    return {variant.label: variant.protocol for variant in benchmark.variants}


def test_missing_keys_take_their_documented_defaults(tmp_path: Path) -> None:
    benchmark = read(tmp_path, VALID)
    assert (benchmark.name, benchmark.title, benchmark.tables, benchmark.rehearsal) == ("b", "T", (), None)
    (variant,) = benchmark.variants
    assert (variant.label, [model.name for model in variant.models]) == ("default", ["plain"])
    protocol = variant.protocol
    assert protocol.optimizer == Adam(name="adam", lr=1e-3, weight_decay=0.0)
    assert protocol.schedule == Constant(name="constant")
    assert (protocol.ndim, protocol.patch, protocol.folds, protocol.validation) == (2, (32, 64), 5, 0.2)
    assert (protocol.seeds, protocol.intensity, protocol.augment, protocol.select) == ((0,), "unit", (), "dice")
    assert (protocol.early_stopping, protocol.gradient_clip, protocol.precision) == (None, None, "bf16")
    assert protocol.metrics == ("dice", "iou", "accuracy", "precision", "sensitivity", "specificity")
    assert protocol.empty == "score"


@pytest.mark.parametrize(
    ("loss", "activation"), [("bce+dice", "sigmoid"), ("ce+dice", "softmax"), ("ce", "softmax")]
)
def test_the_activation_follows_from_the_loss(tmp_path: Path, loss: str, activation: str) -> None:
    assert protocols(read(tmp_path, VALID.replace('"dice"', f'"{loss}"')))["default"].activation == activation


def test_an_integer_is_accepted_for_a_float(tmp_path: Path) -> None:
    assert protocols(read(tmp_path, VALID.replace("1e-3", "1")))["default"].optimizer.lr == 1.0


def test_an_albumentations_step_keeps_its_parameters(tmp_path: Path) -> None:
    text = VALID + 'augment = [{ name = "flip" }, { albumentations = "Blurry", p = 0.3, limits = [1, 2] }]\n'
    flip, blurry = protocols(read(tmp_path, text))["default"].augment
    assert flip == Flip(name="flip", p=0.5)
    assert isinstance(blurry, Albumentations)
    assert (blurry.albumentations, blurry.params) == ("Blurry", {"p": 0.3, "limits": [1, 2]})


def test_a_table_aggregates_by_case_by_default(tmp_path: Path) -> None:
    text = VALID + '[[tables]]\nrows = "fold"\ncolumns = "model"\nvalue = "iou"\n'
    assert read(tmp_path, text).tables == (TableSpec(rows="fold", columns="model", value="iou", aggregate="case"),)


def test_the_parameters_of_every_entry_are_checked(tmp_path: Path) -> None:
    asked = []
    text = VALID.replace('"plain"', '"plain"\nwidth = 8\nsizes = [1, 2]')
    benchmark = read(tmp_path, text, check=lambda *entry: asked.append(entry) or ())
    assert ("datasets", "discs", {}) in asked
    assert ("models", "plain", {"width": 8, "sizes": [1, 2]}) in asked
    assert benchmark.variants[0].models[0].params == {"width": 8, "sizes": [1, 2]}


def test_a_variant_changes_only_the_settings_it_lists(tmp_path: Path) -> None:
    text = (
        VALID
        + """[[variants]]
label = "slow"
set = { "protocol.optimizer.lr" = 1e-5, "models.plain.width" = 3 }
[[variants]]
label = "plain"
set = {}
"""
    )
    slow, plain = read(tmp_path, text).variants
    assert slow.protocol.optimizer == Adam(name="adam", lr=1e-5)
    assert slow.models[0].params == {"width": 3}
    assert plain.protocol == protocols(read(tmp_path, VALID))["default"]
    assert plain.models[0].params == {}


def test_a_grid_gives_a_variant_for_every_combination(tmp_path: Path) -> None:
    variants = protocols(read(tmp_path, VALID + '[grid]\n"protocol.epochs" = [1, 5]\n"protocol.batch" = [2, 3]\n'))
    assert {label: (protocol.epochs, protocol.batch) for label, protocol in variants.items()} == {
        "epochs=1, batch=2": (1, 2),
        "epochs=1, batch=3": (1, 3),
        "epochs=5, batch=2": (5, 2),
        "epochs=5, batch=3": (5, 3),
    }


def test_every_variant_is_combined_with_every_point_of_the_grid(tmp_path: Path) -> None:
    text = (
        VALID
        + """[[variants]]
label = "a"
set = { "protocol.epochs" = 7 }
[[variants]]
label = "b"
set = { "protocol.epochs" = 8 }
[grid]
"protocol.batch" = [2, 3]
"""
    )
    variants = protocols(read(tmp_path, text))
    assert list(variants) == ["a, batch=2", "a, batch=3", "b, batch=2", "b, batch=3"]
    assert [(protocol.epochs, protocol.batch) for protocol in variants.values()] == [
        (7, 2),
        (7, 3),
        (8, 2),
        (8, 3),
    ]


def test_a_rehearsal_changes_only_the_values_it_lists(tmp_path: Path) -> None:
    benchmark = read(tmp_path, VALID + REHEARSE, rehearse=True)
    assert benchmark.rehearsal == PhantomSize(patients=3, size=64, seed=0)
    (variant,) = benchmark.variants
    assert (variant.protocol.epochs, variant.protocol.batch) == (1, 4)
    assert variant.protocol.optimizer == Adam(name="adam", lr=0.5)
    assert variant.models[0].params == {"width": 2}


def test_the_rehearse_table_has_no_effect_without_rehearse(tmp_path: Path) -> None:
    benchmark = read(tmp_path, VALID + REHEARSE)
    assert benchmark.rehearsal is None
    assert benchmark.variants == read(tmp_path, VALID).variants


def test_a_rehearsal_can_change_a_single_variant(tmp_path: Path) -> None:
    text = (
        VALID
        + REHEARSE
        + """[rehearse.variants]
deep = { "models.plain.depths" = [1, 2], "protocol.epochs" = 3 }
[[variants]]
label = "deep"
set = { "models.plain.depths" = [4, 8], "protocol.batch" = 9 }
[[variants]]
label = "plain"
set = {}
"""
    )
    deep, plain = read(tmp_path, text, rehearse=True).variants
    assert deep.models[0].params == {"width": 2, "depths": [1, 2]}
    assert (deep.protocol.epochs, deep.protocol.batch) == (3, 9)
    assert (plain.models[0].params, plain.protocol.epochs) == ({"width": 2}, 1)
    deep, plain = read(tmp_path, text).variants
    assert (deep.models[0].params, deep.protocol.epochs, deep.protocol.batch) == ({"depths": [4, 8]}, 2, 9)
    assert (plain.models[0].params, plain.protocol.epochs) == ({}, 2)


@pytest.mark.parametrize("rehearse", [False, True])
def test_a_rehearsal_of_an_unknown_variant_is_refused_with_the_nearest_label(
    tmp_path: Path, rehearse: bool
) -> None:
    text = VALID + '[grid]\n"protocol.epochs" = [1, 5]\n[rehearse.variants]\n"epochs=6" = {}\n'
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text, rehearse=rehearse)
    message = "rehearse.variants.epochs=6: no such variant; did you mean 'epochs=5'?"
    assert caught.value.problems == (f"{tmp_path}/b.toml:14: {message}",)


def test_a_wrong_value_in_the_rehearsal_of_a_variant_is_reported_with_its_line(tmp_path: Path) -> None:
    text = VALID + '[grid]\n"protocol.epochs" = [1]\n[rehearse.variants]\n"epochs=1" = { "protocol.batch" = 0 }\n'
    with pytest.raises(SpecError, match=r"b\.toml:14: variant 'epochs=1': protocol\.batch: .*found 0"):
        read(tmp_path, text, rehearse=True)
    assert read(tmp_path, text).variants[0].protocol.batch == 4


def test_overrides_replace_values_of_file_and_rehearsal(tmp_path: Path) -> None:
    overrides = ["protocol.epochs=9", "models.plain.width = 6", "protocol.loss=bce+dice", "protocol.epochs=11"]
    (variant,) = read(tmp_path, VALID + REHEARSE, rehearse=True, overrides=overrides).variants
    assert (variant.protocol.epochs, variant.protocol.loss.name) == (11, "bce+dice")
    assert variant.protocol.optimizer.lr == 0.5
    assert variant.models[0].params == {"width": 6}


def test_an_override_can_set_a_whole_table(tmp_path: Path) -> None:
    (variant,) = read(tmp_path, VALID, overrides=['models=[{ name = "other", depth = 3 }]']).variants
    assert [(model.name, model.params) for model in variant.models] == [("other", {"depth": 3})]


def test_a_listing_with_an_unknown_value_is_refused(tmp_path: Path) -> None:
    listing = '[[listings]]\ntitle = "L"\nlines = {{ a = "dice" }}\ncolumns = {{ x = "{}" }}\n'
    assert read(tmp_path, VALID + listing.format("train_{metric}_pooled")).listings[0].rows is None
    with pytest.raises(
        SpecError, match="column 'x': no such value 'train_dice_poled'; did you mean 'train_dice_pooled'"
    ):
        read(tmp_path, VALID + listing.format("train_{metric}_poled"))


def test_reproduce_loads_the_printed_tables_next_to_the_file(tmp_path: Path) -> None:
    text = VALID.replace('title = "T"\n', 'title = "T"\nreproduce = "b"\ndeviations = ["another split"]\n')
    with pytest.raises(SpecError, match=r"reported/\*.toml: no table of benchmark 'b'; known: none"):
        read(tmp_path, text)
    (tmp_path / "reported").mkdir()
    (tmp_path / "reported" / "d.toml").write_text(
        'document = "D"\ndataset = "discs"\n[[table]]\nbenchmark = "b"\ntolerance = 0\n'
        'columns = ["model", "dice"]\nrows = [["plain", 0.5]]\n'
    )
    benchmark = read(tmp_path, text)
    assert benchmark.reported[0].rows == (("plain", 0.5),)
    assert benchmark.deviations == ("another split",)
