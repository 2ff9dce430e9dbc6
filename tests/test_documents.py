"""docs/documents.md agrees with the benchmark files: keys, values, quoted deviations, and nothing is left out."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "documents.md"
FILES = {path.stem: tomllib.loads(path.read_text()) for path in (ROOT / "benchmarks").glob("*.toml")}
OF_DOCUMENTS = sorted(name for name, file in FILES.items() if "deviations" in file)
AGREEMENT = re.compile(r'equal|equal, with further metrics|choice made here|deviation: "(?P<quote>[^"]+)"')


class Choice(NamedTuple):
    """A row of the document: a key of one or several benchmark files."""

    files: tuple[str, ...]
    key: str
    value: str
    agreement: str


def choices() -> Iterator[Choice]:
    files: tuple[str, ...] = ()
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("Files: "):
            files = tuple(re.findall(r"`(\w+)`", line))
        if line.startswith("| ") and not line.startswith(("| item", "| ---")):
            _, _, key, value, agreement, _ = (cell.strip() for cell in line.split("|"))
            yield Choice(files, key.strip("`"), value.strip("`"), agreement)


CHOICES = list(choices())


def lookup(tree: Any, key: str) -> Any:
    """Return the value of a dotted key; a part selects an entry of a list by its name, label, title or number."""
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        first, rest = ".".join(parts[:length]), ".".join(parts[length:])
        if isinstance(tree, dict) and first in tree:
            return lookup(tree[first], rest) if rest else tree[first]
        if isinstance(tree, list):
            for number, entry in enumerate(tree):
                if first in {entry.get("name"), entry.get("label"), entry.get("title"), str(number)}:
                    return lookup(entry, rest) if rest else entry
    raise KeyError(key)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: f"{choice.files[0]}-{choice.key}")
def test_a_choice_has_the_value_of_the_benchmark_files(choice: Choice) -> None:
    for name in choice.files:
        setting = lookup(FILES[name], choice.key)
        if choice.value:
            assert setting == tomllib.loads(f"value = {choice.value}")["value"], name
    assert AGREEMENT.fullmatch(choice.agreement), choice.agreement


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if "deviation" in choice.agreement], ids=str)
def test_a_quoted_deviation_is_one_of_a_benchmark_file(choice: Choice) -> None:
    match = AGREEMENT.fullmatch(choice.agreement)
    assert match is not None
    deviations = [line for name in choice.files for line in FILES[name]["deviations"]]
    assert any(line.startswith(match["quote"]) for line in deviations), match["quote"]


@pytest.mark.parametrize("name", OF_DOCUMENTS)
def test_every_choice_of_a_protocol_and_every_deviation_has_a_row(name: str) -> None:
    rows = [choice for choice in CHOICES if name in choice.files]
    keys = [choice.key for choice in rows]
    if name != "lgg_denoising":  # the report has no table of it
        for key in FILES[name]["protocol"]:
            assert any(row == f"protocol.{key}" or row.startswith(f"protocol.{key}.") for row in keys), key
    for deviation in FILES[name]["deviations"]:
        quotes = [
            match["quote"]
            for choice in rows
            if (match := AGREEMENT.fullmatch(choice.agreement)) and match["quote"]
        ]
        assert any(deviation.startswith(quote) for quote in quotes), deviation


@pytest.mark.parametrize("name", OF_DOCUMENTS)
def test_deviations_hold_for_any_number_of_folds(name: str) -> None:
    for deviation in FILES[name]["deviations"]:
        assert not re.search(r"(two|three|four|five|ten|\d) folds", deviation), deviation


def test_the_deviations_that_must_be_named_are_lines_of_the_benchmark_files() -> None:
    expected = {
        "brats21_architectures": ("every 10 epochs", "a batch has 2 patches"),
        "brats20_modalities": ("128 × 128", "normalised over the voxels that are not 0"),
        "lgg_architectures": ("rotated by up to 15 degrees",),
        "lgg_unext_configurations": ("rotated by up to 15 degrees",),
        "lgg_denoising": ("rotated by up to 15 degrees",),
        "lgg_batch_norm": ("A batch has 16 slices",),
    }
    for name, texts in expected.items():
        for text in texts:
            assert any(text in line for line in FILES[name]["deviations"]), (name, text)
    denoising = FILES["lgg_denoising"]
    assert [model["name"] for model in denoising["models"]] == ["unet"]
    assert denoising["protocol"]["loss"] == "dice"
