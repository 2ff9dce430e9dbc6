"""A dataset whose files must stay, while it is read, what they were when their digests were taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbench.contract import Case, CaseRef, Dataset, Task
from benchbench.data.folder import file_states
from benchbench.errors import DataError

States = Sequence[tuple[str, int, int]]


@dataclass(frozen=True)
class Pinned:
    """Loads no case whose files have changed since: it would be kept, and scored, under the digest of others."""

    dataset: Dataset
    states: Mapping[str, States]

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
        found = file_states(self.dataset, case_id)
        if found != self.states.get(case_id):
            before = dict.fromkeys(self.states.get(case_id, ()))
            changed = ", ".join(state[0] for state in found if state not in before) or "fewer files"
            raise DataError(
                f"{case_id}: found {changed} changed since the start, expected files that stay as they are; wait"
                " for whatever writes there and give the command again"
            )


def pin(dataset: Dataset, cases: Sequence[CaseRef]) -> Pinned:
    """The dataset with the state of its files as of now; to be called before their digests are taken."""
    states: dict[str, States] = {}
    for case in cases:
        try:
            states[case.id] = file_states(dataset, case.id)
        except DataError:  # told, with all others, when the digests are taken
            continue
    return Pinned(dataset, states)
