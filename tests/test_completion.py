"""The shell completes commands, options and the names of plugins."""

from __future__ import annotations

from click.shell_completion import ShellComplete

from benchbench.cli import cli


def completions(*words: str, begun: str) -> list[tuple[str, str]]:
    complete = ShellComplete(cli, {}, "benchbench", "_BENCHBENCH_COMPLETE")
    return [(item.value, item.type) for item in complete.get_completions(list(words), begun)]


def test_commands_and_options_are_completed() -> None:
    assert ("split", "plain") in completions(begun="sp")
    assert ("--rehearse", "plain") in completions("run", begun="--reh")


def test_names_of_plugins_are_completed() -> None:
    assert completions("show", begun="lg") == [("lgg", "plain")]
    assert ("unext", "plain") in completions("check", begun="une")
    assert completions("data", "verify", begun="brats2") == [("brats20", "plain"), ("brats21", "plain")]
    # no plugin begins like this: the shell completes the name of a file
    assert completions("check", begun="benchmarks/lgg") == [("benchmarks/lgg", "file")]
