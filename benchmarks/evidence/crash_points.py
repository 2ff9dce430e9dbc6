"""Stops a tiny benchmark at a system call, gives the same command again, and compares the results byte for byte.

    python benchmarks/evidence/crash_points.py --mode run --points 60
    python benchmarks/evidence/crash_points.py --mode work --error ENOSPC --points 40

Needs Linux and strace, whose fault injection kills the process, or lets a call fail with an error, at the N-th
rename, link, unlink, fsync, open for writing or write. Points are drawn, with a seed, from the calls of a command
that nobody stopped, on files below its results and its cache. The modes:

    run      benchbench run --jobs 0: everything in one process
    jobs     benchbench run --jobs 1: a worker process for each run; the process that makes the call is killed
    work     two benchbench work commands at once, of which the first one is stopped
    merge    benchbench merge of two shards
    report   benchbench report of finished runs
    cache    benchbench plan --write with an empty cache

A point is good if the second command succeeds and the files are those of a command that nobody stopped. After an
error, the stopped command must also end with a message in place of a traceback. Commands are copies of this
process, which has imported the libraries already. Figures, page and intervals are left out: they take most of the
time and are written by the same function as tables. The exit code is 1 if a point is not good.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crash_commands import Command, Outcome, find_calls, import_for, run_forked, run_stopped
from crash_compare import different_files, leftovers, snapshot
from tiny_benchmark import one_network

KINDS = {
    "rename": ("rename", "renameat", "renameat2"),
    "link": ("link", "linkat"),
    "unlink": ("unlink", "unlinkat"),
    "fsync": ("fsync", "fdatasync"),
    "open": ("openat",),
    "write": ("write", "pwrite64", "writev"),
}


@dataclass(frozen=True)
class Folders:
    """The folders of one attempt; `shards` holds the results of an earlier command."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def benchmark(self) -> Path:
        return self.results / "rehearsal" / "tiny"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def shards(self) -> list[Path]:
        return [self.root / f"shard{number}" / "rehearsal" / "tiny" for number in range(2)]

    def planning(self, verb: str, *words: str, results: Path | None = None) -> list[str]:
        folders = ["--results", str(results or self.results), "--cache", str(self.cache)]
        return [verb, str(self.root.parent / "tiny.toml"), "--rehearse", *folders, *words]

    def running(self, jobs: int) -> list[str]:
        options = ["--jobs", str(jobs), "--device", "cpu", "--no-pictures", "--resume-seconds", "0"]
        return self.planning("run", *options)

    def working(self, folder: Path, *words: str) -> list[str]:
        options = ["--until-empty", "--jobs", "0", "--device", "cpu", "--resume-seconds", "0", "--cores", "1"]
        return ["work", str(folder), "--cache", str(self.cache), *options, *words]


@dataclass(frozen=True)
class Mode:
    """A command that is stopped, with the commands before and after it."""

    stopped: Callable[[Folders], list[str]]
    before: Callable[[Folders], list[list[str]]]
    """Commands that prepare the folders."""
    again: Callable[[Folders], list[list[str]]]
    """Commands of a user who continues."""
    seeds: int = 1
    concurrent: Callable[[Folders], list[str]] | None = None
    """A command that runs at the same time."""


def _none(_: Folders) -> list[list[str]]:
    return []


def _make_shards(folders: Folders) -> list[list[str]]:
    commands: list[list[str]] = []
    for number, shard in enumerate(folders.shards):
        commands.append(folders.planning("plan", "--write", results=shard.parents[1]))
        commands.append(folders.working(shard, "--shard", f"{number}/2"))
    return commands


def _merging(folders: Folders) -> list[str]:
    return ["merge", *map(str, folders.shards), "--into", str(folders.benchmark), "--no-pictures"]


def _reporting(folders: Folders) -> list[str]:
    return ["report", str(folders.benchmark), "--no-pictures"]


def _planning(folders: Folders) -> list[str]:
    return folders.planning("plan", "--write")


def _plan_first(folders: Folders) -> list[list[str]]:
    """Return the command that prepares the data, which the mode `cache` stops."""
    return [_planning(folders)]


def _working(folders: Folders) -> list[str]:
    return folders.working(folders.benchmark)


MODES = {
    "run": Mode(lambda folders: folders.running(0), _plan_first, lambda folders: [folders.running(0)]),
    "jobs": Mode(lambda folders: folders.running(1), _plan_first, lambda folders: [folders.running(1)]),
    "work": Mode(
        _working,
        _plan_first,
        lambda folders: [_planning(folders), _working(folders), _reporting(folders)],
        seeds=3,
        concurrent=_working,
    ),
    "merge": Mode(_merging, _make_shards, lambda folders: [_merging(folders)], seeds=2),
    "report": Mode(
        _reporting, lambda folders: [folders.running(0)], lambda folders: [_reporting(folders)], seeds=2
    ),
    "cache": Mode(_planning, _none, lambda folders: [_planning(folders), folders.running(0)]),
}


class Bench:
    """One mode with the folders of its undisturbed command."""

    def __init__(self, mode: Mode, root: Path) -> None:
        self.mode = mode
        self.root = root
        (root / "tiny.toml").write_text(one_network("Tiny", seeds=range(mode.seeds), epochs=2))
        self.prepared = self._new("prepared")
        for words in mode.before(self.prepared):
            self._require(words)

    def reference(self, name: str) -> dict[str, str]:
        """Return the digests of the files after commands that nobody stopped."""
        folders = self.start(name)
        for words in [self.mode.stopped(folders), *self.mode.again(folders)]:
            self._require(words)
        return snapshot(folders.root)

    def start(self, name: str) -> Folders:
        """Return folders in the state before the command that is stopped; the path is always the same."""
        shutil.rmtree(self.root / "attempt", ignore_errors=True)
        shutil.copytree(self.prepared.root, self.root / "attempt")
        (self.root / "name.txt").write_text(name)
        return Folders(self.root / "attempt")

    def stop_and_continue(self, call: str, number: int, error: str) -> tuple[Outcome, list[str]]:
        """Stop the command at a call and continue; return how it ended and what went wrong."""
        folders = self.start(f"{call} {number}")
        command = Command(self.mode.stopped(folders), self.root / "stopped.log")
        other = None
        if self.mode.concurrent is not None:
            other = Command(self.mode.concurrent(folders), self.root / "concurrent.log")
        outcome = run_stopped(
            command, self.root / "strace.log", call=call, number=number, error=error, concurrent=other
        )
        faults: list[str] = []
        if error and "Traceback" in command.output():
            faults.append(f"traceback: {command.output().strip().splitlines()[-1]}")
        for words in self.mode.again(folders):
            again = Command(words, self.root / "again.log")
            code = run_forked(again)
            if code:
                faults.append(f"{words[0]} ended with {code}: {again.output().strip().splitlines()[-1:]}")
        return outcome, faults

    def compare(self, expected: dict[str, str]) -> list[str]:
        root = self.root / "attempt"
        return [*different_files(expected, snapshot(root)), *leftovers(root, expected)]

    def _new(self, name: str) -> Folders:
        folders = Folders(self.root / "attempt")
        folders.root.mkdir()
        (self.root / "name.txt").write_text(name)
        return folders

    def _require(self, words: list[str]) -> None:
        command = Command(words, self.root / "undisturbed.log")
        if run_forked(command):
            raise SystemExit(f"benchbench {' '.join(words)} failed:\n{command.output()}")

    def keep_prepared(self) -> None:
        """Move the prepared folders out of the way of the attempts, which have the same path."""
        aside = self.root / "prepared"
        shutil.move(self.prepared.root, aside)
        self.prepared = Folders(aside)


def warm_up(bench: Bench) -> None:
    """Import what the command imports, so that its copies need not."""
    folders = bench.start("warm")
    import_for(Command(bench.mode.stopped(folders), bench.root / "warm.log"), bench.root / "modules.txt")


def sample(
    calls: Sequence[tuple[str, str, int]], points: int, generator: random.Random
) -> list[tuple[str, str, int]]:
    """Return (kind, call, number) of points, as many of each kind as possible."""
    by_kind = {kind: [call for call in calls if call[0] == kind] for kind in KINDS}
    for group in by_kind.values():
        generator.shuffle(group)
    chosen: list[tuple[str, str, int]] = []
    while len(chosen) < points and any(by_kind.values()):
        for group in by_kind.values():
            if group and len(chosen) < points:
                chosen.append(group.pop())
    return chosen


def test_points(bench: Bench, chosen: Sequence[tuple[str, str, int]], error: str, seconds: float) -> bool:
    """Test the points, print each that is not good and the counts; return True if all are good."""
    first, second = bench.reference("first"), bench.reference("second")
    expected = {name: digest for name, digest in first.items() if second.get(name) == digest}
    print(f"{len(expected)} of {len(first)} files are compared; the others hold times")
    tested: Counter[str] = Counter()
    good: Counter[str] = Counter()
    end = time.monotonic() + seconds
    for kind, call, number in chosen:
        if time.monotonic() > end:
            break
        outcome, faults = bench.stop_and_continue(call, number, error)
        if not outcome.is_reached:
            continue
        faults += bench.compare(expected)
        tested[kind] += 1
        good[kind] += not faults
        if faults:
            print(f"{call}:{number} {outcome.place}: {'; '.join(faults[:6])}", flush=True)
    counts = ", ".join(f"{kind} {good[kind]}/{tested[kind]}" for kind in tested)
    print(f"{tested.total()} points, {good.total()} identical after the next command ({counts})")
    return tested == good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=list(MODES), default="run")
    parser.add_argument("--error", choices=["", "EIO", "ENOSPC", "EACCES"], default="", help="in place of a kill")
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--kinds", default=",".join(KINDS), help="kinds of calls, with commas")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of points")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no further point after so long")
    parser.add_argument("--work", type=Path, help="an empty folder; default: a temporary one")
    given = parser.parse_args()
    if not shutil.which("strace"):
        print("strace is not installed")
        return 2
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])  # one thread, so that calls have an order
    root = (given.work or Path(tempfile.mkdtemp(prefix="crash-"))).resolve()
    root.mkdir(parents=True, exist_ok=True)
    bench = Bench(MODES[given.mode], root)
    bench.keep_prepared()
    warm_up(bench)
    folders = bench.start("calls")
    command = Command(bench.mode.stopped(folders), root / "stopped.log")
    kinds = {kind: KINDS[kind] for kind in given.kinds.split(",")}
    calls = find_calls(command, root / "strace.log", kinds, below=folders.root)
    print(f"{given.mode}: {len(calls)} calls: {dict(Counter(kind for kind, _, _ in calls))}", flush=True)
    chosen = sample(calls, given.points, random.Random(given.seed))  # noqa: S311 a choice of points
    return 0 if test_points(bench, chosen, given.error, given.seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
