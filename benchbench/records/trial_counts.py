"""The number of trials that a tuned run has ended, read from its journal of Optuna without Optuna."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TUNING = "tuning"
"""Folder of the trials in the folder of a run."""
JOURNAL = "journal.log"
BUDGET = "budget"
"""Attribute of the study with the budget in words, such as "20 trials"."""
_SET_STUDY_ATTRIBUTE, _CREATE_TRIAL = 2, 4  # numbers of Optuna's journal


def count_trials(run: Path) -> str:
    """Return "3 of 20 trials" for the folder of a tuned run, with the budget of trials, epochs or seconds.

    It is '' for a run without journal.
    """
    try:
        lines = (run / TUNING / JOURNAL).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    ended, budget = 0, ""
    for line in lines:
        entry = _entry(line)
        ended += entry.get("op_code") == _CREATE_TRIAL
        if entry.get("op_code") == _SET_STUDY_ATTRIBUTE:
            budget = entry.get("user_attr", {}).get(BUDGET, budget)
    if budget.endswith(("trial", "trials")):
        return f"{ended} of {budget}"
    return f"{ended} in {budget}" if budget else f"{ended}"


def _entry(line: str) -> dict[str, Any]:
    """Return a line of the journal; {} for one that is being written."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
