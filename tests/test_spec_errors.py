from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchbench.errors import SpecError
from benchbench.spec.benchmark import read_benchmark

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


def problems(tmp_path: Path, text: str, **options: Any) -> list[str]:
    """Without the folder, which differs from test to test."""
    path = tmp_path / "b.toml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_benchmark(path, **{"check": lambda *_: (), **options})
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('title = "T"', "", "b.toml: title: missing; this key must be given"),
        ('title = "T"', "title = 3", "b.toml:1: title: input should be a valid string, found 3"),
        ("2\n", '"2"\n', "b.toml:7: protocol.epochs: input should be a valid integer, found '2'"),
        ("2\n", "true\n", "b.toml:7: protocol.epochs: input should be a valid integer, found True"),
        ("2\n", "2.0\n", "b.toml:7: protocol.epochs: input should be a valid integer, found 2.0"),
        ("2\n", "0\n", "b.toml:7: protocol.epochs: input should be greater than or equal to 1, found 0"),
        ("2\n", "2\nepoch = 2\n", "b.toml:8: protocol.epoch: no such key; did you mean 'epochs'?"),
        ("[32, 64]", "[32]", "b.toml:6: protocol.patch: tuple should have at least 2 items after validation, not 1, found [32]"),
        ("[32, 64]", "[32, 6.4]", "b.toml:6: protocol.patch.1: input should be a valid integer, found 6.4"),
        ("1e-3", "true", "b.toml:10: protocol.optimizer.lr: input should be a valid number, found True"),
        ("1e-3", '"1"', "b.toml:10: protocol.optimizer.lr: input should be a valid number, found '1'"),
        ("1e-3", "nan", "b.toml:10: protocol.optimizer.lr: input should be greater than 0, found nan"),
        ("lr =", "lrs = 1, lr =", "b.toml:10: protocol.optimizer.lrs: no such key; did you mean 'lr'?"),
        ('"adam"', '"adma"', "b.toml:10: protocol.optimizer: no such name 'adma'; did you mean 'adam'?"),
        ('name = "adam",', "", "b.toml:10: protocol.optimizer: name missing; known: adam, adamw, sgd"),
        ('"dice"', '"bce"\nschedule = "cosine"', "b.toml:10: protocol.schedule: input should be an object, found 'cosine'"),
        ('"dice"', '"L1"', "b.toml:9: protocol.loss: found 'L1', expected 'bce+dice', 'ce+dice', 'bce', 'ce', 'dice', 'focal+dice', 'bce+generalized_dice', 'ce+generalized_dice', 'generalized_dice', 'bce+tversky', 'ce+tversky' or 'tversky'"),
        ('[{ name = "discs" }]', "3", "b.toml:2: datasets: input should be a valid array, found 3"),
        ('[{ name = "discs" }]', '["discs"]', "b.toml:2: datasets.0: input should be an object, found 'discs'"),
        ('[{ name = "discs" }]', "[{}]", "b.toml:2: datasets.0.name: missing; this key must be given"),
        ('{ name = "discs" }', '{ name = "discs" }, { name = "discs" }', "b.toml:2: datasets: 'discs' is listed twice; use [[variants]]"),
        ("[protocol]", "[rehearse]\ndata = { size = 9 }\n[protocol]", "b.toml:6: rehearse.data.size: input should be greater than or equal to 32, found 9"),
        ("[protocol]", "[grid]\nprotocol.seeds = 3\n[protocol]", "b.toml:5: grid.protocol: input should be a valid array, found {'seeds': 3}"),
    ],
)  # fmt: skip
def test_a_problem_names_file_line_and_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert problems(tmp_path, VALID.replace(old, new, 1)) == [expected]


ELASTIC = 'albumentations has it: { albumentations = "ElasticTransform" }'


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ('"flip"', "0: input should be an object, found 'flip'"),
        ('{ name = "flip", q = 1 }', "flip.q: no such key; known: name, p"),
        ('{ name = "flip", p = 1.5 }', "flip.p: input should be less than or equal to 1, found 1.5"),
        ('{ name = "rotat" }', "rotat: no such name 'rotat'; did you mean 'rotate'?"),
        ('{ name = "elastic" }', f"elastic: no such name 'elastic'; {ELASTIC}"),
        ('{ name = "elastic_transform" }', f"elastic_transform: no such name 'elastic_transform'; {ELASTIC}"),
        ('{ name = "scale", range = [1] }', "scale.range.1: missing; this key must be given"),
        ("{ albumentations = 3 }", "0.albumentations: input should be a valid string, found 3"),
    ],
)
def test_a_problem_in_an_augmentation_names_the_step(tmp_path: Path, step: str, expected: str) -> None:
    assert problems(tmp_path, f"{VALID}augment = [{step}]\n") == [f"b.toml:11: protocol.augment.{expected}"]


def test_a_range_with_low_above_high_is_refused(tmp_path: Path) -> None:
    text = VALID + 'augment = [{ name = "flip" }, { name = "noise", sigma = [0.2, 0.1] }]\n'
    expected = "b.toml:5: protocol: augment[1].sigma: found [0.2, 0.1], expected [low, high]; swap the numbers"
    assert problems(tmp_path, text) == [expected]


def test_a_table_with_two_equal_axes_is_refused(tmp_path: Path) -> None:
    text = VALID + '[[tables]]\nrows = "fold"\ncolumns = "fold"\nvalue = "dice"\n'
    assert problems(tmp_path, text) == ["b.toml:11: tables.0: rows and columns are both 'fold'; choose two axes"]


def test_an_empty_file_misses_every_required_table(tmp_path: Path) -> None:
    tables = ("title", "datasets", "models", "protocol")
    assert problems(tmp_path, "") == [f"b.toml: {table}: missing; this key must be given" for table in tables]


def test_a_misspelt_table_is_reported_with_the_missing_one(tmp_path: Path) -> None:
    assert problems(tmp_path, VALID.replace("[protocol]", "[protocl]")) == [
        "b.toml: protocol: missing; this key must be given",
        "b.toml:5: protocl: no such key; did you mean 'protocol'?",
    ]


def test_problems_of_tables_keys_and_plugins_are_reported_together(tmp_path: Path) -> None:
    def check(kind: str, name: str, params: Mapping[str, Any]) -> list[tuple[str, str]]:
        if kind == "datasets":
            return [("", f"no dataset plugin '{name}' is installed; known: none")]
        return [(key, f"{params[key]} is too many") for key in params]

    text = VALID.replace('"plain"', '"plain"\nwidth = 8').replace("epochs = 2", "epochs = 0\nseed = 1")
    assert problems(tmp_path, text, check=check) == [
        "b.toml:8: protocol.epochs: input should be greater than or equal to 1, found 0",
        "b.toml:9: protocol.seed: no such key; did you mean 'seeds'?",
        "b.toml:2: datasets.discs: no dataset plugin 'discs' is installed; known: none",
        "b.toml:5: models.plain.width: 8 is too many",
    ]


def test_a_problem_in_the_rehearsal_is_reported_with_its_line(tmp_path: Path) -> None:
    text = VALID + "[rehearse.protocol]\nepochs = 1\nepoch = 1\n"
    assert problems(tmp_path, text, rehearse=True) == [
        "b.toml:11: protocol.epoch: no such key; did you mean 'epochs'?"
    ]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("protocol.epochs", "no '='; write it like --set protocol.epochs=2"),
        ("protocol.epochs=two", "protocol.epochs: input should be a valid integer, found 'two'"),
        ("protocol.epoch=2", "protocol.epoch: no such key; did you mean 'epochs'?"),
        ("protocl.epochs=2", "protocl: no such key; did you mean 'protocol'?"),
        ("protocol.epochs.x=2", "protocol.epochs.x: 'epochs' is not a table; set it as a whole"),
        ("models.plane.width=2", "models.plane.width: no 'plane' among models; did you mean 'plain'?"),
        ("models.plain=2", "'models.plain' is an entry; name its parameter, like models.plain.width"),
    ],
)
def test_a_problem_in_an_override_names_the_option(tmp_path: Path, override: str, expected: str) -> None:
    assert problems(tmp_path, VALID, overrides=[override]) == [f"--set {override}: {expected}"]


def test_problems_of_all_variants_are_reported_together_with_their_lines(tmp_path: Path) -> None:
    text = (
        VALID
        + """[[variants]]
label = "one"
set = { "protocol.epochs" = 0 }
[[variants]]
label = "two"
[variants.set]
"protocol.batch" = 1
"models.other.width" = 1
[grid]
"protocol.foldz" = [3]
"""
    )
    unknown = "protocol.foldz: no such key; did you mean 'folds'?"
    assert problems(tmp_path, text) == [
        "b.toml:13: variant 'one, foldz=3': protocol.epochs: input should be greater than or equal to 1, found 0",
        f"b.toml:20: variant 'one, foldz=3': {unknown}",
        "b.toml:18: variant 'two, foldz=3': models.other.width: no 'other' among models; known: plain",
    ]


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ('[[variants]]\nlabel = "a"\nset = { "protocol.batch" = 1 }\n' * 2, "16: two variants are called 'a'"),
        ('[grid]\n"protocol.batch" = [1, 2, 1]\n', "12: two variants are called 'batch=1'"),
    ],
)
def test_two_variants_with_one_label_are_refused(tmp_path: Path, sweep: str, expected: str) -> None:
    assert problems(tmp_path, VALID + sweep) == [f"b.toml:{expected}; give each its own label"]


@pytest.mark.parametrize("name", ["rehearsal.toml", "Upper.toml", "sp ace.toml", "-x.toml"])
def test_a_file_name_that_is_no_valid_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(VALID)
    with pytest.raises(SpecError, match="names the results folder; use at most 60 lower-case letters"):
        read_benchmark(tmp_path / name, check=lambda *_: ())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'metrics = ["dice", "hd59"]',
            "b.toml:11: protocol.metrics.1: no such metric 'hd59'; did you mean 'hd95'?",
        ),
        (
            'metrics = ["nsd"]',
            "b.toml:11: protocol.metrics.0: 'nsd' has no tolerance; write it in mm after an @, like 'nsd@2'",
        ),
        (
            '[[tables]]\nrows = "fold"\ncolumns = "model"\nvalue = "hd95"\naggregate = "pooled"',
            "b.toml:11: tables.0: hd95 is measured case by case, found aggregate 'pooled'; use 'case'",
        ),
    ],
)
def test_an_invalid_metric_is_reported_with_its_place(tmp_path: Path, line: str, expected: str) -> None:
    assert problems(tmp_path, VALID + line) == [expected]
