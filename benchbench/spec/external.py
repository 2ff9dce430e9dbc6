"""The [[external]] entries of a benchmark file: rows whose predictions another tool has made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field, field_validator

from benchbench.spec.document import Document, nearest
from benchbench.spec.strict import Count, Positive, Strict
from benchbench.words import count


class ExternalSpec(Strict):
    """A row of predictions of another tool, scored by the same metrics on the same cases of the same folds."""

    name: Annotated[str, Field(min_length=1)]
    """Name of the row in the model column of tables; without comma, = and :."""
    predictions: Annotated[str, Field(min_length=1)]
    """Label maps of the test cases, relative to the benchmark file: a pattern such as "tool/{fold}/{case}.nii.gz",
    with {dataset} where there are several, or the folder of a model that nnU-Net has trained, which has
    fold_*/validation. Without {fold}, the folds share one folder."""
    dataset: str = ""
    """Name of the dataset; needed only if the file has several and the pattern has no {dataset}."""
    variant: str = ""
    """Label of the variant by whose metrics and folds the row is scored; by default the first."""
    labels: dict[str, tuple[Annotated[int, Field(ge=1)], ...]] = Field(default_factory=dict)
    """Region -> its label values in the predictions, where they differ from those of the dataset."""
    training_data: str = ""
    """The data that the tool was trained on, in words; unknown if empty."""
    pretrained_on: tuple[str, ...] = ()
    """Names of data sets that the tool saw in addition to the training parts of the folds. On such a dataset, or
    one that shares patients with it, the row is shown and not ranked."""
    selection: str = ""
    """The way in which the tool chose its checkpoint and its settings, in words; unknown if empty."""
    parameters: Count | None = None
    """Number of parameters of the networks, if known."""
    gmacs: Positive | None = None
    """Billions of multiply-adds for one input, if known."""

    @field_validator("name")
    @classmethod
    def _fits_commands(cls, name: str) -> str:
        if {",", "=", ":"} & set(name) or name != name.strip():
            raise ValueError(
                f"found '{name}', expected a name without comma, = and :, so that commands can name it"
            )
        return name

    @property
    def described(self) -> str:
        """The origin of the predictions in words, as tables show it."""
        return f"training data {self.training_data or 'unknown'}, selection {self.selection or 'unknown'}"


def external_problems(
    document: Document,
    external: Sequence[ExternalSpec],
    *,
    taken: Sequence[str],
    datasets: Sequence[str],
    variants: Sequence[str],
) -> Iterator[str]:
    """Yield a line for each problem in the external rows of a file with these names of other rows."""
    names = list(taken)
    for number, entry in enumerate(external):
        where = ("external", number)
        if entry.name in names:
            place = document.where((*where, "name"))
            yield f"{place}: external.{entry.name}: another row has this name; choose another"
        names.append(entry.name)
        if entry.dataset and entry.dataset not in datasets:
            place = document.where((*where, "dataset"))
            hint = nearest(entry.dataset, datasets)
            yield f"{place}: external.{entry.name}.dataset: no such dataset '{entry.dataset}'; {hint}"
        if not entry.dataset and len(datasets) > 1 and "{dataset}" not in entry.predictions:
            place = document.where((*where, "predictions"))
            datasets_text = count(len(datasets), "dataset")
            yield (
                f"{place}: external.{entry.name}: found {datasets_text} and no {{dataset}} in the pattern; add it,"
                " or name the dataset"
            )
        if entry.variant and entry.variant not in variants:
            place = document.where((*where, "variant"))
            hint = nearest(entry.variant, variants)
            yield f"{place}: external.{entry.name}.variant: no such variant '{entry.variant}'; {hint}"
