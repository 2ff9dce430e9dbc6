"""The JSON Schema of benchmark files: our own files are valid, wrong ones are not, and every key is described."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import benchbench
from jsonschema import Draft202012Validator
from toy_benchmark import BENCHMARK

from benchbench.registry.file_schema import file_schema

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "benchmarks").glob("*.toml")) + sorted((ROOT / "benchmarks" / "zoo").glob("*.toml"))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return file_schema()


def faults(schema: dict[str, Any], text: str) -> list[str]:
    """Return the places that the schema refuses."""
    errors = Draft202012Validator(schema).iter_errors(tomllib.loads(text))
    return sorted(error.json_path for error in errors)


def test_the_command_prints_a_valid_schema(schema: dict[str, Any], tmp_path: Path) -> None:
    done = benchbench("schema", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout) == schema
    Draft202012Validator.check_schema(schema)


def test_the_schema_that_editors_read_is_that_of_the_code(schema: dict[str, Any]) -> None:
    written = (ROOT / "benchmarks" / "schema.json").read_text()
    assert written == json.dumps(schema, indent=2) + "\n", "run python docs/write_reference.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_editors_find_the_schema_of_each_file(path: Path) -> None:
    first, _, _ = path.read_text().partition("\n")
    assert first.startswith("#:schema ")
    assert (path.parent / first.removeprefix("#:schema ")).resolve() == ROOT / "benchmarks" / "schema.json"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_our_benchmark_files_are_valid(schema: dict[str, Any], path: Path) -> None:
    assert faults(schema, path.read_text()) == []


@pytest.mark.parametrize(
    "loss", ['"bce+dice"', '{ name = "ce+dice", squared = true }', '{ name = "ce", class_weights = [1, 2.5] }']
)
def test_both_forms_of_a_loss_are_valid(schema: dict[str, Any], loss: str) -> None:
    assert faults(schema, BENCHMARK.replace('"bce+dice"', loss)) == []


@pytest.mark.parametrize("search", ["true", "false", '{ over = "folds", totals = true }'])
def test_all_forms_of_a_search_are_valid(schema: dict[str, Any], search: str) -> None:
    text = BENCHMARK + f"[protocol.postprocess]\nsearch = {search}\n"
    assert faults(schema, text) == []


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("folds = 2", "flods = 2", "$.protocol"),
        ("folds = 2", "folds = 0", "$.protocol.folds"),
        ("epochs = 2", 'epochs = "2"', "$.protocol.epochs"),
        ("epochs = 2", "", "$.protocol"),
        ('"bce+dice"', '"bce+dise"', "$.protocol.loss"),
        ('"bce+dice"', '{ name = "bce+dice", sqr = true }', "$.protocol.loss"),
        ('name = "adam"', 'name = "adm"', "$.protocol.optimizer"),
        ('name = "flip"', 'name = "flp"', "$.protocol.augment[0]"),
        ('title = "Squares"', "", "$"),
        ('columns = "model"', 'columns = "modle"', "$.tables[0].columns"),
    ],
)
def test_a_wrong_file_is_refused_at_its_key(schema: dict[str, Any], old: str, new: str, place: str) -> None:
    assert old in BENCHMARK
    assert faults(schema, BENCHMARK.replace(old, new)) == [place]


def test_the_schema_has_types_defaults_and_docstrings(schema: dict[str, Any]) -> None:
    protocol = schema["$defs"]["Protocol"]["properties"]
    assert protocol["validate_every"]["type"] == "integer"
    assert protocol["validate_every"]["minimum"] == 1
    assert protocol["validate_every"]["default"] == 1
    assert protocol["validate_every"]["description"] == (
        "Number of epochs from one inner validation to the next; the last epoch is always validated."
    )
    # a key of a base class, as [[datasets]] has it
    layout_table = schema["$defs"]["DatasetEntry"]["properties"]
    assert layout_table["name"]["description"].startswith("Name of the plugin")


def tables(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every table of the schema, with its name."""
    yield "file", schema
    for name, table in schema["$defs"].items():
        yield from ((name, form) for form in table.get("anyOf", [table]) if "properties" in form)


def test_every_key_is_described(schema: dict[str, Any]) -> None:
    missing = []
    for name, table in tables(schema):
        for key, content in table["properties"].items():
            is_tag = "const" in content  # the table itself is described
            if not is_tag and "description" not in content:
                missing.append(f"{name}.{key}")
    assert missing == []
