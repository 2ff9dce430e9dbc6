"""Words of messages: numbers with their nouns."""

_IRREGULAR = {"entry": "entries"}


def count(number: int, noun: str) -> str:
    """Return a number and its noun: 1 case, 2 cases."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {_IRREGULAR.get(noun, f'{noun}s')}"
