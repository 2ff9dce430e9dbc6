"""Metric names and values as figures print them."""

from __future__ import annotations

from benchbench.spec.metric_names import UNITS, without_unit

_NAMES = {"dice": "Dice", "iou": "IoU"}
_ABBREVIATIONS = ("hd", "nsd", "assd", "masd")


def unit_of(column: str) -> str:
    """Return the unit at the end of a column's name: `mm`, `px` or nothing."""
    for unit in UNITS:
        if column.endswith(f"_{unit}"):
            return unit
    return ""


def metric_name(column: str) -> str:
    """Return the metric's name as prose writes it: Dice, HD95, NSD@2."""
    name = without_unit(column)
    if name in _NAMES:
        return _NAMES[name]
    if name.startswith(_ABBREVIATIONS):
        return name.upper()
    return name


def axis_label(column: str) -> str:
    """Return the metric's name with its unit in brackets, such as HD95 (mm)."""
    unit = unit_of(column)
    if unit:
        return f"{metric_name(column)} ({unit})"
    return metric_name(column)


def format_value(column: str, value: float, *, sign: bool = False) -> str:
    """Return a value without its unit: two decimals for distances, three for other metrics."""
    digits = 2 if unit_of(column) else 3
    plus = "+" if sign else ""
    return f"{value:{plus}.{digits}f}".replace("-", "\N{MINUS SIGN}")
