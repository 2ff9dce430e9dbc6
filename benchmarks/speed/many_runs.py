"""Times plan, work, status and report of a benchmark of many runs of a tiny network, carried out by two workers.

    python benchmarks/speed/many_runs.py --runs 10 50 250 500
    python benchmarks/speed/many_runs.py --runs 10 50 --jobs 1

Two `benchbench work` commands carry out the runs, by default in their own processes (`--jobs 0`), and with
`--jobs 1` in a process for each run. The table has processor seconds, which depend little on what else the machine
does, and for workers the elapsed time too. Growth is the time that a further run costs in the last step of the
table, relative to the step before: about 1 where the time is linear, and 2.5 where it is quadratic in the number
of 50, 250 and 500 runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BENCHMARK = """
title = "Many runs"
datasets = [{ name = "lgg" }]
models = [{ name = "unet", widths = [2, 4] }]

[protocol]
patch = [32, 32]
folds = 1
test = 0.25
seeds = SEEDS
epochs = 1
batch = 64
optimizer = { name = "adam", lr = 1e-2 }
loss = "bce+dice"

[[tables]]
rows = "fold"
columns = "model"
value = "dice"

[rehearse]
data = { patients = 4, size = 32 }
"""
COMMAND = (sys.executable, "-P", "-m", "benchbench")
WORKERS = 2


@dataclass(frozen=True)
class Times:
    """Processor seconds of the commands for a number of runs."""

    runs: int
    seconds: dict[str, float]


def measure(root: Path, runs: int, jobs: int) -> Times:
    """Plan the runs, carry them out and report them."""
    folder = root / str(runs)
    folder.mkdir(parents=True)
    file = folder / "many.toml"
    file.write_text(BENCHMARK.replace("SEEDS", str(list(range(runs)))))
    results, cache = folder / "results", folder / "cache"
    folders = ["--results", str(results), "--cache", str(cache)]
    benchmark = results / "rehearsal" / "many"
    seconds = {
        "plan": call("plan", str(file), "--rehearse", *folders),
        "plan --write": call("plan", str(file), "--rehearse", "--write", *folders),
    }
    start = time.monotonic()
    options = ["--until-empty", "--jobs", str(jobs), "--device", "cpu", "--cores", "1", "--cache", str(cache)]
    words = [*COMMAND, "work", str(benchmark), *options]
    workers = [start_quietly(words) for _ in range(WORKERS)]
    seconds["work"] = sum(processor_seconds(worker) for worker in workers)
    seconds["elapsed"] = time.monotonic() - start
    seconds["runs"] = sum(json.loads(path.read_bytes())["seconds"] for path in benchmark.rglob("run.json"))
    seconds["status"] = call("status", str(benchmark))
    seconds["report"] = call("report", str(benchmark), "--no-pictures")
    seconds["plan, all done"] = call("plan", str(file), "--rehearse", *folders)
    return Times(runs, seconds)


def call(*words: str) -> float:
    """Run a benchbench command and return its processor seconds."""
    return processor_seconds(start_quietly([*COMMAND, *words]))


def start_quietly(words: Sequence[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 our own words


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process and return the processor seconds of it and of the children that it has waited for."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{process.args}: exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def growth(times: Sequence[Times], name: str) -> float | None:
    """Return the time of a further run in the last step, relative to the step before; None without three sizes."""
    if len(times) < 3:
        return None
    first, second, third = times[-3:]
    earlier = (second.seconds[name] - first.seconds[name]) / (second.runs - first.runs)
    later = (third.seconds[name] - second.seconds[name]) / (third.runs - second.runs)
    return later / earlier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 50, 250, 500])
    parser.add_argument("--jobs", type=int, default=0, help="of each worker")
    parser.add_argument("--work", type=Path, help="an empty folder; default: a temporary one")
    options = parser.parse_args()
    root = options.work or Path(tempfile.mkdtemp(prefix="many-"))
    times: list[Times] = []
    for runs in options.runs:
        times.append(measure(root, runs, options.jobs))
        seconds = times[-1].seconds
        print(f"{runs} runs: {', '.join(f'{name} {value:.1f} s' for name, value in seconds.items())}", flush=True)
    print("\n| command | " + " | ".join(f"{entry.runs} runs" for entry in times) + " | growth |")
    print("|---|" + "---:|" * (len(times) + 1))
    for name in times[0].seconds:
        values = [f"{entry.seconds[name]:.1f} s" for entry in times]
        relative = growth(times, name)
        values.append("" if relative is None else f"{relative:.2f}")
        print(f"| {name} | {' | '.join(values)} |")
    per_run = [f"{entry.runs} runs: {_overhead(entry):.2f} s" for entry in times]
    print(f"\nelapsed time of a worker for each run, without the run: {', '.join(per_run)}")


def _overhead(entry: Times) -> float:
    return (WORKERS * entry.seconds["elapsed"] - entry.seconds["runs"]) / entry.runs


if __name__ == "__main__":
    main()
