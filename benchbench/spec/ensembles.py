"""The [[ensembles]] of a benchmark file: rows of a table whose members predict together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field, field_validator

from benchbench.spec.document import Document, nearest
from benchbench.spec.strict import Strict


class EnsembleSpec(Strict):
    """A row that predicts with the mean of its members' probabilities; it trains nothing itself.

    The members belong to the same dataset, variant and fold as the row and also have rows of their own.
    """

    name: Annotated[str, Field(min_length=1)]
    """Name of the row in the model column of tables; without comma and =."""
    models: tuple[str, ...] = ()
    """Names of the member models; empty means every model of the file."""
    seeds: bool = False
    """True to combine the members of all seeds into one ensemble, whose row has the lowest seed. False makes one
    ensemble for each seed."""
    folds: bool = False
    """Must be false: members of other folds were trained on cases that this fold tests."""

    @field_validator("name")
    @classmethod
    def _fits_only_option(cls, name: str) -> str:
        if {",", "="} & set(name) or name != name.strip():
            raise ValueError(f"found '{name}', expected a name without comma and =, so that --only can select it")
        return name

    @field_validator("folds")
    @classmethod
    def _is_within_fold(cls, folds: bool) -> bool:
        if folds:
            raise ValueError(
                "found true, but members of other folds were trained on the cases that a fold tests; leave it out"
                " and name models, or set seeds = true"
            )
        return folds

    def among(self, models: Sequence[str]) -> EnsembleSpec:
        """Return the same ensemble with its members named, given the models of the file."""
        return self.model_copy(update={"models": self.models or tuple(models)})

    @property
    def described(self) -> str:
        """The members in words, as tables show them."""
        names = ", ".join(self.models)
        return f"{names} (all seeds)" if self.seeds else names


def ensemble_problems(
    document: Document, ensembles: Sequence[EnsembleSpec], models: Sequence[str]
) -> Iterator[str]:
    """Yield a line for each problem in the ensembles of a file with these models."""
    taken = list(models)
    for number, ensemble in enumerate(ensembles):
        if ensemble.name in taken:
            place = document.where(("ensembles", number, "name"))
            yield (
                f"{place}: ensembles.{ensemble.name}: a model or another ensemble has this name; choose another"
            )
        taken.append(ensemble.name)
        place = document.where(("ensembles", number, "models"))
        for problem in _member_problems(ensemble.among(models), models):
            yield f"{place}: ensembles.{ensemble.name}.models: {problem}"


def _member_problems(ensemble: EnsembleSpec, models: Sequence[str]) -> Iterator[str]:
    members = ensemble.models
    for position, name in enumerate(members):
        if name not in models:
            yield f"no such model '{name}'; {nearest(name, models)}"
        elif name in members[:position]:
            yield f"'{name}' is listed twice; name each member once"
    if len(members) < 2 and not ensemble.seeds:
        yield f"found one member, '{members[0]}'; name another or set seeds = true"
