"""A dataset whose files must not change between the computation of their digests and the last read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbench.contract import Case, CaseRef, Dataset, Task
from benchbench.data.digests import file_states
from benchbench.errors import DataError

States = Sequence[tuple[str, int, int]]
"""Name, size and time of the last change of each file of a case."""


@dataclass(frozen=True)
class Pinned:
    """A dataset that refuses cases whose files have changed: their results would get a wrong digest."""

    dataset: Dataset
    states: Mapping[str, States]
    """Case id -> the state of its files at the start."""

    @property
    def task(self) -> Task:
        return self.dataset.task

    def cases(self) -> Sequence[CaseRef]:
        return self.dataset.cases()

    def files(self, case_id: str) -> Sequence[Path]:
        return self.dataset.files(case_id)

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        return self.dataset.metadata()

    def load(self, case_id: str) -> Case:
        self._check(case_id)
        case = self.dataset.load(case_id)
        self._check(case_id)
        return case

    def _check(self, case_id: str) -> None:
        before = self.states.get(case_id)
        now = file_states(self.dataset, case_id)
        if now == before:
            return
        changed = [state[0] for state in now if state not in (before or ())]
        raise DataError(
            f"{case_id}: found {', '.join(changed) or 'fewer files'} changed since the start, expected files that"
            " stay as they are; wait for the process that writes there and give the command again"
        )


def pin(dataset: Dataset, cases: Sequence[CaseRef]) -> Pinned:
    """Return the dataset with the current state of its files; call this before their digests are computed."""
    states: dict[str, States] = {}
    for case in cases:
        try:
            states[case.id] = file_states(dataset, case.id)
        except DataError:  # reported with all others when the digests are computed
            continue
    return Pinned(dataset, states)
