"""Prints every word and docstring that is not plain English: python tests/lint/plain_english.py PATH...

`plain_english.txt` has the words. A docstring of a module, class or function opens with a verb or a noun phrase; the
one of a field may say where or how.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

WORDS = Path(__file__).with_suffix(".txt")
SUFFIXES = {".cff", ".html", ".ini", ".md", ".py", ".toml", ".yaml", ".yml"}
OPENERS = re.compile(r"(What|Whether|Of|By|Where|Who|How|Which|When)\b")
FIELD_OPENERS = re.compile(r"(What|Whether|Of|By|Which)\b")
WEAK_NAMES = {"each", "found", "held", "kept", "own", "said", "shown", "wanted"}
"""Variables of these names say nothing about their content."""
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Finding(NamedTuple):
    """One place in a text, with the reason."""

    line: int
    message: str


def read_words(file: Path = WORDS) -> dict[re.Pattern[str], str]:
    """Return what to write in place of each pattern."""
    words = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            pattern, _, suggestion = line.partition(" -> ")
            across_lines = pattern.replace(" ", r"[\s#\"]+")
            words[re.compile(rf"(?<![A-Za-z])({across_lines})(?![A-Za-z])", re.IGNORECASE)] = suggestion
    return words


def find_words(text: str, words: dict[re.Pattern[str], str]) -> Iterator[Finding]:
    """Yield every place where one of the words is used."""
    for pattern, suggestion in words.items():
        for match in pattern.finditer(text):
            line = 1 + text.count("\n", 0, match.start())
            yield Finding(line, f"'{' '.join(match[0].split())}': write {suggestion}")


def find_openers(tree: ast.Module) -> Iterator[Finding]:
    """Yield every docstring that opens with an interrogative or a preposition."""
    summaries = set()
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            summary = node.body[0]
            summaries.add(summary)
            yield from _opener(summary, OPENERS)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and node not in summaries:
            yield from _opener(node, FIELD_OPENERS)


def find_weak_names(tree: ast.Module) -> Iterator[Finding]:
    """Yield every variable and parameter whose name says nothing; a field of a class has its docstring."""
    fields = set(_class_fields(tree))
    for node in ast.walk(tree):
        name = ""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in fields:
            name = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        if name in WEAK_NAMES:
            yield Finding(node.lineno, f"variable '{name}': name its content")


def _class_fields(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign):
                    yield statement.target


def find_all(path: Path, words: dict[re.Pattern[str], str]) -> list[Finding]:
    """Return the findings of one file, by line."""
    text = path.read_text(encoding="utf-8")
    findings = list(find_words(text, words))
    if path.suffix == ".py":
        tree = ast.parse(text)
        findings += [*find_openers(tree), *find_weak_names(tree)]
    return sorted(findings)


def _opener(node: ast.AST, openers: re.Pattern[str]) -> Iterator[Finding]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        match = openers.match(node.value.value.lstrip())
        if match:
            yield Finding(node.lineno, f"docstring opens with '{match[0]}'; open with a verb or a noun phrase")


def _files(path: Path) -> Iterator[Path]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.suffix in SUFFIXES and file.is_file():
            yield file


def main(paths: list[str]) -> int:
    """Check files and folders; return 1 if there is a finding."""
    words = read_words()
    count = 0
    for path in paths:
        for file in _files(Path(path)):
            for finding in find_all(file, words):
                print(f"{file}:{finding.line}: {finding.message}")
                count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
