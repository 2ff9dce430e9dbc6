"""Seeds for the random draws of a run."""

from __future__ import annotations

import hashlib


def derive_seed(*words: object) -> int:
    """Return a seed for one purpose, which is the same on every machine."""
    text = " ".join(map(str, words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
