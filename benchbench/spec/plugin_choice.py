"""The table by which a protocol chooses a plugin: { plugin = NAME, ... }; further keys are its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbench.spec.strict import Positive, Probability

PLUGIN_TAG = "plugin"
"""Tag of the table of a plugin in a union of tables with names."""


class PluginChoice(BaseModel):
    """A plugin of a protocol. Every key that is not listed here is a parameter of the plugin."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    plugin: Annotated[str, Field(min_length=1)]
    """Name of the plugin; `benchbench list` prints all names."""

    @property
    def params(self) -> Mapping[str, Any]:
        return self.model_extra or {}


class PluginLoss(PluginChoice):
    """A loss of a plugin. It is computed of the whole batch, and in the inner validation of each case or slice."""

    activation: Literal["sigmoid", "softmax"] = "sigmoid"
    """Function by which logits become probabilities: a sigmoid for each region, or a softmax of classes that
    exclude each other."""

    @property
    def name(self) -> str:
        return f"plugin {self.plugin}"

    @property
    def is_softmax(self) -> bool:
        """True if classes exclude each other."""
        return self.activation == "softmax"

    @property
    def per_image(self) -> bool:
        """True, because the loss of several slices together is unknown."""
        return True

    @property
    def class_weights(self) -> None:
        """None: weights are the plugin's own business."""
        return


class PluginTransform(PluginChoice):
    """A transform of a plugin, applied to one sample after the other on its device."""

    p: Probability = 0.5
    """Probability of changing a sample."""


class PluginOptimizer(PluginChoice):
    """An optimiser of a plugin."""

    lr: Positive
    """Learning rate that the schedule starts from."""


class PluginSchedule(PluginChoice):
    """A schedule of a plugin, which gives the factor of the optimiser's rate for every step."""


def is_plugin(value: object) -> bool:
    """Return True for the table of a plugin, as a mapping or validated."""
    if isinstance(value, Mapping):
        return "plugin" in value
    return isinstance(value, PluginChoice)


def name_or_plugin(value: object) -> object:
    """Return the tag of a table for a tagged union: its name, or that of plugins."""
    if is_plugin(value):
        return PLUGIN_TAG
    if isinstance(value, Mapping):
        return value.get("name", "")
    return getattr(value, "name", "")


def built_in_or_plugin(value: object) -> str:
    """Return the tag of a value for a union of one built-in table and that of plugins."""
    return PLUGIN_TAG if is_plugin(value) else "built-in"
