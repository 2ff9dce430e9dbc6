"""The [[tables]] and [[listings]] of a benchmark file: which tables the results are printed as."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from benchbench.spec.metric_names import Metric, is_overlap
from benchbench.spec.strict import Strict
from benchbench.spec.value_names import check_value

Axis = Literal["dataset", "model", "variant", "fold", "seed"]
GroupAxis = Literal["dataset", "model", "variant"]
Aggregate = Literal["case", "slice", "pooled"]
Bold = Literal["row", "column"]
Decimals = Annotated[int, Field(ge=0, le=9)]
LABELS = ("dataset", "model", "variant", "metric")
"""Columns of a listing that name the line."""
SETTINGS = ("protocol.", "models.", "datasets.")
"""Prefixes of a listing's columns that show a setting."""


class TableSpec(Strict):
    """A pivot table of one metric over two axes of the benchmark.

    Folds and seeds that are on neither axis are averaged; any other axis gives a table for each of its values.
    """

    rows: Axis
    """Axis that has a row for each of its values."""
    columns: Axis
    """Axis that has a column for each of its values; different from `rows`."""
    value: Metric
    """Metric in the cells."""
    aggregate: Aggregate = "case"
    """How the metric is computed. case: the mean over cases; slice: the mean over slices; pooled: from the counts
    of all cases added up. slice and pooled exist only for metrics of voxel counts."""
    sd: bool = True
    """True to end a table whose rows are folds with their standard deviation; the mean is always there."""
    bold: Bold | None = None
    """Print the best value of each row, or of each column, in bold."""
    decimals: Decimals = 4
    """Digits after the decimal point in Markdown, LaTeX and on the page; CSV has six."""

    @model_validator(mode="after")
    def _axes_differ(self) -> Self:
        if self.rows == self.columns:
            raise ValueError(f"rows and columns are both '{self.rows}'; choose two axes")
        return self

    @model_validator(mode="after")
    def _has_aggregate(self) -> Self:
        if self.aggregate != "case" and not is_overlap(self.value):
            raise ValueError(
                f"{self.value} is measured case by case, found aggregate '{self.aggregate}'; use 'case'"
            )
        return self


class ListingSpec(Strict):
    """A table with a line for each dataset, model or variant, and freely chosen columns.

    Values are averaged over folds and seeds; an axis that is not `rows` gives a table for each of its values.
    """

    title: Annotated[str, Field(min_length=1)]
    """Title of the table."""
    rows: GroupAxis | None = None
    """Axis that has a row for each of its values; without it, the table has one row."""
    where: dict[GroupAxis, tuple[str, ...]] = Field(default_factory=dict)
    """Axis -> the values that are shown; all values of an axis that is not listed."""
    lines: dict[str, str] = Field(default_factory=dict)
    """Name of a line -> the text that replaces {metric} in `columns`. Each row then has all these lines; without
    `lines` it has one."""
    columns: Annotated[dict[str, str], Field(min_length=1)]
    """Heading -> content of the column: an axis (`variant`), the name of the line (`metric`), a setting
    (`protocol.optimizer.lr`), whether a setting has a value (`models.unet.norm=batch`), or a value of the runs
    (`train_loss`, `dice:oedema`), in which {metric} is replaced by the line's entry in `lines`."""
    bold: Bold | None = None
    """Print the best score or loss of each row, or of each column, in bold. A column of several `lines` has a best
    value for each of them. Sizes and epochs have none."""
    decimals: Decimals = 4
    """Digits after the decimal point in Markdown, LaTeX and on the page; CSV has six."""

    @model_validator(mode="after")
    def _columns_are_known(self) -> Self:
        metrics = list(self.lines.values()) or [""]
        for heading, source in self.columns.items():
            if is_label(source):
                continue
            for metric in metrics:
                _check_column(heading, source.replace("{metric}", metric))
        return self


class CurvesSpec(Strict):
    """A figure of learning curves: a panel for each pair of values of two settings, such as rate and batch.

    A panel has training and validation loss. Panels of a line share their axes.
    """

    rows: str
    """Setting with a line of panels for each of its values, such as "protocol.optimizer.lr"."""
    columns: str
    """Setting with a panel in each line for each of its values, such as "models.unet.norm"."""

    @model_validator(mode="after")
    def _are_two_settings(self) -> Self:
        for source in (self.rows, self.columns):
            if not source.startswith(SETTINGS):
                raise ValueError(f"found '{source}', expected a setting such as 'protocol.optimizer.lr'")
        if self.rows == self.columns:
            raise ValueError(f"rows and columns are both '{self.rows}'; choose two settings")
        return self


def is_label(source: str) -> bool:
    """Return True for a column of a listing that identifies the line instead of showing a measured value."""
    return source in LABELS or source.startswith(SETTINGS)


def _check_column(heading: str, name: str) -> None:
    try:
        check_value(name)
    except ValueError as error:
        raise ValueError(f"column '{heading}': {error}") from error
