from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchbench.registry.descriptions import parameter_descriptions


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
    """A folder; `marked` is described here."""

    root: Path
    targets: str = field(default="all", kw_only=True)
    """Scored targets, over
    two lines."""
    marked: str = field(default="", kw_only=True)


def test_sentences_that_name_a_parameter_describe_it() -> None:
    descriptions = parameter_descriptions(build)
    assert descriptions["width"] == "Each has `width` channels, or `width` times its number."
    assert descriptions["depth"] == "A network of `depth` levels. A `depth` of 0 is none."


def test_a_line_of_its_own_describes_one_parameter_only() -> None:
    assert parameter_descriptions(build)["rate"] == "the share at which channels are dropped."


def test_spaces_may_replace_the_underscores_of_a_name() -> None:
    assert parameter_descriptions(build)["batch_norm"].startswith("With batch normalisation there is no bias;")


def test_a_name_under_raises_is_no_description() -> None:
    assert parameter_descriptions(build)["quiet"] == ""


def test_the_string_below_a_field_describes_it() -> None:
    assert parameter_descriptions(Folder) == {
        "targets": "Scored targets, over two lines.",
        "marked": "`marked` is described here.",
    }


def test_the_automatic_docstring_of_a_data_class_is_no_description() -> None:
    @dataclass(frozen=True)
    class Silent:
        root: Path
        level: int = field(default=1, kw_only=True)

    assert parameter_descriptions(Silent) == {"level": ""}
