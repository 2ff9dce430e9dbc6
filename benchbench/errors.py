"""The errors that a user can cause, each with its exit code.

BenchbenchError            1
├── UsageError             2   a command that cannot be carried out
│   ├── SpecError          2   an invalid benchmark file
│   ├── PluginError        2   a plugin that is missing, broken or installed twice under one name
│   └── IncompatibleError  2   two choices that cannot be combined
├── DataError              3   files that cannot be used as they are
│   └── DataNotFoundError  3   files that do not exist
└── IntegrityError         4   results that changed after they were written

A message names the place, what was found, what was expected and what to do. One error carries every problem
found, one per line, so that a user can correct all of them before the next attempt.
"""


class BenchbenchError(Exception):
    """A failure with one or more messages for the user; str() joins them, one per line."""

    exit_code = 1

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class UsageError(BenchbenchError):
    """A command that cannot be carried out."""

    exit_code = 2


class SpecError(UsageError):
    """An invalid benchmark file."""


class PluginError(UsageError):
    """A plugin that is missing, broken or installed twice under one name."""


class IncompatibleError(UsageError):
    """Two choices that cannot be combined, such as a 3D model and a 2D protocol."""


class DataError(BenchbenchError):
    """Files that cannot be used as they are."""

    exit_code = 3


class DataNotFoundError(DataError):
    """Files that do not exist."""


class IntegrityError(BenchbenchError):
    """Results that changed after they were written."""

    exit_code = 4
