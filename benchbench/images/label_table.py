"""The label values of regions, as files of nnU-Net and others list them."""

from __future__ import annotations

from collections.abc import Mapping

LabelTable = dict[str, tuple[int, ...]]
"""Region -> its label values."""


def read_label_table(table: Mapping[str, object]) -> LabelTable:
    """Return the regions of a table of labels; the background, whose only value is 0, is left out.

    nnU-Net 2 lists name -> value or values; nnU-Net 1 and the Medical Segmentation Decathlon list value -> name.

    Raises:
        ValueError: "<region>: found ..., expected ...".
    """
    if table and all(key.isdecimal() and isinstance(name, str) for key, name in table.items()):
        table = _exchanged(table)
    return {region: label_values(region, values) for region, values in table.items() if values != 0}


def label_values(region: str, values: object) -> tuple[int, ...]:
    """Return one label value, or a list of them, as a tuple.

    Raises:
        ValueError: "<region>: found ..., expected ...".
    """
    items = values if isinstance(values, list) else [values]
    # isinstance would accept booleans
    are_integers = all(type(item) is int for item in items)
    if not items or not are_integers:
        raise ValueError(f"{region}: found {values!r}, expected an integer or a list of integers")
    return tuple(items)


def _exchanged(table: Mapping[str, object]) -> dict[str, object]:
    """Return region -> values for a table of nnU-Net 1, which names each value: {"1": "liver"}."""
    values: dict[str, list[int]] = {}
    for key, name in table.items():
        values.setdefault(str(name), []).append(int(key))
    return {name: 0 if numbers == [0] else numbers for name, numbers in values.items()}
