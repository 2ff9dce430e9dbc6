"""The command line: verbs that parse, call one stage and print.

Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, ClassVar

import click

INTERRUPTED = 130


class Verbs(click.Group):
    """Loads a command's module when it is called, and ends every failure in one line and an exit code."""

    modules: ClassVar = {
        "run": "benchbench.cli.run",
        "plan": "benchbench.cli.plan",
        "list": "benchbench.cli.catalogue",
        "show": "benchbench.cli.show",
        "check": "benchbench.cli.check",
        "report": "benchbench.cli.report",
        "compare": "benchbench.cli.compare",
        "merge": "benchbench.cli.merge",
        "score": "benchbench.cli.score",
        "data": "benchbench.cli.data",
        "convert": "benchbench.cli.convert",
        "doctor": "benchbench.cli.doctor",
    }
    summaries: ClassVar = {
        "run": "Carry out benchmarks: what is done is skipped, what is not is done.",
        "plan": "List the runs of a benchmark, each with its digest, done or to do.",
        "list": "List the datasets and models that are installed.",
        "show": "Show one dataset or model: parameters, source, licence, cost, what it fits.",
        "check": "Hold a dataset or model against the rules of its kind.",
        "report": "Make the tables of finished runs anew.",
        "compare": "Say whether one model is better than another, and in what their recipes differ.",
        "merge": "Bring the results of one benchmark from several machines together.",
        "score": "Score predictions of any tool against references, file by file.",
        "data": "Get datasets, say which are there, verify them, write phantom data, clear the cache.",
        "convert": "Make published weights of a model ready for use.",
        "doctor": "Check the installation and say how to mend it.",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 click's signature
        return list(self.modules)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in self.modules:
            return None
        from importlib import import_module  # noqa: PLC0415 only the command that is called

        command: click.Command = getattr(import_module(self.modules[name]), f"{name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="benchbench")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
@click.pass_context
def cli(context: click.Context, *, debug: bool) -> None:
    """Benchmarks of medical image segmentation whose numbers can be believed."""
    context.obj = {"debug": debug}


def main() -> None:
    """Runs the command line; the only place that exits."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(_run(sys.argv[1:]))


def default_cache() -> Path:
    """Where prepared and phantom data are kept, unless `--cache` says otherwise."""
    if given := os.environ.get("BENCHBENCH_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "benchbench"


def _run(words: list[str]) -> int:
    from benchbench.errors import BenchbenchError  # noqa: PLC0415 after --help has answered

    debug = "--debug" in words
    try:
        outcome: Any = cli.main(words, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):  # click turns the first into the second
        click.echo("interrupted: what is done is kept; the same command goes on from here", err=True)
        return INTERRUPTED
    except _Terminated:
        click.echo("terminated: what is done is kept; the same command goes on from here", err=True)
        return 128 + signal.SIGTERM
    except BrokenPipeError:
        # whoever read our output has gone; python would complain once more when it closes it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BenchbenchError as error:
        if debug:
            raise
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    return outcome if isinstance(outcome, int) else 0


class _Terminated(BaseException):
    """The system asked us to stop."""


def _terminated(*_: object) -> None:
    raise _Terminated
