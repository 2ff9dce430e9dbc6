"""The names of what a table may show of a run.

    dice, dice_slice, dice_pooled, hd95       scores of the test cases, by aggregate
    train_loss, validation_loss               of the epoch that was chosen, as history.csv has them
    train_dice_pooled, validation_dice_case   likewise, any metric of counts
    train_dice_classes, test_dice_classes     mean over all classes, background one of them; softmax only
    test_cross_entropy                        of the classes of the test cases; softmax only
    parameters, epochs, best_epoch, input, output

Behind a colon stands a region or class, `dice:edema`; `_percent` before it is a hundred times the value.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchbench.spec.document import nearest
from benchbench.spec.metric_names import OVERLAPS, is_overlap, parse_metric

_OF_EPOCH = {"train": ("pooled", "classes"), "validation": ("pooled", "case", "classes")}
_PERCENT = "_percent"


def split_percent(name: str) -> tuple[str, float]:
    """The name of what is recorded, and what it is multiplied by to be shown."""
    base, colon, region = name.partition(":")
    factor = 100.0 if base.endswith(_PERCENT) else 1.0
    return f"{base.removesuffix(_PERCENT)}{colon}{region}", factor


def check_value(name: str) -> None:
    """Whether a run can have such a value; its region is not looked at.

    Raises:
        ValueError: it cannot.
    """
    base = split_percent(name)[0].partition(":")[0]
    known = list(_recorded())
    if base in known:
        return
    score, _, aggregate = base.rpartition("_")
    if aggregate in {"slice", "pooled"} and is_overlap(score):
        return
    try:
        parse_metric(base)
    except ValueError:
        raise ValueError(f"no such value '{name}'; {nearest(base, [*known, *OVERLAPS])}") from None


def _recorded() -> Iterator[str]:
    yield from ("parameters", "epochs", "best_epoch", "input", "output", "test_cross_entropy")
    for part, aggregates in _OF_EPOCH.items():
        yield f"{part}_loss"
        yield from (f"{part}_{metric}_{each}" for metric, each in itertools.product(OVERLAPS, aggregates))
    yield from (f"test_{metric}_classes" for metric in OVERLAPS)
