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
LEAST_PERCENT = 95
TIMEOUT_SECONDS = 600
TESTS_PASSED, TESTS_FAILED = 0, 1

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
        failing = runner.find_failing_tests(mutations)
        if failing:
            sys.exit("\n".join(["these tests fail without any change:", *failing]))
        results = runner.try_all(mutations)
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


class Runner:
    """Runs tests on copies of the checkout, as many at a time as there are copies."""

    def __init__(self, copies: Sequence[Path]) -> None:
        self._count = len(copies)
        self._free: SimpleQueue[Path] = SimpleQueue()
        for copy in copies:
            self._free.put(copy)

    def find_failing_tests(self, mutations: Sequence[Mutation]) -> list[str]:
        """Return the tests that fail on unchanged code, where they prove nothing."""
        selections = list(dict.fromkeys(mutation.tests for mutation in mutations))
        with ThreadPoolExecutor(self._count) as pool:
            statuses = list(pool.map(self._run_unchanged, selections))
        failing = []
        for tests, status in zip(selections, statuses, strict=True):
            if status != TESTS_PASSED:
                failing.append(" ".join(tests))
        return failing

    def try_all(self, mutations: Sequence[Mutation]) -> list[Result]:
        """Return the result of every change, and print it as soon as it is known."""
        results = []
        with ThreadPoolExecutor(self._count) as pool:
            for result in pool.map(self._try, mutations):
                _print_result(result)
                results.append(result)
        return results

    def _run_unchanged(self, tests: Sequence[str]) -> int:
        with self._free_copy() as copy:
            return run_tests(copy, tests)

    def _try(self, mutation: Mutation) -> Result:
        began = time.monotonic()
        with self._free_copy() as copy, _changed(copy / mutation.file, mutation):
            try:
                status = run_tests(copy, mutation.tests)
            except subprocess.TimeoutExpired:
                return Result(mutation, "error", TIMEOUT_SECONDS, "the tests do not end")
        seconds = time.monotonic() - began
        if status == TESTS_PASSED:
            return Result(mutation, "survived", seconds)
        if status == TESTS_FAILED:
            return Result(mutation, "caught", seconds)
        return Result(mutation, "error", seconds, f"no test ran, pytest ended with {status}")

    @contextmanager
    def _free_copy(self) -> Iterator[Path]:
        copy = self._free.get()
        try:
            yield copy
        finally:
            self._free.put(copy)


@contextmanager
def _changed(path: Path, mutation: Mutation) -> Iterator[None]:
    """Change a file until the end of `with`."""
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def run_tests(copy: Path, tests: Sequence[str]) -> int:
    """Run tests on a copy of the checkout and return pytest's exit status."""
    # the installed package is the checkout itself, which the path of the copy has to precede, in workers as well
    paths = [str(copy), str(copy / "plugins")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    done = subprocess.run(  # noqa: S603 the tests of this checkout
        command, cwd=copy, env=environment, capture_output=True, timeout=TIMEOUT_SECONDS, check=False
    )
    return done.returncode


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
