"""The patterns of own images: contradictions between them, and the names of channels that they give."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from benchbench.images.fusion import MAJORITY, STAPLE
from benchbench_datasets.name_pattern import NamePattern


def pattern_problems(images: Sequence[NamePattern], masks: Sequence[NamePattern]) -> Iterator[tuple[str, str]]:
    """Yield (parameter, problem) for patterns that cannot be read or do not belong together."""
    if not images:
        yield "images", "found no pattern, expected at least one"
    for key, patterns in (("images", images), ("masks", masks)):
        for pattern in patterns:
            if problem := pattern.problem():
                yield key, f"'{pattern.text}': {problem}"
    every_pattern = [*images, *masks]
    for text, number in Counter(pattern.text for pattern in every_pattern).items():
        if number > 1:
            yield "masks", f"found '{text}' twice, expected a pattern for each kind of file"
    if len({pattern.fields for pattern in every_pattern}) > 1:
        yield "masks", "found patterns with different fields, expected the same in all, to match the files"


def channel_names(patterns: Sequence[NamePattern]) -> tuple[str, ...]:
    """Return a name for the channel of each pattern: the words in which its file names differ from the others."""
    if len(patterns) == 1:
        return ("image",)
    names: list[str] = []
    for number, pattern in enumerate(patterns):
        literal = re.sub(r"\{\w*\}|\*|\.[a-z.]+$", "", pattern.text.rpartition("/")[2])
        name = literal.strip("_- .") or f"channel_{number}"
        names.append(name if name not in names else f"channel_{number}")
    return tuple(names)


def reader_problems(readers: Mapping[str, str], reference: str, *, has_files: bool) -> Iterator[tuple[str, str]]:
    """Yield (parameter, problem) for readers without a reference, or where each region `has_files` of its own."""
    if readers and has_files:
        yield "readers", "found a mask file for each region, expected masks of values; give `regions` with values"
    if reference not in {*readers, MAJORITY, STAPLE}:
        expected = ", ".join([*readers, MAJORITY, STAPLE])
        yield "reference", f"found '{reference}', expected one of {expected}; correct it"
