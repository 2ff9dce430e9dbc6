"""How a metric and its values are written in figures."""

from __future__ import annotations

from benchbench.spec.metric_names import UNITS, without_unit

_NAMES = {"dice": "Dice", "iou": "IoU"}


def unit_of(column: str) -> str:
    """mm, px or nothing."""
    return next((unit for unit in UNITS if column.endswith(f"_{unit}")), "")


def name_of(column: str) -> str:
    """As prose has it: Dice, HD95, NSD@2."""
    name = without_unit(column)
    return _NAMES.get(name, name.upper() if name.startswith(("hd", "nsd", "assd", "masd")) else name)


def axis_of(column: str) -> str:
    """The same as an axis has it, with the unit."""
    unit = unit_of(column)
    return f"{name_of(column)} ({unit})" if unit else name_of(column)


def written(column: str, value: float, *, sign: bool = False) -> str:
    """A value with as many digits as say something; the unit stands elsewhere."""
    digits = 2 if unit_of(column) else 3
    shown = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return shown.replace("-", "\N{MINUS SIGN}")
