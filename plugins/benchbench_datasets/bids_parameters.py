"""Contradictions between the parameters of a BIDS dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchbench_datasets.bids_files import parse_kind
from benchbench_datasets.folder_masks import IGNORE, Values


def region_kinds(regions: Mapping[str, Values] | None) -> tuple[str, ...]:
    """Return the kinds of mask files that regions name, and nothing where they name values."""
    return tuple(value for value in (regions or {}).values() if isinstance(value, str))


def kind_problems(kinds: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Yield (parameter, problem) for texts that name no kind of files, or one twice."""
    for key, texts in kinds.items():
        for text in filter(None, texts):
            if parse_kind(text) is None:
                yield key, f'found "{text}", expected a suffix, perhaps with entities, such as "ce-gadolinium_T1w"'
        if len(set(texts)) < len(texts):
            yield key, "found a kind of files twice, expected it once; remove one"


def folder_problems(folders: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (parameter, problem) for folders that are not below the dataset."""
    for key, folder in folders.items():
        if folder.startswith("/") or ".." in folder.split("/"):
            yield key, "found a path that leads out of the folder of the dataset, expected one below it"


def region_problems(regions: Mapping[str, Values], *, has_ignored: bool) -> Iterator[tuple[str, str]]:
    """Yield (parameter, problem) for regions of values and of files together, or of files with ignored values."""
    kinds = region_kinds(regions)
    if kinds and len(kinds) < len(regions):
        yield "regions", "found values and kinds of files, expected one of the two"
    if kinds and has_ignored:
        yield "ignore", f"found values, but regions have files of their own; name a region '{IGNORE}' instead"
