"""Carries out one small benchmark in every way that benchbench can, and compares the results byte for byte.

    python benchmarks/evidence/launchers.py
    python benchmarks/evidence/launchers.py --file benchmarks/lgg_unet_vs_unext.toml --start-slurm
    python benchmarks/evidence/launchers.py --disturb

The ways: worker processes, Ray, submitit on this machine, two `benchbench work` commands with working folders and
caches of their own, two shards that are merged, and SLURM where there is one. With `--disturb`, SLURM jobs are
cancelled, queued again and run over their time limit, which takes several minutes. `--start-slurm` starts a SLURM
of one node for the time of the comparison, which needs root (local_slurm.py).

Compared are all tables, weights and records, except for the files and keys that hold times and costs. A way whose
package is not installed is skipped and named. The exit code is 1 if a way gave other bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from local_slurm import local_slurm, reason_without_slurm
from tiny_benchmark import two_networks

NAME = "launchers"
EPOCHS = 2
DISTURBED_EPOCHS = 400  # some minutes, so that jobs can be stopped in the middle
POLL_SECONDS = 2.0
LIMIT_SECONDS = 3600.0
TIMES = {"history.csv", "worker.log", "jobs.json", "costs.csv", "cost.csv"}
"""Files that hold times, or paths and options of the machine."""
SUFFIXES = {".csv", ".md", ".tex", ".parquet", ".safetensors", ".json"}
TIMED_KEYS = ("seconds", "cost", "provenance", "retries")
COMMAND = (sys.executable, "-P", "-m", "benchbench")


@dataclass(frozen=True)
class Place:
    """A folder for one way."""

    folder: Path
    text: str
    """The benchmark file."""

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def benchmark(self) -> Path:
        return self.results / "rehearsal" / NAME

    def write_file(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{NAME}.toml"
        path.write_text(self.text)
        return path

    def run(self, *words: str, cache: str = "cache") -> None:
        """Run the benchmark with these options."""
        folders = ["--results", str(self.results), "--cache", str(self.folder / cache)]
        call("run", str(self.write_file()), "--rehearse", "--device", "cpu", "--no-pictures", *folders, *words)

    def plan(self, *, cache: str = "cache") -> None:
        """Write the plan for `benchbench work`."""
        folders = ["--results", str(self.results), "--cache", str(self.folder / cache)]
        call("plan", str(self.write_file()), "--rehearse", "--write", *folders)

    def work(self, number: int, *words: str) -> subprocess.Popen[bytes]:
        """Start a worker with a working folder and a cache of its own."""
        home = self.folder / f"machine{number}"
        home.mkdir(exist_ok=True)
        options = [
            "--until-empty",
            "--device",
            "cpu",
            "--jobs",
            "1",
            "--cores",
            "1",
            "--cache",
            str(home / "cache"),
        ]
        relative = os.path.relpath(self.benchmark, home)
        command_line = [*COMMAND, "work", relative, *options, *words]
        return subprocess.Popen(command_line, cwd=home, env=environment())  # noqa: S603 our own words

    def report(self) -> None:
        call("report", str(self.benchmark), "--no-pictures")


def environment() -> dict[str, str]:
    return {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "BENCHBENCH_CLAIM_SECONDS": "30"}


def call(*words: str) -> None:
    """Run a benchbench command, and end with its output if it fails."""
    command_line = [*COMMAND, *words]
    done = subprocess.run(  # noqa: S603 our own words
        command_line, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"benchbench {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def by_processes(place: Place) -> None:
    place.run("--jobs", "2")


def by_ray(place: Place) -> None:
    (place.folder / "ray.toml").write_text("cpus = 1\nworkers = 2\n")
    place.run("--launch", f"ray:{place.folder}/ray.toml")


def by_submitit(place: Place) -> None:
    (place.folder / "local.toml").write_text('cluster = "local"\ncpus = 1\nmax_jobs = 2\n')
    place.run("--launch", f"slurm:{place.folder}/local.toml")
    wait_until_done(place)
    place.report()


def by_hand(place: Place) -> None:
    place.plan()
    workers = [place.work(number) for number in range(2)]
    for worker in workers:
        worker.wait()
    place.report()


def by_shards(place: Place) -> None:
    laptops = [Place(place.folder / f"laptop{number}", place.text) for number in range(2)]
    for number, laptop in enumerate(laptops):
        laptop.plan()
        laptop.work(number, "--shard", f"{number}/2").wait()
    folders = [str(laptop.benchmark) for laptop in laptops]
    call("merge", *folders, "--into", str(place.benchmark), "--no-pictures")


def by_slurm(place: Place) -> None:
    submit(place, jobs=2)
    wait_until_done(place)
    wait_for_jobs()
    place.report()


def by_disturbed_slurm(place: Place) -> None:
    """Cancel one job, queue another again, and let a third reach its time limit."""
    submit(place, jobs=3, options="minutes = 2\nsignal_seconds = 30\n")
    wait_for_epochs(place, 2)
    running = sorted(job_ids("RUNNING"))
    command("scancel", running[0])
    command("scontrol", "requeue", running[-1])
    wait_until_done(place)
    wait_for_jobs()
    place.report()
    logs = [path.read_text() for path in place.benchmark.glob("slurm/*_log.out")]
    if not any("this job is timed-out" in log and "Requeued job" in log for log in logs):
        raise SystemExit(f"{place.benchmark}: no job reached its time limit; give a higher number of --epochs")


def submit(place: Place, *, jobs: int, options: str = "") -> None:
    (place.folder / "slurm.toml").write_text(f"cpus = 1\nmemory_gb = 2\nmax_jobs = {jobs}\n{options}")
    place.run("--launch", f"slurm:{place.folder}/slurm.toml")


def command(*words: str) -> str:
    """Return the output of a command of SLURM."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout  # noqa: S603 our own words


def job_ids(state: str) -> list[str]:
    return command("squeue", "--noheader", "--array", "--format=%i", f"--states={state}").split()


def wait_for_jobs() -> None:
    while job_ids("RUNNING,PENDING,COMPLETING,REQUEUED"):
        time.sleep(POLL_SECONDS)


def records(place: Place) -> Iterator[dict[str, object]]:
    for path in sorted(place.benchmark.rglob("run.json")):
        yield json.loads(path.read_bytes())


def wait_until_done(place: Place) -> None:
    """Wait until every planned run has a record."""
    planned = len(json.loads((place.benchmark / "jobs.json").read_bytes())["jobs"])
    end = time.monotonic() + LIMIT_SECONDS
    while len(list(place.benchmark.rglob("run.json"))) < planned:
        if time.monotonic() > end:
            raise SystemExit(f"{place.benchmark}: not done after {LIMIT_SECONDS:.0f} seconds")
        time.sleep(POLL_SECONDS)


def wait_for_epochs(place: Place, runs: int) -> None:
    """Wait until so many runs are being trained."""
    while len(list(place.benchmark.rglob("history.csv"))) < runs:
        time.sleep(POLL_SECONDS)


def comparable(folder: Path) -> dict[str, str]:
    """Return file -> SHA-256 of everything that measures no time."""
    digests: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        is_result = path.suffix in SUFFIXES and path.name not in TIMES and "cost" not in path.name
        if path.is_file() and is_result and not name.startswith((".", "slurm/")):
            digests[name] = hashlib.sha256(content_of(path)).hexdigest()
    return digests


def content_of(path: Path) -> bytes:
    """Return the content of a file, for a record without times and machine."""
    if path.name != "run.json":
        return path.read_bytes()
    record = json.loads(path.read_bytes())
    for key in TIMED_KEYS:
        record.pop(key, None)
    return json.dumps(record, sort_keys=True).encode()


def has_slurm() -> bool:
    if not shutil.which("sbatch"):
        return False
    return subprocess.run(["sinfo"], capture_output=True, check=False).returncode == 0  # noqa: S607 from PATH


Way = Callable[[Place], None]
WAYS: dict[str, tuple[Way, str]] = {
    "processes": (by_processes, ""),
    "ray": (by_ray, "ray"),
    "submitit": (by_submitit, "submitit"),
    "by hand": (by_hand, ""),
    "shards": (by_shards, ""),
    "slurm": (by_slurm, "submitit"),
}
"""Name -> the function, and a package that it needs."""
DISTURBED = {"processes": by_processes, "slurm": by_disturbed_slurm}


def reason_to_skip(name: str) -> str:
    package = WAYS[name][1]
    if package and find_spec(package) is None:
        return f"{package} is not installed"
    if name == "slurm" and not has_slurm():
        return "no SLURM answers on this machine"
    return ""


def describe(record: dict[str, object]) -> str:
    """Return the retries of a run as one text."""
    retries = record.get("retries") or []
    assert isinstance(retries, list)
    return "; ".join(map(str, retries))


def carry_out(name: str, way: Way, place: Place, expected: dict[str, str] | None) -> bool:
    """Carry out the benchmark in one way and print its row; return True if the bytes are those expected."""
    place.write_file()
    start = time.monotonic()
    way(place)
    seconds = time.monotonic() - start
    digests = comparable(place.benchmark)
    reference = digests if expected is None else expected
    different = sorted(path for path in {*digests, *reference} if digests.get(path) != reference.get(path))
    retries = sorted({text for text in map(describe, records(place)) if text})
    row = [name, str(len(reference)), str(len(reference) - len(different)), f"{seconds:.0f}", " / ".join(retries)]
    print(f"| {' | '.join(row)} |", flush=True)
    for path in different:
        print(f"  differs: {path}", flush=True)
    return not different


def carry_out_all(ways: dict[str, Way], root: Path, *, text: str, note: str = "") -> bool:
    """Carry out the benchmark in these ways and compare them with the first; return True if all are equal."""
    expected: dict[str, str] | None = None
    are_equal = True
    for name, way in ways.items():
        place = Place(root / f"{name}{note}".replace(" ", "_").replace(",", ""), text)
        are_equal &= carry_out(f"{name}{note}", way, place, expected)
        expected = expected or comparable(place.benchmark)
    return are_equal


def choose_ways(*, only: str | None, disturb: bool) -> tuple[dict[str, Way], dict[str, str]]:
    """Return the functions of the ways that this machine can take, and why it cannot take the others."""
    ways: dict[str, Way] = {}
    reasons: dict[str, str] = {}
    for name, (way, _) in WAYS.items():
        is_asked_for = name in DISTURBED if disturb else only in {None, name} or name == "processes"
        if not is_asked_for:
            continue
        if reason := reason_to_skip(name):
            reasons[name] = reason
        else:
            ways[name] = DISTURBED[name] if disturb else way
    return ways, reasons


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(WAYS), help="this way, compared with worker processes")
    parser.add_argument("--disturb", action="store_true", help="only SLURM jobs that are stopped")
    parser.add_argument("--file", type=Path, help="rehearse this benchmark; default: a smaller one")
    parser.add_argument("--epochs", type=int, help=f"default: {EPOCHS}, or {DISTURBED_EPOCHS} with --disturb")
    parser.add_argument("--start-slurm", action="store_true", help="start a SLURM of one node; needs root")
    parser.add_argument("--work", type=Path, help="folder for the results; default: a temporary one")
    given = parser.parse_args()
    if given.start_slurm and (reason := reason_without_slurm()):
        parser.error(f"--start-slurm: {reason}")
    # two cores for every way, so that a run has one thread in each: sums of floats depend on the number of threads
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    root = (given.work or Path(tempfile.mkdtemp(prefix="launchers-"))).resolve()
    epochs = given.epochs or (DISTURBED_EPOCHS if given.disturb else EPOCHS)
    text = given.file.read_text() if given.file else two_networks("Launchers", epochs=epochs, size="width = 4")
    slurm = local_slurm(root / "local_slurm") if given.start_slurm else contextlib.nullcontext()
    with slurm:
        return compare_ways(root, text=text, only=given.only, disturb=given.disturb)


def compare_ways(root: Path, *, text: str, only: str | None, disturb: bool) -> int:
    """Carry out the benchmark in the chosen ways and print a table; return the exit code."""
    ways, reasons = choose_ways(only=only, disturb=disturb)
    print("| way | files | identical | seconds | attempts |\n|---|---:|---:|---:|---|", flush=True)
    note = ", disturbed" if disturb else ""
    are_equal = carry_out_all(ways, root, text=text, note=note)
    for name, reason in reasons.items():
        print(f"skipped: {name}: {reason}")
    return 0 if are_equal else 1


if __name__ == "__main__":
    sys.exit(main())
