from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchbench.registry.descriptions import meanings


def build(
    geometry: object, *, width: int = 4, batch_norm: bool = True, depth: int = 2, quiet: int = 0, rate: float = 0.0
) -> None:
    """A network of `depth` levels. Each has `width` channels, or `width` times its number.

    With batch normalisation there is no bias; without batch norm there is. A `depth` of 0 is none.

    rate: the share at which
        channels are dropped.
    other: of no matter.

    Raises:
        ValueError: quiet is odd.
    """


@dataclass(frozen=True)
class Folder:
    """A folder; `marked` is spoken of here."""

    root: Path
    targets: str = field(default="all", kw_only=True)
    """What is scored, over
    two lines."""
    marked: str = field(default="", kw_only=True)


def test_the_sentences_that_name_a_parameter_are_its_meaning() -> None:
    said = meanings(build)
    assert said["width"] == "Each has `width` channels, or `width` times its number."
    assert said["depth"] == "A network of `depth` levels. A `depth` of 0 is none."


def test_a_line_of_its_own_is_the_meaning_of_a_parameter_and_of_no_other() -> None:
    assert meanings(build)["rate"] == "the share at which channels are dropped."


def test_words_name_a_parameter_as_its_underscores_do() -> None:
    assert meanings(build)["batch_norm"].startswith("With batch normalisation there is no bias;")


def test_what_is_only_said_under_raises_is_no_meaning() -> None:
    assert meanings(build)["quiet"] == ""


def test_the_string_under_a_field_is_its_meaning() -> None:
    assert meanings(Folder) == {
        "targets": "What is scored, over two lines.",
        "marked": "`marked` is spoken of here.",
    }


def test_the_signature_that_a_data_class_has_for_want_of_a_docstring_says_nothing() -> None:
    @dataclass(frozen=True)
    class Silent:
        root: Path
        level: int = field(default=1, kw_only=True)

    assert meanings(Silent) == {"level": ""}
