"""Events of runs as lines of JSON: workers print them, and the command that launched the workers reads them."""

from __future__ import annotations

import json
from dataclasses import asdict

from pydantic import TypeAdapter, ValidationError

from benchbench.errors import BenchbenchError
from benchbench.launch import RunEvent
from benchbench.plan.run import RunKey
from benchbench.records.record import Record, record_fields
from benchbench.run.assignment import Progress


def event_line(key: RunKey, event: RunEvent) -> str:
    """Return an event as a line of JSON: the key of the run with `progress`, `record` or `error`."""
    content: dict[str, object] = {"run": key}
    if isinstance(event, Record):
        content["record"] = record_fields(event)
    elif isinstance(event, Exception):
        content["error"] = str(event)
    else:
        content["progress"] = asdict(event)
    return json.dumps(content, default=str)


def parse_event(line: str) -> tuple[RunKey, RunEvent] | None:
    """Return the event of a line, None for a line that is no event."""
    try:
        content = json.loads(line)
        key = RunKey(*content["run"])
        if "record" in content:
            return key, TypeAdapter(Record).validate_python(content["record"])
        if "error" in content:
            return key, BenchbenchError(content["error"])
        return key, Progress(**content["progress"])
    except (ValueError, TypeError, KeyError, ValidationError):
        return None
