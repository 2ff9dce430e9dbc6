"""The attempts at a run, as the claims in its folder record them, and which of them are repeated.

A run that ran out of memory is repeated once, alone on its worker. A run whose worker was lost, with its machine
or its process, is repeated several times. An error in the code is never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from benchbench.records.claims import INTERRUPTED, LOST, ClaimState, all_claims
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder

UNUSED = "unused"
"""Outcome of a claim whose owner found nothing to do."""
OUT_OF_MEMORY = "out of memory"
REPEATED_ALONE = "out of memory; the run was repeated alone"
_NO_MEMORY = re.compile(r"out of memory|OutOfMemory|MemoryError|SIGKILL|cannot allocate memory", re.IGNORECASE)
_WORDS = {
    LOST: "its worker was lost; the run was repeated",
    OUT_OF_MEMORY: REPEATED_ALONE,
    INTERRUPTED: "its worker was stopped; the run was continued",
}


class Attempts(NamedTuple):
    """The attempts at a run since it last ended for good."""

    losses: int
    is_out_of_memory: bool
    """True if one attempt ran out of memory: the run is repeated, alone, until it ends in another way."""
    lines: tuple[str, ...]
    """The outcomes of the attempts in words, for the record."""


def read_attempts(folder: RunFolder, *, before: int | None = None) -> Attempts:
    """Return the attempts that did not end the run, without those from the claim `before` on."""
    outcomes: list[str] = []
    for claim in all_claims(folder.path)[: before and before - 1]:
        outcome = _outcome(claim)
        if outcome == UNUSED:
            continue
        if outcome not in _WORDS:
            outcomes.clear()
            continue
        outcomes.append(outcome)
    return Attempts(
        losses=outcomes.count(LOST),
        is_out_of_memory=outcomes.count(OUT_OF_MEMORY) == 1,  # the repetition may be lost or interrupted itself
        lines=tuple(_lines(outcomes)),
    )


def _lines(outcomes: list[str]) -> Iterator[str]:
    """Yield a line for attempts that ended alike one after the other, with their number."""
    for outcome, alike in groupby(outcomes):
        times = sum(1 for _ in alike)
        yield _WORDS[outcome] if times == 1 else f"{_WORDS[outcome]} ({times} times)"


def outcome_of(record: Record | None) -> str:
    """Return how an attempt ended, for its claim."""
    if record is None:
        return INTERRUPTED
    if record.status == "failed" and _NO_MEMORY.search(record.reason):
        return OUT_OF_MEMORY
    return record.status


def _outcome(claim: ClaimState) -> str:
    """Return the outcome of a claim; one that was never released is lost."""
    return LOST if claim.holder is not None else claim.outcome
