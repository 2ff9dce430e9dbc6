"""Counts how many small wrong changes to the code fail a test.

    python benchmarks/evidence/mutations.py
    python benchmarks/evidence/mutations.py --package metrics --jobs 4
    python benchmarks/evidence/mutations.py --only folds-train-on-validation

The changes are listed in `mutations/`, one file for each package: the text to replace, the wrong text, the tests
that should fail, and what the change would break. The script copies the checkout to a temporary folder, makes one
change at a time there and runs these tests on the copy. It needs the extra `test`.

The exit status is 1 if fewer than 95 % of the changes fail a test, and if a change cannot be made or tested.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from queue import SimpleQueue
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
LISTS = Path(__file__).resolve().with_suffix("")
SERVER = Path(__file__).resolve().with_name("pytest_server.py")
LEAST_PERCENT = 95
TIMEOUT_SECONDS = 300
ALL_TESTS = ""
TESTS_PASSED, TESTS_FAILED, TIMEOUT_STATUS = 0, 1, 124

Outcome = Literal["caught", "survived", "error"]


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One wrong change of one file."""

    id: str
    file: str
    """Path in the checkout."""
    old: str
    """Text that is in the file exactly once."""
    new: str
    tests: tuple[str, ...]
    """Arguments of pytest: the files of tests that should fail, and `-k` with an expression if they are slow."""
    breaks: str
    """The consequence of the change."""

    @property
    def package(self) -> str:
        """The part of `benchbench` that is changed."""
        return Path(self.file).parts[1].removesuffix(".py")


@dataclass(frozen=True)
class Result:
    """The outcome of the tests of a change."""

    mutation: Mutation
    outcome: Outcome
    seconds: float
    message: str = ""
    """The reason of an error."""


def main() -> None:
    options = _parse_options()
    mutations = choose(read_mutations(), only=options.only, package=options.package)
    faults = check(mutations, ROOT)
    if faults:
        sys.exit("\n".join(faults))
    with copies_of_checkout(options.jobs) as copies:
        runner = Runner(copies)
        try:
            failing = runner.find_failing_tests(mutations)
            if failing:
                sys.exit("\n".join(["these tests fail without any change:", *failing]))
            results = runner.try_all(mutations)
        finally:
            runner.stop()
    sys.exit(report(results))


def read_mutations() -> list[Mutation]:
    """Return every listed change, package by package."""
    mutations = []
    for path in sorted(LISTS.glob("*.toml")):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        for fields in content["mutation"]:
            fields["tests"] = tuple(fields["tests"])
            mutations.append(Mutation(**fields))
    return mutations


def choose(mutations: Sequence[Mutation], *, only: Sequence[str], package: str | None) -> list[Mutation]:
    """Return the changes with these identifiers and of this package; without either, all of them."""
    chosen = []
    for mutation in mutations:
        has_identifier = not only or mutation.id in only
        if has_identifier and package in {None, mutation.package}:
            chosen.append(mutation)
    if len(chosen) < max(1, len(set(only))):
        sys.exit("no such change; the lists are in benchmarks/evidence/mutations/")
    return chosen


def check(mutations: Sequence[Mutation], root: Path) -> list[str]:
    """Return a line for each change that cannot be made in this checkout, or whose tests do not exist."""
    faults = []
    counts = Counter(mutation.id for mutation in mutations)
    for identifier, count in counts.items():
        if count > 1:
            faults.append(f"{identifier}: listed {count} times")
    for mutation in mutations:
        reasons = [*_text_faults(mutation, root), *_test_faults(mutation, root)]
        faults += [f"{mutation.id}: {reason}" for reason in reasons]
    return faults


def _text_faults(mutation: Mutation, root: Path) -> Iterator[str]:
    path = root / mutation.file
    count = 0
    if path.is_file():
        count = path.read_text(encoding="utf-8").count(mutation.old)
    if count != 1:
        yield f"its old text is {count} times in {mutation.file}, expected once"
    if mutation.old == mutation.new:
        yield "changes nothing"


def _test_faults(mutation: Mutation, root: Path) -> Iterator[str]:
    names = [word for word in mutation.tests if word.startswith("tests/")]
    if not names:
        yield "no test file given"
    for name in names:
        if not (root / name).is_file():
            yield f"no test file {name}"


@contextmanager
def copies_of_checkout(count: int) -> Iterator[list[Path]]:
    """Yield folders with all files of the checkout that git does not ignore; the end of `with` removes them."""
    names = _list_files()
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copies = [Path(folder) / str(number) / "checkout" for number in range(count)]
        for copy in copies:
            for name in names:
                target = copy / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
            # by hash, because a file and its change can have the same size and time
            compileall.compile_dir(copy, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        yield copies


def _list_files() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 fixed words
    names = listing.stdout.split("\0")
    return [name for name in names if (ROOT / name).is_file()]  # a deleted file is listed until it is committed


class TestServer:
    """A process that runs the tests of one copy of the checkout, at a start of milliseconds instead of seconds."""

    def __init__(self, copy: Path) -> None:
        self.copy = copy
        # the installed package is the checkout itself: the copy precedes it on the path, in workers as well
        paths = [str(copy), str(copy / "plugins")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_ALBUMENTATIONS_UPDATE": "1",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, str(SERVER), str(TIMEOUT_SECONDS)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(  # noqa: S603 a script of this folder
            command, cwd=copy, env=environment, stdin=pipe, stdout=pipe, text=True
        )

    def run_tests(self, tests: Sequence[str]) -> int:
        """Return pytest's exit status."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        requests.write(json.dumps(tests) + "\n")
        requests.flush()
        return int(answers.readline())

    def stop(self) -> None:
        self._process.communicate()


class Runner:
    """Runs tests on copies of the checkout, as many at a time as there are copies."""

    def __init__(self, copies: Sequence[Path]) -> None:
        self._servers = [TestServer(copy) for copy in copies]
        self._free: SimpleQueue[TestServer] = SimpleQueue()
        for server in self._servers:
            self._free.put(server)

    def stop(self) -> None:
        for server in self._servers:
            server.stop()

    def find_failing_tests(self, mutations: Sequence[Mutation]) -> list[str]:
        """Return the tests that fail on unchanged code, where they prove nothing."""
        selections = join_selections(mutations)
        with ThreadPoolExecutor(len(self._servers)) as pool:
            statuses = list(pool.map(self._run_unchanged, selections))
        failing = []
        for tests, status in zip(selections, statuses, strict=True):
            if status != TESTS_PASSED:
                failing.append(" ".join(tests))
        return failing

    def try_all(self, mutations: Sequence[Mutation]) -> list[Result]:
        """Return the result of every change, and print it as soon as it is known."""
        results = []
        with ThreadPoolExecutor(len(self._servers)) as pool:
            for result in pool.map(self._try, mutations):
                _print_result(result)
                results.append(result)
        return results

    def _run_unchanged(self, tests: Sequence[str]) -> int:
        with self._free_server() as server:
            return server.run_tests(tests)

    def _try(self, mutation: Mutation) -> Result:
        began = time.monotonic()
        with self._free_server() as server, _changed(server.copy / mutation.file, mutation):
            status = server.run_tests(mutation.tests)
        seconds = time.monotonic() - began
        if status == TESTS_PASSED:
            return Result(mutation, "survived", seconds)
        if status == TESTS_FAILED:
            return Result(mutation, "caught", seconds)
        if status == TIMEOUT_STATUS:
            return Result(mutation, "error", seconds, "the tests do not end")
        return Result(mutation, "error", seconds, f"no test ran, pytest ended with {status}")

    @contextmanager
    def _free_server(self) -> Iterator[TestServer]:
        server = self._free.get()
        try:
            yield server
        finally:
            self._free.put(server)


def join_selections(mutations: Sequence[Mutation]) -> list[tuple[str, ...]]:
    """Return arguments of pytest that run every test of the changes once, file by file."""
    expressions: dict[str, list[str]] = {}
    for mutation in mutations:
        expression = _expression(mutation.tests)
        for name in mutation.tests:
            if name.startswith("tests/"):
                expressions.setdefault(name, []).append(expression)
    selections = []
    for name, of_file in sorted(expressions.items()):
        if ALL_TESTS in of_file:
            selections.append((name,))
        else:
            selections.append((name, "-k", " or ".join(dict.fromkeys(of_file))))
    return selections


def _expression(tests: Sequence[str]) -> str:
    if "-k" in tests:
        return f"({tests[tests.index('-k') + 1]})"
    return ALL_TESTS


@contextmanager
def _changed(path: Path, mutation: Mutation) -> Iterator[None]:
    """Change a file until the end of `with`."""
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def report(results: Sequence[Result]) -> int:
    """Print the counts of each package and of all, and return the exit status."""
    tried = Counter(result.mutation.package for result in results)
    caught = Counter(result.mutation.package for result in results if result.outcome == "caught")
    print("\n| package | changes | caught |")
    print("|---|---:|---:|")
    for package in sorted(tried):
        print(f"| {package} | {tried[package]} | {caught[package]} |")
    percent = 100 * caught.total() / tried.total()
    print(f"\n{caught.total()} of {tried.total()} changes fail a test: {percent:.1f} %")
    has_errors = any(result.outcome == "error" for result in results)
    return 1 if has_errors or percent < LEAST_PERCENT else 0


def _print_result(result: Result) -> None:
    mutation = result.mutation
    line = f"{result.outcome:8} {mutation.id} ({result.seconds:.0f} s)"
    if result.outcome != "caught":
        line += f": {result.message or mutation.breaks}; {mutation.file}"
    print(line, flush=True)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="a change; may be repeated")
    parser.add_argument("--package", help="the changes of one package")
    parser.add_argument("--jobs", type=int, default=2, help="changes that are tried at a time")
    return parser.parse_args()


if __name__ == "__main__":
    main()
