"""Times whole commands: help, a plan, and a benchmark of which every run is done, in seconds of the processor.

    python benchmarks/speed/commands.py

Each command is a new process, next to the least that it could take: an interpreter that imports click for the
help, and one that imports torch for the others. The benchmark is a rehearsal of two tiny networks and their
ensemble on two folds, which is carried out once before. The table has the fastest of some rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

COMMAND = (sys.executable, "-P", "-m", "benchbench")
BENCHMARK = """
title = "Six runs"
datasets = [{ name = "lgg" }]
models = [{ name = "unet", widths = [2, 4] }, { name = "unet", label = "wider", widths = [4, 8] }]
ensembles = [{ name = "both" }]

[protocol]
patch = [32, 32]
folds = 2
epochs = 1
batch = 16
optimizer = { name = "adam", lr = 1e-2 }
loss = "bce+dice"

[rehearse]
data = { patients = 4, size = 32 }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        commands = prepare(Path(scratch))
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, words in commands.items():
                seconds[name].append(processor_seconds(words, Path(scratch)))
    print_table({name: min(rounds_of_it) for name, rounds_of_it in seconds.items()})


def prepare(folder: Path) -> dict[str, Sequence[str]]:
    """Carry out the benchmark in a folder, and return the commands by what they do."""
    file = folder / "six_runs.toml"
    file.write_text(BENCHMARK)
    places = ["--results", str(folder / "results"), "--cache", str(folder / "cache")]
    run = [*COMMAND, "run", str(file), "--rehearse", "--device", "cpu", "--jobs", "1", "--no-pictures", *places]
    processor_seconds(run, folder)
    return {
        "import click": [sys.executable, "-c", "import click"],
        "--help": [*COMMAND, "--help"],
        "import torch": [sys.executable, "-c", "import torch"],
        "plan of 6 runs": [*COMMAND, "plan", str(file), "--rehearse", *places],
        "run again, all 6 done": run,
    }


def processor_seconds(words: Sequence[str], folder: Path) -> float:
    """Return the processor seconds of a command and of all processes that it starts.

    Raises:
        SystemExit: the command failed; the message has its output.
    """
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    before = os.times()
    done = subprocess.run(  # noqa: S603 our own words
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def print_table(seconds: Mapping[str, float]) -> None:
    print("| command | processor s |")
    print("|---|---:|")
    for name, taken in seconds.items():
        print(f"| {name} | {taken:.2f} |")


if __name__ == "__main__":
    main()
