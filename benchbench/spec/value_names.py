"""The names of the values of a run that a table can show.

    dice, dice_slice, dice_pooled, hd95       scores of the test cases, by aggregate
    train_loss, validation_loss               of the chosen epoch, as in history.csv
    train_dice_pooled, validation_dice_case   the same, for any metric of counts
    train_dice_classes, test_dice_classes     mean over all classes, background included; softmax only
    test_cross_entropy                        of the classes of the test cases; softmax only
    parameters, parameters_with_statistics, epochs, best_epoch, input, output

A region or class follows a colon, `dice:oedema`. With `_percent` before the colon, the value is multiplied by 100.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from benchbench.spec.document import nearest
from benchbench.spec.metric_names import OVERLAPS, is_lower_better, is_overlap, parse_metric

Direction = Literal["lower", "higher"]

_EPOCH_AGGREGATES = {"train": ("pooled", "classes"), "validation": ("pooled", "case", "classes")}
_PERCENT = "_percent"


def split_percent(name: str) -> tuple[str, float]:
    """Return the name of the recorded value and the factor that it is multiplied by for display."""
    base, colon, region = name.partition(":")
    factor = 100.0 if base.endswith(_PERCENT) else 1.0
    return f"{base.removesuffix(_PERCENT)}{colon}{region}", factor


def better_direction(name: str) -> Direction | None:
    """Return whether lower or higher values are better; None for values such as sizes, of which none is."""
    base = split_percent(name)[0].partition(":")[0]
    if base.endswith(("_loss", "_cross_entropy")):
        return "lower"
    for affix in ("train_", "validation_", "test_"):
        base = base.removeprefix(affix)
    for affix in ("_slice", "_pooled", "_case", "_classes"):
        base = base.removesuffix(affix)
    if is_lower_better(base):
        return "lower"
    try:
        parse_metric(base)
    except ValueError:
        return None
    return "higher"


def check_value(name: str) -> None:
    """Check that a run can have a value of this name; the region is not checked.

    Raises:
        ValueError: a run cannot have such a value.
    """
    base = split_percent(name)[0].partition(":")[0]
    recorded = list(_recorded_names())
    if base in recorded:
        return
    score, _, aggregate = base.rpartition("_")
    if aggregate in {"slice", "pooled"} and is_overlap(score):
        return
    try:
        parse_metric(base)
    except ValueError:
        raise ValueError(f"no such value '{name}'; {nearest(base, [*recorded, *OVERLAPS])}") from None


def _recorded_names() -> Iterator[str]:
    yield from (
        "parameters",
        "parameters_with_statistics",
        "epochs",
        "best_epoch",
        "input",
        "output",
        "test_cross_entropy",
    )
    for part, aggregates in _EPOCH_AGGREGATES.items():
        yield f"{part}_loss"
        for metric in OVERLAPS:
            for aggregate in aggregates:
                yield f"{part}_{metric}_{aggregate}"
    for metric in OVERLAPS:
        yield f"test_{metric}_classes"
