"""The exit codes of all commands, from the errors that have them."""

from __future__ import annotations

from benchbench import errors

_INTRODUCTION = """# Exit codes

With several benchmarks or problems, the highest code is returned. A message says where, what was found, what was
expected and what to do, one line per problem; `--debug` adds the traceback.

| code | meaning |
| ---: | --- |
| 0 | all runs are done |
"""
_OWN = {
    1: "some runs failed or are not done: the table says which and why",
    130: "interrupted with Ctrl-C: finished work is kept, and the same command continues",
    143: "terminated by SIGTERM, as by a batch system; 138 for SIGUSR1: the same command continues",
}


def exit_codes_page() -> str:
    """Return the page in Markdown."""
    lines = dict(_OWN)
    for error in (errors.UsageError, errors.DataError, errors.IntegrityError, errors.StorageError):
        text = " ".join((error.__doc__ or "").split()).rstrip(".")
        lines[error.exit_code] = f"{text[0].lower()}{text[1:]}"
    return _INTRODUCTION + "".join(f"| {code} | {lines[code]} |\n" for code in sorted(lines))
