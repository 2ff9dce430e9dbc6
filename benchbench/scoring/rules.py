"""The rules of a scoring: regions, metrics, and what to do with empty masks and missing predictions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchbench.errors import DataError, UsageError
from benchbench.images.input_files import read_text
from benchbench.images.label_table import label_values, read_label_table
from benchbench.spec.document import nearest
from benchbench.spec.metric_names import Challenge
from benchbench.spec.protocol import EmptyPolicy
from benchbench.spec.toml_text import TomlFault, parse_toml

Missing = Literal["refuse", "worst"]
Regions = dict[str, tuple[int, ...]]
"""Region -> its label values; regions may overlap."""

_TABLES = ("labels", "regions")
_IGNORE = "ignore"


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The rules by which files are scored."""

    regions: Mapping[str, tuple[int, ...]]
    """Region -> its label values; regions may overlap."""
    metrics: tuple[str, ...]
    empty: EmptyPolicy = "score"
    """The rule for empty masks."""
    missing: Missing = "refuse"
    """A case without a prediction is an error, or gets the worst score of every metric."""
    background: frozenset[int] = frozenset({0})
    """Label values that belong to no region and are allowed in label maps."""
    ignore: frozenset[int] = frozenset()
    """Label values of ignored voxels in the reference: they have no part in any count, distance or lesion."""
    lesions: Challenge | None = None
    """The BraTS 2023 challenge by whose rules single lesions are scored; None to score no lesions."""

    @property
    def known_labels(self) -> list[int]:
        """Every label value that is allowed in a label map."""
        known = set(self.background | self.ignore)
        for values in self.regions.values():
            known.update(values)
        return sorted(known)


class Labels(NamedTuple):
    """The meaning of the label values of a task."""

    regions: Regions
    ignore: frozenset[int]
    """Values of ignored voxels."""


def read_labels(options: Sequence[str], task: Path | None = None, *, ignore: Iterable[int] = ()) -> Labels:
    """Return the regions of options like `tumour=1 whole=1,2,4`, and of a TOML or JSON file, and ignored values.

    The file has them in a table `labels` or `regions`. The values of the name `ignore`, as nnU-Net's dataset.json
    has it among the labels, are ignored, like those of the argument and of a key `ignore` next to the table.

    Raises:
        UsageError: an option or the file is invalid, there are no regions, or one has an ignored label.
    """
    regions = {} if task is None else _read_task(task)
    for option in options:
        for assignment in option.split():
            region, values = _parse_assignment(assignment)
            if region in regions:
                raise UsageError(f"--labels {assignment}: region '{region}' is given twice")
            regions[region] = values
    ignored = frozenset(ignore).union(regions.pop(_IGNORE, ()))
    if not regions:
        raise UsageError("no regions given; assign labels to regions, like --labels 'tumour=1'")
    for region, values in regions.items():
        if 0 in values:
            raise UsageError(f"region '{region}': found label 0, which is background; give the other labels only")
        for value in sorted(ignored.intersection(values)):
            raise UsageError(
                f"region '{region}': found label {value}, which is ignored too; leave it out of one of the two"
            )
    return Labels(regions, ignored)


def _parse_assignment(assignment: str) -> tuple[str, tuple[int, ...]]:
    region, _, values = assignment.partition("=")
    if not region or not re.fullmatch(r"\d+(,\d+)*", values):
        raise UsageError(f"--labels {assignment}: write region=value or region=value,value, like whole=1,2,4")
    return region, tuple(map(int, values.split(",")))


def _read_task(path: Path) -> Regions:
    """Return the regions of a file; ignored labels are those of the region `ignore`."""
    try:
        text = read_text(path, kind="a file of labels")
        content: Any = parse_toml(text) if path.suffix == ".toml" else json.loads(text)
    except DataError as error:
        raise UsageError(*error.problems) from error
    except (TomlFault, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); give a TOML or JSON file of labels") from error
    keys = list(content) if isinstance(content, dict) else []
    name = next((name for name in _TABLES if name in keys), None)
    if name is None or not isinstance(content[name], dict):
        raise UsageError(f"{path}: no table 'labels' or 'regions'; {nearest('labels', keys)}")
    return _regions_of(path, content[name], ignore=content.get(_IGNORE))


def _regions_of(path: Path, table: Mapping[str, object], *, ignore: object) -> Regions:
    try:
        regions = read_label_table(table)
        if ignore is not None:
            regions.setdefault(_IGNORE, label_values(_IGNORE, ignore))
    except ValueError as error:
        raise UsageError(f"{path}: labels.{error}") from error
    return regions
