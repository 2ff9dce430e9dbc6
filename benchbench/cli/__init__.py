"""The command line: every command parses its options, calls one stage and prints the result.

Commands import what they need when they are called, so that `--help` stays fast.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, ClassVar

import click

_EXIT_INTERRUPTED = 130
_RESUME_HINT = "finished work is kept; the same command continues from here"


class NearestGroup(click.Group):
    """A group that names the nearest command when it is given an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        is_option = name.startswith("-")
        if self.get_command(ctx, name) is None and not is_option:
            from benchbench.spec.document import nearest  # noqa: PLC0415 an error only

            ctx.fail(f"no such command '{name}'; {nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


class CommandGroup(NearestGroup):
    """Imports the module of a command when it is called."""

    modules: ClassVar = {
        "run": "benchbench.cli.run",
        "plan": "benchbench.cli.plan",
        "work": "benchbench.cli.work",
        "status": "benchbench.cli.status",
        "split": "benchbench.cli.split",
        "list": "benchbench.cli.catalogue",
        "show": "benchbench.cli.show",
        "check": "benchbench.cli.check",
        "new": "benchbench.cli.new",
        "report": "benchbench.cli.report",
        "verify": "benchbench.cli.verify",
        "publish": "benchbench.cli.publish",
        "compare": "benchbench.cli.compare",
        "claims": "benchbench.cli.claims",
        "predict": "benchbench.cli.predict",
        "export": "benchbench.cli.export",
        "merge": "benchbench.cli.merge",
        "score": "benchbench.cli.score",
        "data": "benchbench.cli.data",
        "convert": "benchbench.cli.convert",
        "schema": "benchbench.cli.schema",
        "doctor": "benchbench.cli.doctor",
    }
    summaries: ClassVar = {
        "run": "Run benchmarks; runs that are already done are skipped.",
        "plan": "List the runs of a benchmark with digest and state.",
        "work": "Carry out planned runs together with other machines.",
        "status": "Show which runs are done, and which machine carries out the others.",
        "split": "Write the cases of every fold to a file, for other tools.",
        "list": "List the installed datasets, models and launchers.",
        "show": "Show a dataset or model: parameters, source, licence, cost, datasets that it fits.",
        "check": "Check a dataset, a model or a benchmark file.",
        "new": "Write the files of a new dataset, model or benchmark, which work as they are.",
        "report": "Rewrite the tables, figures and pages of finished runs.",
        "verify": "Recompute the tables of results, and check digests and saved masks.",
        "publish": "Copy results without weights, images of patients and names of machines.",
        "compare": "Test whether one model is better than another, and list how their recipes differ.",
        "claims": "Print how likely the best row of a printed table is not the best.",
        "predict": "Predict new images with a finished run or a row of a benchmark.",
        "export": "Write a trained network as TorchScript, ONNX or safetensors, and compare its outputs.",
        "merge": "Merge the results of one benchmark from several machines.",
        "score": "Score the predictions of any tool against references, file by file.",
        "data": "Download, inspect and verify datasets, write phantom data, clear the cache.",
        "convert": "Convert published weights of a model for use in benchmarks.",
        "schema": "Print the JSON Schema of a benchmark file, for editors.",
        "doctor": "Check the installation and print how to fix problems.",
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


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="benchbench")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, *, debug: bool) -> None:
    """Reproducible benchmarks of medical image segmentation."""
    from benchbench.cli.defaults import default_map, read_defaults  # noqa: PLC0415 after --help has answered

    context.obj = {"debug": debug}
    if defaults := read_defaults():
        context.default_map = default_map(defaults, cli, context)


def main() -> None:
    """Run the command line and exit with its code."""
    for name in ("SIGTERM", "SIGUSR1"):  # the second comes from SLURM, before a time limit
        if hasattr(signal, name):
            signal.signal(signal.Signals[name], _raise_terminated)
    sys.exit(_run(sys.argv[1:]))


def _run(words: list[str]) -> int:
    """Carry out a command and return its exit code; an expected failure prints one line per problem."""
    from benchbench.errors import BenchbenchError, storage_error  # noqa: PLC0415 after --help has answered

    _log_plugins()
    try:
        returned: Any = cli.main(words, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):  # click turns the first into the second
        click.echo(f"interrupted: {_RESUME_HINT}", err=True)
        return _EXIT_INTERRUPTED
    except _TerminatedError as error:
        click.echo(f"terminated: {_RESUME_HINT}", err=True)
        return 128 + error.number
    except BrokenPipeError:
        # the reader of our output is gone, and Python would print a second error when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (BenchbenchError, OSError) as error:
        if "--debug" in words:
            raise
        failure = storage_error(error) if isinstance(error, OSError) else error
        click.echo(f"error: {failure}", err=True)
        return failure.exit_code
    return returned if isinstance(returned, int) else 0


def _log_plugins() -> None:
    """Let what plugins print when they are imported go to plugins.log in the cache, which only then is created."""
    import logging  # noqa: PLC0415 after --help has answered

    from benchbench.data.cache_folder import default_cache  # noqa: PLC0415

    class LazyFile(logging.FileHandler):
        def _open(self) -> Any:
            os.makedirs(os.path.dirname(self.baseFilename), exist_ok=True)  # noqa: PTH103, PTH120 a str of logging
            return super()._open()

        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 logging's name
            """Do without the log where the cache cannot be written."""

    logger = logging.getLogger("benchbench.plugins")
    for handler in [*logger.handlers]:
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.INFO)
    log = LazyFile(default_cache() / "plugins.log", delay=True)
    log.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(log)


class _TerminatedError(BaseException):
    """The process received SIGTERM, or another signal that asks it to end."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(number)
        self.number = number


def _raise_terminated(number: int, _: object) -> None:
    """Raise once: a second signal, which clusters send, must not interrupt that runs are saved and released."""
    for name in ("SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            # SIG_IGN would print an error where the second signal has come already
            signal.signal(signal.Signals[name], _ignore)
    raise _TerminatedError(number)


def _ignore(number: int, _: object) -> None:
    """Do nothing."""
