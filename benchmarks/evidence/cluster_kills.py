"""Kills processes of a tiny benchmark while a worker is alive, and compares the results byte for byte.

    python benchmarks/evidence/cluster_kills.py --kills 20
    python benchmarks/evidence/cluster_kills.py --only two_heads --kills 3

Processes are killed by SIGKILL after a number of epochs that is drawn with a seed. The kinds:

    run         two `benchbench work` at once, of which the process of a run is killed
    worker      two `benchbench work` at once, of which one is killed
    lost_host   `benchbench work`, where another machine has claimed a run and was lost
    head        `benchbench run --jobs 2` is killed
    two_heads   two `benchbench run` at once on one results folder, of which one is killed
    both_heads  the same, and nothing is killed
    ray_worker  a worker of `benchbench run --launch ray` is killed
    ray_task    the process of Ray that watches a worker is killed
    ray_head    `benchbench run --launch ray` is killed
    slurm_head  `benchbench run --launch slurm` is killed while it submits or after it, with submitit's local jobs

The command is then given again, as a user would. A kill is good if it hit a living process, the next command
succeeds, all files are those of a command that was not disturbed, no run was carried out twice after it was done,
and no process is left. The exit code is 1 if a kill is not good. Needs Linux. Kinds whose package is not installed
are skipped and named. Figures and page are left out, as in crash_points.py.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from crash_commands import Command, exit_code, import_for, run_forked, start_forked
from crash_compare import different_files, leftovers, snapshot
from process_tree import Descendant, command_line, descendants, process_numbers, wait_for_end
from tiny_benchmark import two_networks

EPOCHS = 6
NETWORKS = 4
RUNS = "runs/*/*/*/*"
LOST_CLAIM = {"owner": "0", "host": "lost", "process": 1, "started": "1", "system": "another machine"}
CLAIM_SECONDS = 30
LEFT_SECONDS = 5  # until the claim of the lost machine expires
ATTEMPT_SECONDS = 900.0
POLL_SECONDS = 0.05
TRIES = 5  # where a command ends before the drawn moment
SUBMITTED_FILES = 4
RUN_DEPTH = 3  # below a command: its fork server, a process that watches, the process of a run


@dataclass(frozen=True)
class Bench:
    """The folders of all attempts; an attempt has always the same path."""

    root: Path

    @property
    def attempt(self) -> Path:
        return self.root / "attempt"

    @property
    def results(self) -> Path:
        return self.attempt / "results"

    @property
    def benchmark(self) -> Path:
        return self.results / "rehearsal" / "kills"

    @property
    def planned(self) -> Path:
        return self.root / "planned"

    def prepare(self) -> None:
        """Write the benchmark and its plan."""
        (self.root / "kills.toml").write_text(two_networks("Kills", epochs=EPOCHS))
        (self.root / "ray.toml").write_text("cpus = 1\nworkers = 2\n")
        (self.root / "slurm.toml").write_text('cluster = "local"\ncpus = 1\nmax_jobs = 2\n')
        self.require(self.planning("plan", "--write"))
        shutil.move(self.attempt, self.planned)
        self.start()
        for words in (self.working(), self.running()):
            import_for(Command(words, self.root / "undisturbed.log"), self.root / "modules.txt")

    def start(self) -> None:
        """Bring the folder of an attempt into the state after the plan."""
        shutil.rmtree(self.attempt, ignore_errors=True)
        shutil.copytree(self.planned, self.attempt)

    def require(self, words: list[str]) -> None:
        """Run a command that nobody disturbs, and end where it fails."""
        command = Command(words, self.root / "undisturbed.log")
        if run_forked(command):
            raise SystemExit(f"benchbench {' '.join(words)} failed:\n{command.output()}")

    def planning(self, verb: str, *words: str) -> list[str]:
        folders = ["--results", str(self.results), "--cache", str(self.attempt / "cache")]
        return [verb, str(self.root / "kills.toml"), "--rehearse", *folders, *words]

    def running(self) -> list[str]:
        return self.planning("run", "--jobs", "2", "--device", "cpu", "--no-pictures", "--resume-seconds", "0")

    def launching(self, launcher: str) -> list[str]:
        options = ["--device", "cpu", "--no-pictures", "--resume-seconds", "0"]
        return self.planning("run", *options, "--launch", f"{launcher}:{self.root}/{launcher}.toml")

    def working(self) -> list[str]:
        options = ["--until-empty", "--jobs", "1", "--device", "cpu", "--resume-seconds", "0", "--cores", "1"]
        return ["work", str(self.benchmark), "--cache", str(self.attempt / "cache"), *options]

    def reporting(self) -> list[str]:
        return ["report", str(self.benchmark), "--no-pictures"]

    def reference(self) -> dict[str, str]:
        """Return the digests of the files that two undisturbed commands agree about: the others hold times."""
        digests: list[dict[str, str]] = []
        for _ in range(2):
            self.start()
            self.require(self.running())
            digests.append(snapshot(self.benchmark))
        first, second = digests
        return {name: digest for name, digest in first.items() if second.get(name) == digest}

    def epochs(self) -> int:
        """Return the number of epochs that all runs have completed."""
        lines = 0
        for path in self.benchmark.glob(f"{RUNS}/history.csv"):
            lines += max(0, path.read_bytes().count(b"\n") - 1)
        return lines


Words = Callable[[Bench], list[str]]
Chooser = Callable[[int], list[Descendant]]
"""Returns the processes that may be killed, from the process id of the first command."""


def choose_runs(command: int) -> list[Descendant]:
    return [process for process in descendants(command) if process.depth == RUN_DEPTH]


def choose_workers(command: int) -> list[Descendant]:
    """Return the workers below a command of Ray."""
    return [process for process in descendants(command) if "work" in process.words and "-m" in process.words]


def choose_tasks(command: int) -> list[Descendant]:
    """Return the processes of Ray that carry out a task."""
    return [process for process in descendants(command) if process.words[:1] == ["ray::run_worker"]]


@dataclass(frozen=True)
class Kind:
    """Commands that start at once, the process to kill, and the commands of a user who continues."""

    first: tuple[Words, ...]
    again: tuple[Words, ...]
    victims: Chooser | None = None
    """None to kill the first command."""
    is_killed: bool = True
    has_lost_host: bool = False
    is_detached: bool = False
    needs: str = ""


WORK = (Bench.working, Bench.working)
WORK_AGAIN: tuple[Words, ...] = (Bench.working, Bench.reporting)
RUN: tuple[Words, ...] = (Bench.running,)
RAY: tuple[Words, ...] = (lambda bench: bench.launching("ray"),)
SLURM: tuple[Words, ...] = (lambda bench: bench.launching("slurm"),)
KINDS = {
    "run": Kind(WORK, WORK_AGAIN, victims=choose_runs),
    "worker": Kind(WORK, WORK_AGAIN),
    "lost_host": Kind(WORK, WORK_AGAIN, is_killed=False, has_lost_host=True),
    "head": Kind(RUN, RUN),
    "two_heads": Kind((Bench.running, Bench.running), RUN),
    "both_heads": Kind((Bench.running, Bench.running), RUN, is_killed=False),
    "ray_worker": Kind(RAY, RAY, victims=choose_workers, needs="ray"),
    "ray_task": Kind(RAY, RAY, victims=choose_tasks, needs="ray"),
    "ray_head": Kind(RAY, RAY, needs="ray"),
    "slurm_head": Kind(SLURM, SLURM, is_detached=True, needs="submitit"),
}


@dataclass
class Attempt:
    """One attempt at the benchmark, of which a process is killed."""

    bench: Bench
    kind: Kind
    moment: int
    """Number of completed epochs, of all runs, after which the process is killed."""
    generator: random.Random
    faults: list[str] = field(default_factory=list)
    _done: dict[Path, set[tuple[int, int]]] = field(default_factory=dict)
    """Record of a run that is done -> the files that it was."""
    _start: float = 0.0

    def carry_out(self, expected: dict[str, str]) -> bool:
        """Start, kill, continue and compare; return False if all had ended before the moment."""
        self.bench.start()
        if self.kind.has_lost_host:
            self._claim_for_lost_host()
        self._start = time.monotonic()
        commands = [
            start_forked(Command(words(self.bench), self.bench.root / f"first{number}.log"))
            for number, words in enumerate(self.kind.first)
        ]
        is_hit = self._kill(commands) if self.kind.is_killed else True
        self._wait(commands)
        self._continue()
        self._compare(expected)
        return is_hit

    def _claim_for_lost_host(self) -> None:
        """Claim a run as a machine did that was lost a while ago."""
        folders = sorted((self.bench.planned / "results").rglob("jobs.json"))
        runs = json.loads(folders[0].read_bytes())["jobs"]
        names = [f"{run['model']['label'] or run['model']['name']}/{run['variant']}" for run in runs]
        number = self.generator.randrange(NETWORKS)
        name = f"runs/lgg/{names[number]}/fold{runs[number]['fold']}_seed0/.claim-1"
        claim = self.bench.benchmark / name
        claim.parent.mkdir(parents=True)
        claim.write_text(json.dumps(LOST_CLAIM))
        renewed = time.time() - CLAIM_SECONDS + LEFT_SECONDS
        os.utime(claim, (renewed, renewed))

    def _kill(self, commands: list[int]) -> bool:
        """Kill a process at the moment; return False if there was none."""
        while not self._is_due():
            if not self._step(commands):
                return False
        victims = self._find_victims(commands)
        if not victims:
            return False
        is_head = self.kind.victims is None
        below = descendants(commands[0]) if is_head and not self.kind.is_detached else []
        try:
            os.kill(self.generator.choice(victims), signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.faults += [f"still runs: {' '.join(process.words)}" for process in wait_for_end(below)]
        return True

    def _find_victims(self, commands: list[int]) -> list[int]:
        """Return the processes that may be killed, once there is one; an empty list where none comes."""
        if self.kind.victims is None:
            return commands[:1] if self._step(commands[:1]) else []
        while not (victims := self.kind.victims(commands[0])):
            if not self._step(commands):
                return []
        return [process.process for process in victims]

    def _is_due(self) -> bool:
        """Return True from the moment on; a command that submits jobs does not see their epochs."""
        if self.kind.is_detached:
            return len(list(self.bench.benchmark.glob("slurm/*"))) >= self.moment % SUBMITTED_FILES
        return self.bench.epochs() >= self.moment

    def _step(self, commands: Sequence[int]) -> bool:
        """Wait a moment; return False if no command runs any more."""
        self._note_done()
        time.sleep(POLL_SECONDS)
        if time.monotonic() - self._start > ATTEMPT_SECONDS:
            raise SystemExit(f"{self.bench.attempt}: not at epoch {self.moment} after {ATTEMPT_SECONDS:.0f} s")
        states = [Path(f"/proc/{command}/stat").read_text().rpartition(")")[2].split()[0] for command in commands]
        return any(state != "Z" for state in states)

    def _wait(self, commands: Sequence[int]) -> None:
        running = list(commands)
        while running:
            self._note_done()
            time.sleep(POLL_SECONDS)
            running = [command for command in running if exit_code(command) is None]

    def _continue(self) -> None:
        for words in self.kind.again:
            command = Command(words(self.bench), self.bench.root / "again.log")
            process = start_forked(command)
            while (code := exit_code(process)) is None:
                self._note_done()
                time.sleep(POLL_SECONDS)
            if code:
                self.faults.append(f"{command.words[0]} ended with {code}: {command.output().splitlines()[-1:]}")
        if self.kind.is_detached:
            self._wait_for_jobs()
            self.bench.require(self.bench.reporting())

    def _wait_for_jobs(self) -> None:
        """Wait until the jobs of submitit have ended."""
        folder = str(self.bench.attempt)
        end = time.monotonic() + ATTEMPT_SECONDS
        while any(any(folder in word for word in command_line(number)) for number in process_numbers()):
            self._note_done()
            time.sleep(POLL_SECONDS)
            if time.monotonic() > end:
                self.faults.append("jobs have not ended")
                return

    def _note_done(self) -> None:
        for path in self.bench.benchmark.glob(f"{RUNS}/run.json"):
            try:
                status = json.loads(path.read_bytes())["status"]
                state = path.stat()
            except OSError:
                continue
            if status == "done":
                self._done.setdefault(path, set()).add((state.st_ino, state.st_mtime_ns))

    def _compare(self, expected: dict[str, str]) -> None:
        self._note_done()
        for path, files in self._done.items():
            if len(files) > 1:
                self.faults.append(f"done {len(files)} times: {path.relative_to(self.bench.benchmark)}")
        present = snapshot(self.bench.benchmark)
        self.faults += different_files(expected, present)
        self.faults += leftovers(self.bench.benchmark, expected)


def kill_all(bench: Bench, names: Sequence[str], kills: int, generator: random.Random) -> bool:
    """Kill processes of these kinds in turn, print each attempt and the counts; return True if all are good."""
    expected = bench.reference()
    print(f"{len(expected)} files are compared", flush=True)
    tested: Counter[str] = Counter()
    good: Counter[str] = Counter()
    tries = 0
    while tested.total() < kills and tries < TRIES * kills:
        name = names[tested.total() % len(names)]
        kind = KINDS[name]
        attempt = Attempt(bench, kind, generator.randrange(NETWORKS * EPOCHS), generator)
        start = time.monotonic()
        is_hit = attempt.carry_out(expected)
        tries += 1
        if is_hit:
            tested[name] += 1
            good[name] += not attempt.faults
        result = "; ".join(attempt.faults[:6]) or "identical"
        moment = f"after {attempt.moment} epochs" if is_hit else "had ended before the kill"
        print(f"{name}: {moment}: {result} ({time.monotonic() - start:.0f} s)", flush=True)
        if attempt.faults and not is_hit:
            good[name] -= 1
    counts = ", ".join(f"{name} {good[name]}/{tested[name]}" for name in tested)
    print(f"{tested.total()} attempts, {good.total()} identical ({counts})")
    return tested == good


def choose_kinds(only: str | None) -> list[str]:
    """Return the kinds that this machine can take; print why it cannot take the others."""
    names: list[str] = []
    for name, kind in KINDS.items():
        if only is not None and name not in only.split(","):
            continue
        if kind.needs and find_spec(kind.needs) is None:
            print(f"skipped: {name}: {kind.needs} is not installed")
        else:
            names.append(name)
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="kinds, with commas")
    parser.add_argument("--kills", type=int, default=20, help="number of attempts, over all kinds in turn")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and of the choice of processes")
    parser.add_argument("--work", type=Path, help="an empty folder; default: a temporary one")
    given = parser.parse_args()
    # two cores, so that a run has one thread in each: sums of floats depend on the number of threads
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    os.environ.update(BENCHBENCH_CLAIM_SECONDS=str(CLAIM_SECONDS), NO_ALBUMENTATIONS_UPDATE="1")
    root = (given.work or Path(tempfile.mkdtemp(prefix="kills-"))).resolve()
    root.mkdir(parents=True, exist_ok=True)
    bench = Bench(root)
    bench.prepare()
    generator = random.Random(given.seed)  # noqa: S311 a choice of moments
    return 0 if kill_all(bench, choose_kinds(given.only), given.kills, generator) else 1


if __name__ == "__main__":
    sys.exit(main())
