"""The training loss: `loss` of the protocol, a name or a table."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from benchbench.spec.plugin_choice import PLUGIN_TAG, PluginLoss, built_in_or_plugin
from benchbench.spec.strict import NonNegative, Positive, Strict

LossName = Literal[
    "bce+dice",
    "ce+dice",
    "bce",
    "ce",
    "dice",
    "focal+dice",
    "bce+generalized_dice",
    "ce+generalized_dice",
    "generalized_dice",
    "bce+tversky",
    "ce+tversky",
    "tversky",
]
Overlap = Literal["dice", "generalized_dice", "tversky"]

_OF_OVERLAP = ("squared", "joint", "per_image", "smooth")


class Loss(Strict):
    """The training loss of the logits. A name alone, `loss = "bce+dice"`, is a table with the defaults.

    Source: Dice of Milletari et al. 2016, arXiv:1606.04797, smoothed by 1 as in Buda et al. 2019; generalised Dice
    of Sudre et al. 2017, arXiv:1707.03237; Tversky of Salehi et al. 2017, arXiv:1706.05721; focal loss of Lin et
    al. 2017, arXiv:1708.02002, gamma 2, without alpha.
    """

    name: LossName
    """Parts joined by +. bce: binary cross-entropy of each region; ce: cross-entropy of mutually exclusive
    classes, background included; focal: focal loss with gamma 2; dice: soft Dice; generalized_dice: Dice in which
    a class weighs 1 / (size of its reference)²; tversky: Dice that weighs false positives by `alpha` and false
    negatives by `beta`. Names that begin with ce use a softmax and need regions that do not overlap; all others
    use a sigmoid for each region."""
    squared: bool = False
    """Dice with the squares of probabilities and masks in the denominator: 2 Σpq / (Σp² + Σq²)."""
    background: bool = False
    """Softmax only: the background is a class of the Dice too."""
    joint: bool = False
    """Dice of all classes together: sums run over classes as well. Otherwise it is the mean over classes."""
    per_image: bool = False
    """Dice of each image or patch, then the mean over the batch. Otherwise, sums run over the whole batch."""
    smooth: NonNegative = 1.0
    """Number added to numerator and denominator of the Dice. It must be above 0 where a mask may be empty."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Tversky only: weight of false positives."""
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.7
    """Tversky only: weight of false negatives."""
    # a validator that runs before makes an array of the file a list, which a strict tuple refuses
    weights: Annotated[tuple[Positive, Positive], Field(strict=False)] = (1.0, 1.0)
    """Weights of the two parts of a name with +, in its order."""
    class_weights: Annotated[tuple[Positive, ...], Field(min_length=1, strict=False)] | None = None
    """Weight of each class in the cross-entropy, background first (ce), or of each region (bce, focal). The sum
    over voxels is divided by the sum of their weights."""

    @property
    def is_softmax(self) -> bool:
        """True if classes exclude each other."""
        return self.name.startswith("ce")

    @property
    def entropy(self) -> Literal["bce", "ce", "focal"] | None:
        """The part that is a mean over voxels."""
        first = self.name.partition("+")[0]
        return first if first in {"bce", "ce", "focal"} else None  # type: ignore[return-value]

    @property
    def overlap(self) -> Overlap | None:
        """The part that is computed from sums over voxels."""
        last = self.name.rpartition("+")[2]
        return last if last in {"dice", "generalized_dice", "tversky"} else None  # type: ignore[return-value]

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema of both forms, the name alone and the table."""
        table = handler.resolve_ref_schema(handler(schema))
        name = {
            "type": "string",
            "enum": list(get_args(LossName)),
            "description": "Name of a loss with its defaults.",
        }
        return {"anyOf": [name, dict(table)]}

    @model_serializer(mode="wrap")
    def _shortest(self, handler: SerializerFunctionWrapHandler) -> Any:
        """Return the name alone if nothing else was chosen: both forms are the same protocol."""
        return self.name if self == Loss(name=self.name) else handler(self)

    @model_validator(mode="after")
    def _keys_belong_to_the_name(self) -> Self:
        if self.overlap is None:
            self._refuse(_OF_OVERLAP, "has no part with sums over voxels")
        if self.overlap != "dice":
            self._refuse(("squared",), "has no Dice")
        if self.overlap != "tversky":
            self._refuse(("alpha", "beta"), "has no Tversky part")
        if self.overlap is None or not self.is_softmax:
            self._refuse(("background",), "has no class for the background")
        if self.entropy is None:
            self._refuse(("class_weights",), "has no cross-entropy")
        if "+" not in self.name:
            self._refuse(("weights",), "has one part")
        return self

    def _refuse(self, keys: tuple[str, ...], reason: str) -> None:
        for key in keys:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"'{key}' does not apply: '{self.name}' {reason}; remove the key")


AnyLoss = Annotated[
    Annotated[Loss, Tag("built-in")] | Annotated[PluginLoss, Tag(PLUGIN_TAG)], Discriminator(built_in_or_plugin)
]
"""A loss of benchbench or of a plugin."""
