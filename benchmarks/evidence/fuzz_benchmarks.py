"""Damaged benchmark files and results folders, and the commands that read them: `plan`, `report` and `compare`."""

from __future__ import annotations

import atexit
import hashlib
import json
import random
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from fuzz_bytes import damage_bytes
from toy_benchmark import BENCHMARK, PAIR, run_pair_once

from benchbench.comparison import compare_results
from benchbench.launch.benchmark_files import read_plans
from benchbench.records.folder import ResultsFolder
from benchbench.records.history import read_history
from benchbench.registry.registry import Registry, discover
from benchbench.report import write_report, write_tables
from benchbench.report.page.index import write_index
from benchbench.tables.results import read_results

_WITH_TABLES, _WITH_PAGE = 0.02, 0.005
"""Shares of the inputs for which tables and pages are written, which takes a second."""
_FILE = PAIR.replace(
    "[rehearse]", '[[variants]]\nname = "fast"\nchanges = { protocol = { epochs = 1 } }\n\n[rehearse]'
)
_VALUES = ("0", "-1", "1e999", "nan", "inf", "-inf", "true", '""', "[]", "{}", "[[]]", "1979-05-27", '"é\\u0000"')
_VALUES += ("99999999999999999999", '"../../x"', "[1, 2, 3]", "{ name = 3 }", '["a", "a"]', "0x7fffffffffffffff")
_VALUES += (
    "1",
    "2",
    "3",
    "16",
    "0.5",
    '"adam"',
    '"dice"',
    '"plain"',
    '"squares"',
    "[32, 32]",
    "[0, 1]",
    "1000000000",
)
_VALUES += ("[" * 3000 + "]" * 3000, '"' + "x" * 10000 + '"', "9" * 5000, "{ a = " * 500 + "1" + " }" * 500)
_LINES = (
    "a = 1",
    "[x]",
    "[[models]]",
    "[[models.x]]",
    "a.b.c = 1",
    "[protocol.augment]",
    '"" = 1',
    "]",
    '"""',
    "\x00",
)
_LINES += (
    ".".join("a" * 3000) + " = 1",
    "[" + ".".join("a" * 2000) + "]",
    "# " + "x" * 100000,
    "protocol.folds = 3",
)
_JSON_VALUES: tuple[Any, ...] = (
    None,
    0,
    -1,
    1.5,
    1e308,
    float("nan"),
    True,
    "",
    "x",
    "../x",
    [],
    {},
    [1],
    {"a": 1},
    "\0",
)
_JSON_VALUES += (10**30, "x" * 5000, [[]], "[/x]", "1979-01-01")


def draw_file(rng: random.Random, folder: Path) -> Path:
    """Write a damaged benchmark file."""
    text = rng.choice((BENCHMARK, _FILE))
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = rng.choice(_TEXT_DAMAGES)(rng, text)
    content = text.encode()
    if rng.random() < 0.2:
        content = damage_bytes(rng, content)
    path = folder / "squares.toml"
    path.write_bytes(content)
    return path


def read_file(path: Path) -> None:
    """Plan the runs of the file, as it is or as a rehearsal."""
    is_rehearsal = path.stat().st_size % 2 == 0
    read_plans([path], _registry(), overrides=(), only=(), rehearse=is_rehearsal, data_root=None, echo=print)


def draw_results(rng: random.Random, folder: Path) -> Path:
    """Copy the results folder of a finished benchmark and damage one or two of its files."""
    results = folder / "results"
    shutil.copytree(template(), results)
    files = sorted(path for path in results.rglob("*") if path.is_file() and not path.name.startswith("."))
    for path in rng.sample(files, rng.choice((1, 1, 2))):
        _damage_result(rng, path)
    (folder / "share").write_text(str(rng.random()))
    return results


def read_results_folder(path: Path) -> None:
    """Read the results as every command does; for some inputs, write tables and a page without figures."""
    folder = ResultsFolder(path / "squares")
    share = float((path.parent / "share").read_text())
    results = read_results(folder)
    for key, record in results.records.items():
        read_history(folder.run(key), record)
    write_index(path)
    if share < _WITH_TABLES:
        write_tables(folder)
    if share < _WITH_PAGE:
        with mock.patch("benchbench.report.draw_figures", return_value=[]):
            write_report(folder)
        compare_results("plain", "plain_too", results=folder.path, metrics=[], dataset=None)


@cache
def _registry() -> Registry:
    return discover()


@cache
def template() -> Path:
    """Return the results of a benchmark that is run once for all inputs."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    run_pair_once(folder)
    return keep_readable(folder / "results")


def keep_readable(results: Path) -> Path:
    """Return a results folder without the files that no command reads again."""
    for pattern in ("**/figures", "**/previews", "**/tables"):
        for path in list(results.glob(pattern)):
            shutil.rmtree(path)
    for pattern in ("**/events.out*", "**/*.html", "**/*.md", "**/*.tex", "squares/*.csv", "**/*.log"):
        for path in list(results.glob(pattern)):
            path.unlink()
    return results


def _damage_result(rng: random.Random, path: Path) -> None:
    content = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.8:
        content = _damage_json(rng, content)
    elif path.suffix == ".csv" and rng.random() < 0.7:
        content = _damage_csv(rng, content)
    else:
        content = damage_bytes(rng, content)
    if rng.random() < 0.05:
        path.unlink()
        return
    path.write_bytes(content)
    record = path.with_name("run.json")
    if record.exists() and record != path and rng.random() < 0.7:
        _correct_digest(record, path)


def _correct_digest(record: Path, path: Path) -> None:
    """Write the new digest of a file into the record, if it lists the file."""
    try:
        fields = json.loads(record.read_bytes())
        if path.name in fields["files"]:
            fields["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            record.write_text(json.dumps(fields))
    except (ValueError, TypeError, KeyError):  # the record was damaged before
        return


def _damage_json(rng: random.Random, content: bytes) -> bytes:
    value = json.loads(content)
    parents: list[tuple[Any, Any]] = []
    _collect(value, parents)
    parent, key = rng.choice(parents)
    if rng.random() < 0.2:
        del parent[key]
    elif rng.random() < 0.1 and isinstance(parent, dict):
        parent["new key"] = parent[key]
    else:
        parent[key] = rng.choice(_JSON_VALUES)
    return json.dumps(value).encode()


def _collect(value: Any, parents: list[tuple[Any, Any]]) -> None:
    """Add (container, key) of every value below a value."""
    keys: Any = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        parents.append((value, key))
        _collect(value[key], parents)


def _damage_csv(rng: random.Random, content: bytes) -> bytes:
    rows = [line.split(",") for line in content.decode().splitlines()]
    row = rng.choice(rows)
    row[rng.randrange(len(row))] = rng.choice(("", "x", "nan", "1e999", "-1", '"', "1,2", "é", "true"))
    return "\n".join(",".join(cells) for cells in rows).encode()


def _change_value(rng: random.Random, text: str) -> str:
    places = list(re.finditer(r"(?<== )[^\n,}\]]+", text))
    place = rng.choice(places)
    return text[: place.start()] + rng.choice(_VALUES) + text[place.end() :]


def _change_line(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines[place:place] = [lines[rng.randrange(len(lines))]] * rng.choice((1, 2, 300))
    elif kind == 2:
        lines[place] = rng.choice(_LINES)
    else:
        lines.insert(place, rng.choice(_LINES))
    return "\n".join(lines)


def _change_word(rng: random.Random, text: str) -> str:
    words = list(re.finditer(r"[a-z_]+", text))
    word, other = rng.choice(words), rng.choice(words)
    return text[: word.start()] + rng.choice((other[0], other[0] + "x", "", "name")) + text[word.end() :]


def _add_lines(rng: random.Random, text: str) -> str:
    lines = ("k{} = {}", "[t{}]\na = {}", "[[models]]\nname = 'm{}'\nwidth = {}", "# {} {}", "protocol.x{} = {}")
    line, count = rng.choice(lines), rng.choice((10, 1000, 10000))
    return text + "".join(f"{line.format(number, number)}\n" for number in range(count))


_TEXT_DAMAGES: tuple[Callable[[random.Random, str], str], ...] = (
    _change_value,
    _change_value,
    _change_value,
    _change_line,
    _change_line,
    _change_word,
    _change_word,
    _add_lines,
)
