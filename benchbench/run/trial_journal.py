"""The trials of a tuned run that have ended, in a journal of Optuna, and the settings of the next one.

The journal has ended trials only. The settings of a trial are drawn from those before it, by a sampler whose seed
is that of this trial: a run that was killed draws the same settings again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbench.engine.network.memory_layout import Layout
from benchbench.extras import require_extra
from benchbench.records.run_folder import RunFolder
from benchbench.records.trial_counts import BUDGET, JOURNAL, TUNING
from benchbench.run.seeds import derive_seed
from benchbench.spec.tuning import TunedValues, Tuning

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

_ATTRIBUTE = "benchbench"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial that has ended."""

    number: int
    """Counted from 0, which has the settings of the file."""
    settings: Mapping[str, Any]
    """Path of each tuned setting -> its value."""
    value: float | None = None
    """Value on the inner validation, larger is better; None for a trial that failed."""
    reason: str = ""
    """Why it failed."""
    same_as: int | None = None
    """The earlier trial with the same settings, whose value is taken; None for a trial that was trained."""
    epochs: int = 0
    best_epoch: int | None = None
    spent: Mapping[str, float | None] = field(default_factory=dict)
    """Seconds and energy, as `Training.spent` gives them."""
    scores: Mapping[str, float | None] = field(default_factory=dict)
    """Losses and scores of the best epoch."""
    memory_layout: Layout = "contiguous"
    """The memory layout of the weights in training."""

    @property
    def seconds(self) -> float:
        return self.spent.get("train_seconds") or 0.0

    @property
    def state(self) -> str:
        """The state in one word."""
        if self.value is None:
            return "failed"
        return "done" if self.same_as is None else "repeated"


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trained trials, best first; among equals the earlier is first."""
    trained = [trial for trial in trials if trial.value is not None and trial.same_as is None]
    return sorted(trained, key=lambda trial: (-(trial.value or 0.0), trial.number))


def check_optuna() -> None:
    """Import Optuna.

    Raises:
        UsageError: it is not installed.
    """
    require_extra("tune", "[tune]")
    import optuna  # noqa: PLC0415 an extra

    optuna.logging.set_verbosity(optuna.logging.WARNING)


class TrialJournal:
    """The trials of one run."""

    def __init__(
        self, folder: RunFolder, tuning: Tuning, present: Mapping[str, Any], *, seed: int, tag: str
    ) -> None:
        """Open the journal in the folder of a run, which no other process uses; trials of another tag are deleted.

        `present` has the value that the file gives each tuned setting, and `seed` belongs to the run.

        Raises:
            UsageError: Optuna is not installed.
        """
        check_optuna()
        import optuna  # noqa: PLC0415 an extra

        self._tuning = tuning
        self._present = present
        self._seed = seed
        self._folder = folder.path / TUNING
        self._distributions = {path: _distribution(values) for path, values in tuning.space.items()}
        if _has_other_study(self._folder / JOURNAL, tag):
            folder.check_claim()
            shutil.rmtree(self._folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        _repair(self._folder / JOURNAL)
        self._study = optuna.create_study(
            study_name=tag, direction="maximize", storage=self._open_storage(), load_if_exists=True
        )
        if self._study.user_attrs.get(BUDGET) != tuning.budget:
            self._study.set_user_attr(BUDGET, tuning.budget)

    @property
    def trials(self) -> list[Trial]:
        """The trials that have ended, in their order."""
        return [Trial(**frozen.user_attrs[_ATTRIBUTE]) for frozen in self._study.get_trials(deepcopy=False)]

    def next_trial(self) -> Trial:
        """Return the next trial with its settings; one of earlier settings names the trial that had them."""
        ended = self._study.get_trials(deepcopy=False)
        number = len(ended)
        if number == 0:
            return Trial(number=0, settings=self._present)
        params = self._draw(ended)
        settings = {path: self._decoded(path, value) for path, value in params.items()}
        for frozen in ended:
            earlier = Trial(**frozen.user_attrs[_ATTRIBUTE])
            if frozen.params == params and earlier.value is not None:
                first = earlier.number if earlier.same_as is None else earlier.same_as
                return Trial(number=number, settings=settings, value=earlier.value, same_as=first)
        return Trial(number=number, settings=settings)

    def add(self, trial: Trial) -> None:
        """Append a trial that has ended."""
        from optuna.trial import TrialState, create_trial  # noqa: PLC0415 an extra

        params = {path: self._encoded(path, value) for path, value in trial.settings.items()}
        known = {path: value for path, value in params.items() if self._is_inside(path, value)}
        frozen = create_trial(
            state=TrialState.FAIL if trial.value is None else TrialState.COMPLETE,
            value=trial.value,
            params=known,
            distributions={path: self._distributions[path] for path in known},
            user_attrs={_ATTRIBUTE: json.loads(json.dumps(asdict(trial)))},
        )
        self._study.add_trial(frozen)

    def _draw(self, ended: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Return the parameters that the sampler draws after these trials."""
        import optuna  # noqa: PLC0415 an extra

        study = optuna.create_study(direction="maximize", sampler=self._sampler(len(ended)))
        study.add_trials(ended)
        return dict(study.ask(self._distributions).params)

    def _sampler(self, number: int) -> BaseSampler:
        from optuna.samplers import RandomSampler, TPESampler  # noqa: PLC0415 an extra

        seed = derive_seed("tune", self._tuning.seed, self._seed, number) % 2**32
        if self._tuning.sampler == "random":
            return RandomSampler(seed=seed)
        return TPESampler(seed=seed, n_startup_trials=self._tuning.startup)

    def _open_storage(self) -> Any:
        from optuna.storages import JournalStorage  # noqa: PLC0415 an extra
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock  # noqa: PLC0415

        path = str(self._folder / JOURNAL)
        # a lock by a file that only one process can create: network folders often have no flock
        return JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))

    def _is_inside(self, path: str, value: Any) -> bool:
        """Return True for a value of the space; the file may give a setting another one, or none."""
        distribution = self._distributions[path]
        try:
            return bool(distribution._contains(distribution.to_internal_repr(value)))  # noqa: SLF001 no other way
        except ValueError:
            return False

    def _encoded(self, path: str, value: Any) -> Any:
        """Return a value as Optuna stores it: choices as JSON, because they may be tables."""
        return value if self._tuning.space[path].choices is None else json.dumps(value, sort_keys=True)

    def _decoded(self, path: str, value: Any) -> Any:
        return value if self._tuning.space[path].choices is None else json.loads(value)


def _distribution(values: TunedValues) -> BaseDistribution:
    from optuna.distributions import (  # noqa: PLC0415 an extra
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if values.choices is not None:
        return CategoricalDistribution([json.dumps(choice, sort_keys=True) for choice in values.choices])
    assert values.low is not None, "a range has both ends"
    assert values.high is not None, "a range has both ends"
    if values.is_whole:
        step = int(values.step or 1)
        return IntDistribution(int(values.low), int(values.high), log=values.log, step=step)
    return FloatDistribution(float(values.low), float(values.high), log=values.log, step=values.step)


def _has_other_study(journal: Path, tag: str) -> bool:
    """Return True for a journal that begins with a study of another name, or with anything else."""
    if not journal.exists():
        return False
    first, _, _ = journal.read_bytes().partition(b"\n")
    try:
        return bool(json.loads(first)["study_name"] != tag)
    except (ValueError, KeyError, TypeError):
        return True


def _repair(journal: Path) -> None:
    """Remove what a killed process left: half a line at the end of the journal, and its lock."""
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink()
    if journal.exists():
        content = journal.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            journal.write_bytes(whole)
