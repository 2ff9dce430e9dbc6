"""Words of messages: numbers with their nouns."""

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
