"""Carries out a tuned run: trials on the training part and the inner validation, then the best predicts.

No trial gets a test case. They are opened after the last trial, to score the one that was chosen.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError

from benchbench.engine.devices.arithmetic import set_arithmetic
from benchbench.engine.devices.distributed import ALONE
from benchbench.engine.training.train import DivergedError
from benchbench.errors import BenchbenchError, IntegrityError, StorageError, is_storage_failure
from benchbench.records.history import HISTORY_NAME
from benchbench.records.record import Record
from benchbench.records.run_folder import RunBusyError
from benchbench.records.trial_counts import TUNING
from benchbench.records.weights import weight_files
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import discover
from benchbench.run.assignment import Assignment, Progress, ProgressListener
from benchbench.run.failures import describe_failure
from benchbench.run.model_run import (
    ResidentDataError,
    build_model,
    naming_resident_data,
    without_resident_data,
)
from benchbench.run.network_geometry import geometry_of
from benchbench.run.resumable_training import open_training, resume_tag, train
from benchbench.run.seeds import derive_seed
from benchbench.run.stop_request import StoppedError, StopRequest, stop_request
from benchbench.run.trial_journal import Trial, TrialJournal, ranked
from benchbench.run.tuned_weights import changes_of, folder_of, model_params_of, score_best
from benchbench.spec.tuning import Tuning, present_value, with_settings

_MOST_IDLE = 20  # trials in a row that trained nothing: a budget of epochs or seconds would never be spent
_FATAL = (StorageError, RunBusyError, IntegrityError)  # no settings are to blame


class TrialsFailedError(BenchbenchError):
    """No trial of a run could be trained."""


def run_tuned(assignment: Assignment, report: ProgressListener) -> Record:
    """Carry out the trials that are left, score the test cases with the best and return the record.

    Raises:
        StoppedError: a signal asked this process to stop; the trials so far, and the state of the one under way,
            are saved.
        TrialsFailedError: no trial could be trained.
        UsageError: Optuna is not installed.
    """
    assignment.folder.clear(keep_resume=False, keep=[TUNING])
    with stop_request() as stop:
        trials = _Trials(assignment, report, stop).carry_out()
        best = ranked(trials)
        if not best:
            raise TrialsFailedError(f"all {len(trials)} trials failed; the first: {trials[0].reason}")
        stop.raise_at_once()
        return score_best(assignment, trials, best[0])


class _Outcome(NamedTuple):
    """The fields of a trial that training gives."""

    value: float
    fields: Mapping[str, Any]


class _Trials:
    """The trials of a run, one after the other."""

    def __init__(self, assignment: Assignment, report: ProgressListener, stop: StopRequest) -> None:
        assert assignment.tuning is not None, "only a tuned run has trials"
        self._assignment = assignment
        self._tuning: Tuning = assignment.tuning
        self._report = report
        self._stop = stop
        present = {
            path: present_value(assignment.protocol, assignment.model_params, path) for path in self._tuning.space
        }
        seed = derive_seed("tune", assignment.key.seed, assignment.key.fold)
        tag = resume_tag(assignment)
        self._journal = TrialJournal(assignment.folder, self._tuning, present, seed=seed, tag=tag)

    def carry_out(self) -> list[Trial]:
        """Carry out trials until the budget is spent, and return all."""
        trials = self._journal.trials
        self._remove_all_but_best(trials)
        while (trial := self._next(trials)) is not None:
            if trial.value is None:
                trial = self._carry_out(trial, trials)
            self._journal.add(trial)
            trials.append(trial)
            self._remove_all_but_best(trials)
            self._report(self._progress(trials, 0.0, _describe(trial)))
        return trials

    def _next(self, trials: Sequence[Trial]) -> Trial | None:
        """Return the next trial; None where the budget is spent."""
        recent = trials[-_MOST_IDLE:]
        if len(recent) == _MOST_IDLE and not any(trial.epochs for trial in recent):
            return None
        trial = self._journal.next_trial()
        next_epochs = self._assignment.protocol.epochs
        with contextlib.suppress(ValidationError):  # it will be a failed trial
            next_epochs = self._protocol_of(trial).epochs
        is_allowed = self._tuning.allows(
            trials=len(trials),
            epochs=sum(earlier.epochs for earlier in trials),
            seconds=sum(earlier.seconds for earlier in trials),
            next_epochs=next_epochs,
        )
        return trial if is_allowed else None

    def _protocol_of(self, trial: Trial) -> Any:
        return with_settings(self._assignment.protocol, changes_of(trial))

    def _carry_out(self, trial: Trial, trials: Sequence[Trial]) -> Trial:
        """Return the trial after its training, successful or not."""

        def report(progress: Progress) -> None:
            note = f"trial {trial.number}: {progress.note}" if progress.note else ""
            self._report(self._progress(trials, progress.epochs, note, remark=progress.remark))

        try:
            outcome = _train(self._assignment_of(trial), report, self._stop)
        except (StoppedError, KeyboardInterrupt):
            raise
        except DivergedError as error:
            return replace(trial, reason=f"diverged: {error}")
        except (Exception, SystemExit) as error:
            if isinstance(error, _FATAL) or is_storage_failure(error):
                raise
            return replace(trial, reason=describe_failure(error))
        return replace(trial, value=outcome.value, **outcome.fields)

    def _assignment_of(self, trial: Trial) -> Assignment:
        """Return the training of a trial, which has no test cases."""
        assignment = self._assignment
        changes = changes_of(trial)
        plugin = discover([assignment.entry_point]).model(assignment.plugin)
        params = resolve_params(plugin.build, {**assignment.model_params, **model_params_of(trial)})
        text = json.dumps([assignment.digest, trial.number, changes], sort_keys=True)
        folder = folder_of(assignment.folder, trial)
        folder.path.mkdir(parents=True, exist_ok=True)
        return replace(
            assignment,
            protocol=self._protocol_of(trial),
            model_params=params,
            digest=hashlib.sha256(text.encode()).hexdigest(),
            folder=folder,
            test=(),
            siblings={},
            tuning=None,
        )

    def _progress(self, trials: Sequence[Trial], epochs: float, note: str, *, remark: str = "") -> Progress:
        trained = sum(trial.epochs for trial in trials) + epochs
        total = max(self._assignment.planned_epochs, round(trained))
        return Progress(trained, total, note, remark)

    def _remove_all_but_best(self, trials: Sequence[Trial]) -> None:
        """Remove the folders of all trials but the best, of which weights and history stay."""
        best = {trial.number for trial in ranked(trials)[: self._tuning.ensemble]}
        for trial in trials:
            folder = folder_of(self._assignment.folder, trial)
            if not folder.path.exists():
                continue
            if trial.number not in best:
                shutil.rmtree(folder.path)
                continue
            for path in folder.path.iterdir():
                if path.name not in {HISTORY_NAME, *weight_files(folder)}:
                    path.unlink()


def _train(assignment: Assignment, report: ProgressListener, stop: StopRequest) -> _Outcome:
    """Train a trial and return its best value.

    Raises:
        DivergedError: the loss or a weight became nan or infinite.
        StoppedError: a signal asked for it; the state is saved.
    """
    with contextlib.suppress(ResidentDataError):
        return _train_once(assignment, report, stop)
    return _train_once(without_resident_data(assignment, report), report, stop)


def _train_once(assignment: Assignment, report: ProgressListener, stop: StopRequest) -> _Outcome:
    device = torch.device(assignment.device)
    torch.set_num_threads(assignment.threads)
    set_arithmetic(device, assignment.protocol.precision, deterministic=assignment.settings.deterministic)
    model = build_model(assignment, geometry_of(assignment), device)
    training = open_training(assignment, model, device, ALONE, report)
    with naming_resident_data(training):
        train(assignment, training, report, stop)
    best = training.checkpoints[0]
    if best.value == float("-inf"):
        raise DivergedError("no value on the inner validation is a number")
    fields = {
        "epochs": len(training.history),
        "best_epoch": best.epoch,
        "spent": training.spent(),
        "scores": dict(training.best_scores()),
        "memory_layout": training.layout,
    }
    return _Outcome(best.value, fields)


def _describe(trial: Trial) -> str:
    if trial.value is None:
        return f"trial {trial.number} failed: {trial.reason}"
    repeated = "" if trial.same_as is None else f", as trial {trial.same_as}"
    return f"trial {trial.number}: {trial.value:.4f} on the inner validation{repeated}"
