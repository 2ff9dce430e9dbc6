"""What is scored and by which rules, as a command line or a file says it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchbench.errors import UsageError
from benchbench.spec.document import nearest
from benchbench.spec.metric_names import Challenge
from benchbench.spec.protocol import EmptyPolicy

Missing = Literal["refuse", "worst"]
Regions = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What is scored, and how."""

    regions: Mapping[str, tuple[int, ...]]
    """Region -> the label values it consists of; regions may overlap."""
    metrics: tuple[str, ...]
    empty: EmptyPolicy = "score"
    missing: Missing = "refuse"
    background: frozenset[int] = frozenset({0})
    """Values that belong to no region and are no fault."""
    lesions: Challenge | None = None
    """By whose rules of BraTS 2023 lesions are scored one by one, if at all."""

    @property
    def known(self) -> list[int]:
        """Every value that may stand in a label map."""
        return sorted({value for values in self.regions.values() for value in values} | self.background)


def read_regions(options: Sequence[str], task: Path | None = None) -> Regions:
    """The regions of `tumour=1 whole=1,2,4`, and of the table `labels` (or `regions`) of a TOML or JSON file.

    Raises:
        UsageError: an option, or the file, says something else.
    """
    regions = {} if task is None else _of_file(task)
    for word in (word for option in options for word in option.split()):
        region, _, values = word.partition("=")
        if not region or not re.fullmatch(r"\d+(,\d+)*", values):
            raise UsageError(f"--labels {word}: write region=value or region=value,value, like whole=1,2,4")
        if region in regions:
            raise UsageError(f"--labels {word}: region '{region}' is given twice")
        regions[region] = tuple(int(value) for value in values.split(","))
    if not regions:
        raise UsageError("no regions given; say which labels are what, like --labels 'tumour=1'")
    for region, given in regions.items():
        if 0 in given:
            raise UsageError(f"region '{region}': found label 0, which is background; name the other labels")
    return regions


def _of_file(path: Path) -> Regions:
    try:
        text = path.read_text(encoding="utf-8")
        data: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); give a TOML or JSON file of labels") from error
    keys = list(data) if isinstance(data, dict) else []
    table = next((data[key] for key in ("labels", "regions") if key in keys), None)
    if not isinstance(table, dict):
        raise UsageError(f"{path}: no table 'labels' or 'regions'; {nearest('labels', keys)}")
    # nnU-Net's dataset.json names the background among the labels
    return {region: _values(path, region, values) for region, values in table.items() if values != 0}


def _values(path: Path, region: str, values: object) -> tuple[int, ...]:
    listed = values if isinstance(values, list) else [values]
    if not listed or not all(type(value) is int for value in listed):
        raise UsageError(f"{path}: labels.{region}: found {values!r}, expected a whole number or a list of them")
    return tuple(listed)
