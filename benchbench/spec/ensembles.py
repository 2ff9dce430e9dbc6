"""The [[ensembles]] of a benchmark file: rows whose members predict together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field, field_validator

from benchbench.spec.document import Document, nearest
from benchbench.spec.strict import Strict


class EnsembleSpec(Strict):
    """A row of its own: the mean of its members' probabilities of the same test cases.

    Members are of the dataset, the variant and the fold of the row, and are trained for their own rows anyway.
    """

    name: Annotated[str, Field(min_length=1)]
    """What stands in the column of models."""
    models: tuple[str, ...] = ()
    """Members by name; every model of the file if none is named."""
    seeds: bool = False
    """Whether the members of all seeds are one ensemble, whose row has the least of the seeds; else each seed has
    one of its own."""
    folds: bool = False
    """Never: it is here to be refused with the reason."""

    @field_validator("name")
    @classmethod
    def _can_be_selected(cls, name: str) -> str:
        if {",", "="} & set(name) or name != name.strip():
            raise ValueError(f"found '{name}', expected a name without comma and =, which --only could not tell")
        return name

    @field_validator("folds")
    @classmethod
    def _not_over_folds(cls, folds: bool) -> bool:
        if folds:
            raise ValueError(
                "found true, but members of other folds were trained on the cases that a fold tests; leave it out"
                " and name models, or set seeds = true"
            )
        return folds

    def among(self, models: Sequence[str]) -> EnsembleSpec:
        """The same with its members named."""
        return self.model_copy(update={"models": self.models or tuple(models)})

    @property
    def described(self) -> str:
        """What a table says the row consists of."""
        return ", ".join(self.models) + (" (all seeds)" if self.seeds else "")


def ensemble_problems(
    document: Document, ensembles: Sequence[EnsembleSpec], models: Sequence[str]
) -> Iterator[str]:
    """A line for each thing that is wrong with the ensembles of a file that has these models."""
    known: list[str] = list(models)
    for number, ensemble in enumerate(ensembles):
        places = {key: document.where(("ensembles", number, key)) for key in ("name", "models")}
        if ensemble.name in known:
            yield (
                f"{places['name']}: ensembles.{ensemble.name}: a model or another ensemble has this name;"
                " choose another"
            )
        known.append(ensemble.name)
        members = ensemble.among(models).models
        path = f"{places['models']}: ensembles.{ensemble.name}.models"
        for at, name in enumerate(members):
            if name not in models:
                yield f"{path}: no such model '{name}'; {nearest(name, models)}"
            elif name in members[:at]:
                yield f"{path}: '{name}' stands here twice; name each member once"
        if len(members) < 2 and not ensemble.seeds:
            yield f"{path}: found one member, '{members[0]}'; name another or set seeds = true"
