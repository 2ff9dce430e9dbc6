"""Sends the values of a run to the reporters that the command line names; none of them can stop the run."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from benchbench.contract import Reporter, ReporterPlugin
from benchbench.errors import PluginError
from benchbench.metrics.scores import Counts, distance, overlap
from benchbench.records.history import HISTORY_NAME
from benchbench.records.record import Record
from benchbench.registry.extensions import extension
from benchbench.registry.faults import plugin_faults
from benchbench.run.assignment import Assignment, Progress, ProgressListener
from benchbench.spec.metric_names import columns_with_units, is_overlap


class Reporters:
    """The reporters of one run; one that fails is left out from then on, with a remark."""

    def __init__(self, assignment: Assignment, report: ProgressListener) -> None:
        self._assignment = assignment
        self._report = report
        self._epochs_sent = 0
        self._open: dict[str, Reporter] = {}
        for name in assignment.settings.reporters:
            self._try(name, "open()", partial(self._add, name))

    def listen(self, progress: Progress) -> None:
        """Pass on the progress; after each epoch, send the rows of the history that are new."""
        self._report(progress)
        if progress.note and self._open:
            for row in self._history()[self._epochs_sent :]:
                self._send_epoch(row)
                self._epochs_sent += 1

    def end(self, record: Record) -> None:
        """Send the end of the run, with the mean of each score over its cases and regions."""
        if not self._open:
            return
        scores = mean_scores(self._assignment, record)
        for name, reporter in list(self._open.items()):
            self._try(name, "end()", partial(reporter.end, record.status, scores))

    def _send_epoch(self, row: Mapping[str, str]) -> None:
        values = {name: float(text) for name, text in row.items() if name != "epoch" and _is_number(text)}
        for name, reporter in list(self._open.items()):
            self._try(name, "epoch()", partial(reporter.epoch, int(row["epoch"]), values))

    def _history(self) -> list[dict[str, str]]:
        path = self._assignment.folder.path / HISTORY_NAME
        if not path.exists():  # of a tuned run, whose trials have histories of their own
            return []
        with path.open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _add(self, name: str) -> None:
        plugin = extension(ReporterPlugin, name)
        self._open[name] = plugin.open(str(self._assignment.key), self._assignment.resolved)

    def _try(self, name: str, place: str, call: Callable[[], Any]) -> None:
        try:
            with plugin_faults(name, place, PluginError):
                call()
        except PluginError as error:
            self._open.pop(name, None)
            remark = f"reporter '{name}' gets no further values: {error}"
            self._report(Progress(0, self._assignment.protocol.epochs, remark=remark))


def mean_scores(assignment: Assignment, record: Record) -> dict[str, float]:
    """Return the mean of each metric of the protocol over cases and regions, by the name of its column."""
    if "cases.parquet" not in record.files:
        return {}
    cases = assignment.folder.read_table("cases.parquet", record)
    counts = Counts(*(cases.column(name).to_numpy() for name in Counts._fields))
    empty = assignment.protocol.empty
    means: dict[str, float] = {}
    for metric in assignment.protocol.metrics:
        if is_overlap(metric):
            means[metric] = _mean(overlap(metric, counts, empty=empty))
            continue
        for column in columns_with_units(metric):
            if column in cases.column_names:
                means[column] = _mean(distance(metric, cases.column(column).to_numpy(), counts, empty=empty))
    return {name: mean for name, mean in means.items() if math.isfinite(mean)}


def _mean(scores: Any) -> float:
    known = np.asarray(scores)[~np.isnan(scores)]
    return float(known.mean()) if len(known) else math.nan


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
