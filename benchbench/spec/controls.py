"""The controls that a benchmark runs on itself: rows whose outcome is known if nothing is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from benchbench.spec.document import Document, nearest
from benchbench.spec.strict import Strict

ControlKind = Literal["a_a_twin", "shuffled_labels"]
_NAMES: dict[ControlKind, str] = {"a_a_twin": "A/A twin", "shuffled_labels": "shuffled labels"}


class Control(Strict):
    """A row that repeats a model of the benchmark under a change."""

    kind: ControlKind
    """a_a_twin: under other seeds, so that it must not be better or worse. shuffled_labels: trained with labels
    of other patients, so that it must not score more than a prediction that knows nothing of the image."""
    model: str
    """The model that is repeated."""

    @property
    def name(self) -> str:
        """The name of the row."""
        return f"{self.model} ({_NAMES[self.kind]})"


class ControlsTable(Strict):
    """The controls of a benchmark file."""

    a_a_twin: str = ""
    """Model that is trained a second time, under other seeds; no row may be called better than its A/A twin."""
    shuffled_labels: str = ""
    """Model that is trained once more with the labels of other patients, moved to another place."""

    @property
    def controls(self) -> tuple[Control, ...]:
        """The controls that the file asks for."""
        asked: list[Control] = []
        if self.a_a_twin:
            asked.append(Control(kind="a_a_twin", model=self.a_a_twin))
        if self.shuffled_labels:
            asked.append(Control(kind="shuffled_labels", model=self.shuffled_labels))
        return tuple(asked)


def control_problems(document: Document, table: ControlsTable, models: Sequence[str]) -> Iterator[str]:
    """Yield a line for each control of a model that the file does not have."""
    for control in table.controls:
        if control.model not in models:
            place = document.where(("controls", control.kind))
            problem = f"no such model '{control.model}'; {nearest(control.model, models)}"
            yield f"{place}: controls.{control.kind}: {problem}"
