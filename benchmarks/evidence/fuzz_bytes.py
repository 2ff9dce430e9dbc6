"""Random damage to files: of any bytes, and of the numbers in their headers."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

_EDGES = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 4096, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
_HEADER = 512
"""Number of bytes at the start of a file in which half of the damage is done."""

Damage = Callable[[random.Random, bytearray], None]


def damage_bytes(rng: random.Random, content: bytes) -> bytes:
    """Return the content with one to four changes of any kind."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(_DAMAGES)(rng, changed)
    return bytes(changed)


def overwrite(content: bytes, place: int, form: str, value: float) -> bytes:
    """Return the content with a number written over a place, as `struct` packs it."""
    changed = bytearray(content)
    struct.pack_into(form, changed, place, value)
    return bytes(changed)


def draw_edge(rng: random.Random, most: int) -> int:
    """Return a number up to `most` at which code tends to fail."""
    return min(rng.choice((*_EDGES, rng.randrange(2**16), rng.randrange(2**32))), most)


def draw_place(rng: random.Random, content: Sequence[int]) -> int:
    """Return a position, half of the time in the header."""
    end = len(content) if rng.random() < 0.5 else min(len(content), _HEADER)
    return rng.randrange(max(end, 1))


def _flip(rng: random.Random, content: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 8))):
        if content:
            content[draw_place(rng, content)] ^= 1 << rng.randrange(8)


def _write_number(rng: random.Random, content: bytearray) -> None:
    size = rng.choice((1, 2, 4, 8))
    number = draw_edge(rng, 2 ** (8 * size) - 1).to_bytes(size, rng.choice(("little", "big")))
    place = draw_place(rng, content)
    content[place : place + size] = number


def _write_noise(rng: random.Random, content: bytearray) -> None:
    place, size = draw_place(rng, content), rng.choice((1, 4, 32, 200))
    content[place : place + size] = rng.randbytes(size)


def _cut(rng: random.Random, content: bytearray) -> None:
    del content[draw_place(rng, content) :]


def _remove(rng: random.Random, content: bytearray) -> None:
    place = draw_place(rng, content)
    del content[place : place + rng.choice((1, 2, 16, 300))]


def _insert(rng: random.Random, content: bytearray) -> None:
    place = draw_place(rng, content)
    content[place:place] = rng.randbytes(rng.choice((1, 2, 16, 300)))


def _repeat(rng: random.Random, content: bytearray) -> None:
    place, size = draw_place(rng, content), rng.choice((4, 64, 1000))
    content[place:place] = content[place : place + size] * rng.choice((1, 3))


def _exchange(rng: random.Random, content: bytearray) -> None:
    first, second, size = draw_place(rng, content), draw_place(rng, content), rng.choice((2, 12, 64))
    one, other = bytes(content[first : first + size]), bytes(content[second : second + size])
    if len(one) == len(other):
        content[first : first + size], content[second : second + size] = other, one


_DAMAGES: tuple[Damage, ...] = (
    _flip,
    _flip,
    _write_number,
    _write_number,
    _write_noise,
    _cut,
    _remove,
    _insert,
    _repeat,
    _exchange,
)
