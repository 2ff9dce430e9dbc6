"""Words of messages: numbers with their nouns, and names with numbers in their order."""

from __future__ import annotations

import functools
import re
from decimal import Decimal

_DECIMAL = r"(?<![\d.])\d+\.\d+(?:e[+-]?\d+)?(?![\d.])"  # not a part of 1.10.2, which has whole numbers
_NUMBERS = re.compile(rf"({_DECIMAL}|\d+e[+-]\d+|\d+)")
_NUMBER = re.compile(rf"[+-]?(?:{_NUMBERS.pattern})")

_IRREGULAR = {"entry": "entries"}


def are(number: int, noun: str) -> str:
    """Return a number, its noun and the verb: 1 case is, 2 cases are."""
    if number == 1:
        return f"1 {noun} is"
    return f"{count(number, noun)} are"


def count(number: int, noun: str) -> str:
    """Return a number and its noun: 1 case, 2 cases."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {_IRREGULAR.get(noun, f'{noun}s')}"


@functools.lru_cache(maxsize=8192)
def natural_order(text: str) -> tuple[bool, Decimal, tuple[str | Decimal, ...], str]:
    """Return a sort key by which fold2 is before fold10, and 9 before 10; texts that are numbers are first."""
    if _NUMBER.fullmatch(text):
        return False, Decimal(text), (), text
    parts: list[str | Decimal] = list(_NUMBERS.split(text))
    for place in range(1, len(parts), 2):  # the odd ones are numbers
        parts[place] = Decimal(parts[place])
    return True, Decimal(0), tuple(parts), text
