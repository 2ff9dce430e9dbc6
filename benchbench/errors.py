"""Every way a user can make benchbench fail, and the exit code of each.

BenchbenchError            1
├── UsageError             2   a command line that cannot be carried out
│   ├── SpecError          2   a benchmark file that does not say what it must
│   ├── PluginError        2   a plugin that is missing, broken or named twice
│   └── IncompatibleError  2   two choices that cannot go together
├── DataError              3   files that cannot be used as they are
│   └── DataNotFoundError  3   files that are not there
└── IntegrityError         4   results that are not what was written

A message says where, what was found, what was expected and what to do. One error carries every problem
found, one a line, so that nobody mends them one run at a time.
"""


class BenchbenchError(Exception):
    """A failure with a message meant for the person at the keyboard."""

    exit_code = 1

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class UsageError(BenchbenchError):
    """A command line that cannot be carried out."""

    exit_code = 2


class SpecError(UsageError):
    """A benchmark file that does not say what it must."""


class PluginError(UsageError):
    """A plugin that is missing, broken or named twice."""


class IncompatibleError(UsageError):
    """Two choices that cannot go together, such as a 3D model under a 2D protocol."""


class DataError(BenchbenchError):
    """Files that cannot be used as they are."""

    exit_code = 3


class DataNotFoundError(DataError):
    """Files that are not there."""


class IntegrityError(BenchbenchError):
    """Results that are not what was written."""

    exit_code = 4
