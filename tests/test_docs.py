"""The documentation: pages made from the code are up to date, links lead to files, and commands have their options."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import benchbench
from packaging.version import Version
from toy_benchmark import Finished

from benchbench.cli import cli
from benchbench.cli.reference import pages
from benchbench.cli.reference.benchmark_file import tables
from benchbench.cli.reference.files import FILES, is_documented, meaning_of
from benchbench.cli.reference.metrics import METRICS
from benchbench.metrics.overlaps import Counts, overlap
from benchbench.registry.file_schema import file_schema
from benchbench.spec.metric_names import DISTANCES, LESION_SCORES, OVERLAPS, SURFACE_OVERLAPS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TEXTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md"), *DOCS.glob("reference/*.md")])
_CALL = r"[\[(]\s*\"%s\"[,)\]]"
"""A test calls a command with a list of words or with arguments, of which the first is its name."""
_NOT_OURS = ("NAME", "FILE", "RESULTS", "COMMAND")


@pytest.mark.skipif(
    Version(version("click")) < Version("8.5"), reason="earlier versions of click write commands in another way"
)
def test_the_pages_made_from_the_code_are_up_to_date() -> None:
    for name, text in pages().items():
        assert (DOCS / "reference" / name).read_text() == text, f"{name}: run python docs/write_reference.py"


def test_every_key_of_a_benchmark_file_is_in_the_reference_with_its_meaning() -> None:
    schema = file_schema()
    documented = {table.name: {key.name: key for key in table.keys} for table in tables()}
    for name, of_table in [("The file", schema), *schema["$defs"].items()]:
        for key, of_key in of_table.get("properties", {}).items():
            assert documented[name][key].type
            assert documented[name][key].meaning
            assert of_key.get("description", "") in {"", documented[name][key].meaning}
    page = pages()["benchmark_file.md"]
    assert "| `folds` | whole number at least 1 at most 1000 | `5` | Number of cross-validation folds." in page
    assert "| `epochs` | whole number at least 1 | required |" in page


def test_the_terminal_has_the_same_reference(tmp_path: Path) -> None:
    done = benchbench("show", "protocol", cwd=tmp_path)
    assert done.returncode == 0
    lines = " ".join(done.stdout.split())
    assert "folds: whole number at least 1 at most 1000 = 5 Number of cross-validation folds." in lines
    assert "weight_decay: number at least 0 = 0.01" in lines  # of AdamW, which `optimizer` can be


def test_every_metric_is_in_the_reference() -> None:
    assert list(METRICS) == [*OVERLAPS, *DISTANCES, *SURFACE_OVERLAPS, *LESION_SCORES]


@pytest.mark.parametrize("name", OVERLAPS)
def test_the_scores_of_empty_masks_are_those_of_the_reference(name: str) -> None:
    both_empty = overlap(name, Counts(0, 0, 0, 10))
    empty_prediction = overlap(name, Counts(0, 0, 4, 6))
    written = METRICS[name]
    assert written.both_empty == ("left out" if np.isnan(both_empty) else f"{both_empty:g}")
    if written.one_empty != "as defined":
        assert written.one_empty.startswith(f"{empty_prediction:g}")


def test_every_column_of_every_file_is_in_the_reference(finished: Finished) -> None:
    folder = finished.folder.path
    for file in FILES:
        paths = list(folder.glob(file.replace("...", "**")))
        for path in paths[:1]:
            columns = (
                path.read_text().splitlines()[0].split(",")
                if path.suffix == ".csv"
                else pq.read_schema(path).names
            )
            for column in columns:
                assert is_documented(file, column), f"{file}: {column}"
    tables_of_finished = {path.name for path in folder.glob("*.csv")}
    assert tables_of_finished <= set(FILES)
    for file, columns in FILES.items():
        for column in columns:
            assert meaning_of(file, column), f"{file}: {column}"


def test_links_lead_to_files() -> None:
    for path in TEXTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if target.startswith(("http", "#", "mailto:")):
                continue
            assert (path.parent / target.partition("#")[0]).exists(), f"{path.name}: {target}"


def commands_of(path: Path) -> Iterator[list[str]]:
    """Yield the words of each benchbench command in the fenced blocks of a page."""
    for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL):
        text = re.sub(r"\\\n\s*", " ", block)
        for line in re.split(r"\n|&&", text):
            command = re.split(r"\s{3,}|\s#", line.strip())[0]  # a description may follow
            if command.startswith("benchbench ") and "..." not in command:
                yield shlex.split(command)[1:]


def test_the_commands_of_all_pages_exist_with_their_options() -> None:
    n_commands = 0
    for path in TEXTS:
        for words in commands_of(path):
            n_commands += 1
            command, options = _resolve(words)
            known = {
                option for parameter in command.params for option in parameter.opts + parameter.secondary_opts
            }
            unknown = [option for option in options if option not in {*known, "--help", "-h"}]
            assert not unknown, f"{path.name}: benchbench {' '.join(words)}: {unknown}"
    assert n_commands > 30


def test_every_command_of_the_pages_is_run_by_a_test() -> None:
    sources = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    names = {words[0] for path in TEXTS for words in commands_of(path)}
    untested = [name for name in names if not any(re.search(_CALL % name, source) for source in sources)]
    assert not untested


def _resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that these words call, and the options among them."""
    command: click.Command = cli
    context = click.Context(cli)
    for word in words:
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        below = command.get_command(context, word)
        assert below is not None or word in _NOT_OURS, f"no command {word}"
        command = below or command
    return command, [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.match(r"[\w-]+", requirement) for requirement in project["dependencies"]]
    page = (DOCS / "dependencies.md").read_text()
    missing = [name[0] for name in names if name and f"| {name[0]} |" not in page]
    assert not missing
