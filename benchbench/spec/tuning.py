"""The [tune] table of a benchmark file: the settings that are tried for each model, and the budget of trials."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from benchbench.spec.protocol import Protocol
from benchbench.spec.strict import Count, NonNegativeCount, Positive, Strict

PROTOCOL = "protocol."
"""Beginning of the path of a setting of the protocol."""
MODEL = "model."
"""Beginning of the path of a parameter of the model that is tuned."""


class TunedValues(Strict):
    """The values of one setting: a range from `low` to `high`, or `choices`."""

    low: int | float | None = None
    """Smallest value."""
    high: int | float | None = None
    """Largest value; whole numbers are tried if both ends are written as such."""
    log: bool = False
    """True to draw the logarithm evenly, as for learning rates."""
    step: Annotated[int | float, Field(gt=0)] | None = None
    """Distance between neighbouring values; by default 1 for whole numbers, otherwise every value is possible."""
    choices: Annotated[tuple[Any, ...], Field(min_length=2)] | None = None
    """The values, in place of a range: numbers, texts or tables such as { name = "sgd", lr = 0.1 }."""

    @model_validator(mode="after")
    def _is_a_range_or_a_list(self) -> TunedValues:
        if self.choices is None:
            self._check_range()
        elif self.low is not None or self.high is not None or self.log or self.step is not None:
            raise ValueError("found choices and a range; give choices, or low and high")
        return self

    def _check_range(self) -> None:
        if self.low is None or self.high is None:
            raise ValueError("found no values; give low and high, or choices")
        if self.low >= self.high:
            raise ValueError(f"found low = {self.low} and high = {self.high}, an empty range; low must be smaller")
        if self.log and self.low <= 0:
            raise ValueError(f"found low = {self.low} with log = true, expected a number above 0; raise it")
        if self.step is not None:
            self._check_step(self.high - self.low, self.step)

    def _check_step(self, width: float, step: float) -> None:
        if self.log:
            raise ValueError("found log = true and step; remove one of the two")
        steps = round(width / step)
        if steps < 1 or abs(steps * step - width) > 1e-6 * width:
            raise ValueError(f"step {step} does not divide high - low; change one of the three")

    @property
    def is_whole(self) -> bool:
        """True for a range of whole numbers."""
        return all(isinstance(end, int) for end in (self.low, self.high, self.step or 1))

    @property
    def ends(self) -> Sequence[Any]:
        """Both ends of the range, or all choices."""
        return self.choices if self.choices is not None else (self.low, self.high)

    def __str__(self) -> str:
        if self.choices is not None:
            return " | ".join(map(_text, self.choices))
        scale = ", log" if self.log else ""
        step = f", step {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} to {self.high:g}{scale}{step}"


class Budget(Strict):
    """The budget of the trials of one model in one fold and seed; exactly one of the three limits is given."""

    trials: Count | None = None
    """Number of trials of every model, the first of which has the settings of the file."""
    epochs: Count | None = None
    """Epochs of all trials of a model together: a trial starts if all of its epochs fit in what is left."""
    seconds: Positive | None = None
    """Seconds of training of all trials of a model together, on its device: a trial starts if some are left."""

    @property
    def budget(self) -> str:
        """The budget in words."""
        if self.trials is not None:
            return f"{self.trials} trial{'s' * (self.trials > 1)}"
        if self.epochs is not None:
            return f"{self.epochs} epoch{'s' * (self.epochs > 1)}"
        return f"{self.seconds:g} s of training"

    def allows(self, *, trials: int, epochs: int, seconds: float, next_epochs: int) -> bool:
        """Return True if a trial of `next_epochs` may start after so many trials, epochs and seconds."""
        if not trials:
            return True
        if self.trials is not None:
            return trials < self.trials
        if self.epochs is not None:
            return epochs + next_epochs <= self.epochs
        return seconds < (self.seconds or 0.0)

    def planned_epochs(self, protocol_epochs: int) -> int:
        """Return about how many epochs the trials have together."""
        if self.epochs is not None:
            return max(self.epochs, protocol_epochs)
        return protocol_epochs * (self.trials or 1)


class TuneTable(Budget):
    """The tuning of all models: the rows "MODEL (tuned)" and "MODEL (tuned + ensembled)" next to each model."""

    seed: NonNegativeCount = 0
    """Seed of the sampler."""
    sampler: Literal["tpe", "random"] = "tpe"
    """Choice of the settings of a trial: Optuna's tree-structured Parzen estimator from the trials before it, or
    random values."""
    startup: Count = 10
    """Number of trials, failed ones not counted, after which the estimator begins; those before are random."""
    ensemble: NonNegativeCount = 3
    """Number of best trials whose predictions are averaged in the row "MODEL (tuned + ensembled)"; 0 or 1 leaves
    the row out."""
    space: Annotated[dict[str, TunedValues], Field(min_length=1)]
    """Dotted path of a setting -> its values: "protocol.optimizer.lr" for every model,
    "models.unet.protocol.optimizer.lr" or the parameter "models.unet.width" for one."""

    @model_validator(mode="after")
    def _has_one_budget(self) -> TuneTable:
        given = [name for name in ("trials", "epochs", "seconds") if getattr(self, name) is not None]
        if len(given) != 1:
            named = " and ".join(given) or "no budget"
            raise ValueError(f"found {named}; give one of trials, epochs and seconds, equal for all models")
        return self


class RehearsedTune(Strict):
    """The small budget of a rehearsal."""

    trials: Count = 2
    """Number of trials of every model in a rehearsal, in place of the budget of [tune]."""


class Tuning(Budget):
    """The tuning of one row, as its runs need it."""

    kind: Literal["tuned", "ensembled"]
    """tuned: the best trial predicts; ensembled: the best trials predict together."""
    model: str
    """Row of the model that is tuned."""
    seed: int
    sampler: Literal["tpe", "random"]
    startup: int
    ensemble: int
    """Number of best trials whose weights are kept."""
    space: dict[str, TunedValues]
    """Path of a setting, below "protocol." or "model." -> its values."""

    def resolved(self) -> dict[str, Any]:
        """Return what can change a number."""
        fields = self.model_dump(mode="json")
        del fields["model"]
        return fields

    @property
    def described(self) -> str:
        """The tuning in words, as tables show it."""
        names = ", ".join(path.removeprefix(PROTOCOL).removeprefix(MODEL) for path in self.space)
        if self.kind == "tuned":
            return f"tuned: {self.budget} of {names}"
        return f"tuned and ensembled: best {self.ensemble} of {self.budget} of {names}"


def row_names(model: str) -> dict[str, str]:
    """Return kind of row -> name of the row that a tuned model gets."""
    return {"tuned": f"{model} (tuned)", "ensembled": f"{model} (tuned + ensembled)"}


def tuning_of(table: TuneTable, model: str, models: Sequence[str], kind: Literal["tuned", "ensembled"]) -> Tuning:
    """Return the tuning of a model of the file; the settings of one model replace those of all."""
    common: dict[str, TunedValues] = {}
    of_model: dict[str, TunedValues] = {}
    for path, values in table.space.items():
        owner, inner = split_path(path, models)
        if owner == model:
            of_model[inner] = values
        elif not owner:
            common[inner] = values
    space = {**common, **of_model}
    fields = table.model_dump(exclude={"space", "ensemble"})
    ordered = {path: space[path] for path in sorted(space)}  # the sampler draws in this order
    return Tuning(**fields, kind=kind, model=model, ensemble=max(table.ensemble, 1), space=ordered)


def split_path(path: str, models: Sequence[str]) -> tuple[str, str]:
    """Return the model of a path of the space, '' for all, and the path of the setting below it.

    Raises:
        KeyError: the path begins with neither `protocol.` nor `models.NAME.` with the name of a model.
    """
    if path.startswith(PROTOCOL):
        return "", path
    rest = path.removeprefix("models.")
    matching = [name for name in models if rest != path and rest.startswith(f"{name}.")]
    if not matching:
        raise KeyError(path)
    name = max(matching, key=len)  # a label may have a point
    inner = rest[len(name) + 1 :]
    return name, inner if inner.startswith(PROTOCOL) else f"{MODEL}{inner}"


def with_settings(protocol: Protocol, settings: Mapping[str, Any]) -> Protocol:
    """Return the protocol with those of the settings that are below `protocol.`.

    Raises:
        ValidationError: the protocol refuses a value.
    """
    return Protocol.model_validate_json(json.dumps(changed_fields(protocol, settings)))


def changed_fields(protocol: Protocol, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the protocol with those of the settings that are below `protocol.`."""
    fields = protocol.model_dump(mode="json")
    for path, value in settings.items():
        if not path.startswith(PROTOCOL):
            continue
        *tables, key = path.removeprefix(PROTOCOL).split(".")
        table = fields
        for name in tables:
            inner = table.get(name)
            if isinstance(inner, str):
                inner = {"name": inner}  # the short form of a table
            table[name] = dict(inner) if isinstance(inner, dict) else {}
            table = table[name]
        table[key] = value
    return fields


def present_value(protocol: Protocol, params: Mapping[str, Any], path: str) -> Any:
    """Return the value that the file gives a setting; None where it gives none."""
    if path.startswith(MODEL):
        return params.get(path.removeprefix(MODEL))
    value: Any = protocol.model_dump(mode="json")
    for key in path.removeprefix(PROTOCOL).split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
