"""Measures benchbench on one device: arithmetic, training, sliding windows, and a benchmark from file to page.

    python benchmarks/speed/gpu.py                    on the first GPU, in less than 8 minutes
    python benchmarks/speed/gpu.py --only training
    python benchmarks/speed/gpu.py --only benchmark --per-device auto    with the extra energy: runs share the GPU
    python benchmarks/speed/gpu.py --tiny --device cpu    shows that it runs; its times mean nothing

arithmetic   differences of bf16, fp16 and channels_last_3d from fp32; whether a repeated and a resumed training
             give equal bytes
training     images per second and the share of the device's bf16 peak, which a matrix product measures in the same
             run; each network as it is, compiled, and compiled with CUDA graphs; networks of volumes, which are
             contiguous as they are, also in channels_last_3d
windows      sliding windows against MONAI's (window_3d.py)
benchmark    lgg_unet_vs_unext on 110 phantom patients of 256 x 256 pixels, with the time of each stage

A network that cannot be compiled is named with its error. The time of compilation is in a column of its own.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from gpu_works import TINY, WORKS, Work, make_case

from benchbench.contract import CaseRef
from benchbench.cores import available_cores
from benchbench.engine.batches.patches import open_source
from benchbench.engine.cost.network_cost import measure_cost
from benchbench.engine.devices.arithmetic import set_arithmetic
from benchbench.engine.devices.settings import Compile
from benchbench.engine.network.memory_layout import to_channels_last_3d
from benchbench.engine.network.network import autocast, forward, geometry_for, move_to_device
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.training.forward import ForwardPass, choose_compiled, set_up_compiler
from benchbench.engine.training.train import Training
from benchbench.engine.training.trial_step import try_steps
from benchbench.registry.registry import discover
from benchbench.spec.protocol import Protocol

SECTIONS = ("arithmetic", "training", "windows", "benchmark")
ROOT = Path(__file__).parents[2]
FORWARD_AND_BACKWARD = 3  # times the operations of a forward pass


class Way(NamedTuple):
    """A way to compute the steps of a training."""

    compile: Compile = "off"
    """The value of `--compile`."""
    is_channels_last: bool = False
    """True for a network of volumes in channels_last_3d."""


AS_IT_IS = "as it is"
WAYS = {
    AS_IT_IS: Way(),
    "channels last": Way(is_channels_last=True),
    "compiled": Way("auto"),
    "with graphs": Way("graph"),
}


def make_training(folder: Path, work: Work, protocol: Protocol, device: torch.device, *, way: Way) -> Training:
    """Return a training of new weights whose epochs have `work.steps` steps, compiled as a run does it."""
    samples = work.steps * work.batch
    if len(work.patch) == 2:
        train = [make_case(folder / "train", work, protocol, slices=samples)]
    else:
        one = make_case(folder / "train", work, protocol, slices=1)
        train = [PreparedCase(CaseRef(f"case{number}", f"case{number}"), one.folder) for number in range(samples)]
    validation = [make_case(folder / "validation", work, protocol, slices=work.batch)]
    torch.manual_seed(0)
    geometry = geometry_for(protocol, channels=work.channels, regions=work.regions)
    network = move_to_device(discover().model(work.model).build(geometry, **work.params), device)
    if way.is_channels_last:
        to_channels_last_3d(network)
    sources = [open_source(cases, protocol, device=device) for cases in (train, validation)]
    regions = [f"r{number}" for number in range(1, work.regions + 1)]
    forward = ForwardPass(protocol, regions=work.regions, compiled=choose_compiled(way.compile, protocol, device))
    compile_seconds = 0.0
    if forward.compiled != "off":
        set_up_compiler(folder / "compiled", threads=available_cores())
        compile_seconds = try_steps(network, forward, channels=work.channels, device=device).compile_seconds
    return Training(
        network,
        sources[0],
        sources[1],
        protocol,
        regions=regions,
        forward=forward,
        compile_seconds=compile_seconds,
    )


def run_epoch(training: Training) -> float:
    """Run the next epoch and return its seconds."""
    number = len(training.history)
    torch.manual_seed(number)
    row = training.run_epoch(torch.Generator().manual_seed(number), progress=lambda _: None)
    return float(row["seconds"])


def measure_peak(device: torch.device, *, size: int) -> float:
    """Return the operations per second of a bf16 matrix product."""
    first, second = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    rounds = 20 if device.type == "cuda" else 1
    for _ in range(2):  # the first round is not counted
        synchronise(device)
        start = time.perf_counter()
        for _ in range(rounds):
            first @ second
        synchronise(device)
        seconds = time.perf_counter() - start
    return rounds * 2 * size**3 / seconds


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def compare_precisions(works: Sequence[Work], device: torch.device) -> None:
    """Print by how much the outputs of a network in other precisions and layouts differ from contiguous fp32."""
    print("| network | precision | difference of the logits, relative to their SD |\n|---|---|---:|")
    for work in works:
        geometry = geometry_for(work.protocol(), channels=work.channels, regions=work.regions)
        torch.manual_seed(0)
        network = move_to_device(discover().model(work.model).build(geometry, **work.params), device).eval()
        alternatives = [("bf16", network, "bf16"), ("fp16", network, "fp16")]
        if len(work.patch) == 3:
            other = to_channels_last_3d(copy.deepcopy(network))
            alternatives += [("fp32, channels last", other, "fp32"), ("bf16, channels last", other, "bf16")]
        images = torch.randn(1, work.channels, *work.patch, device=device)
        set_arithmetic(device, "fp32", deterministic=False)
        with torch.no_grad():
            expected = forward(network, images)
            for name, alternative, precision in alternatives:
                with autocast(device, precision):
                    logits = forward(alternative, images).float()
                difference = float((logits - expected).abs().max() / expected.std())
                print(f"| {work.name} | {name} | {difference:.2g} |", flush=True)


def compare_repeats(work: Work, device: torch.device) -> None:
    """Print whether a training with deterministic algorithms gives equal bytes again, and after it was resumed."""
    set_arithmetic(device, "bf16", deterministic=True)
    protocol = work.protocol(epochs=2)
    weights: list[dict[str, torch.Tensor]] = []
    for is_resumed in (False, False, True):
        with tempfile.TemporaryDirectory() as folder:
            training = make_training(Path(folder) / "a", work, protocol, device, way=WAYS[AS_IT_IS])
            run_epoch(training)
            if is_resumed:
                state = training.save()
                training = make_training(Path(folder) / "b", work, protocol, device, way=WAYS[AS_IT_IS])
                training.load(state)
            run_epoch(training)
            weights.append({name: value.cpu() for name, value in training.model.state_dict().items()})
    for what, other in (("again", weights[1]), ("resumed", weights[2])):
        different = [name for name, value in weights[0].items() if not torch.equal(value, other[name])]
        print(
            f"{work.name}, deterministic, {what}: {f'{len(different)} tensors differ' if different else 'equal'}"
        )
    set_arithmetic(device, "bf16", deterministic=False)


def measure_training(work: Work, device: torch.device, peak: float, ways: Sequence[str]) -> None:
    """Print images per second of a network in these ways."""
    set_arithmetic(device, "bf16", deterministic=False)
    protocol = work.protocol()
    geometry = geometry_for(protocol, channels=work.channels, regions=work.regions)
    cost = measure_cost(discover().model(work.model), geometry, work.params)
    for way in ways:
        if WAYS[way].is_channels_last and len(work.patch) == 2:
            continue  # slices always are
        if WAYS[way].compile != "off" and not discover().model(work.model).compiles:
            print(f"| {work.name} | {way} | excluded by its plugin | | |", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                training = make_training(Path(folder), work, protocol, device, way=WAYS[way])
                run_epoch(training)
                seconds = run_epoch(training)
            except Exception as error:  # noqa: BLE001 a compiler raises errors of many kinds
                reason = (str(error) or type(error).__name__).splitlines()[0][:80]
                print(f"| {work.name} | {way} | {reason} | | |", flush=True)
                continue
        rate = work.steps * work.batch / seconds
        share = rate * 2 * cost.macs * FORWARD_AND_BACKWARD / peak
        print(f"| {work.name} | {way} | {rate:.0f} | {share:.1%} | {training.compile_seconds:.1f} |", flush=True)


def run_windows(device: torch.device, *, tiny: bool) -> None:
    """Print the times of sliding windows."""
    words = ["--device", str(device), "--rounds", "3"]
    if tiny:
        words += ["--shape", "24", "24", "24", "--patch", "16"]
    subprocess.run([sys.executable, ROOT / "benchmarks/speed/window_3d.py", *words], check=True)  # noqa: S603


def run_benchmark(device: torch.device, per_device: str, *, tiny: bool) -> None:
    """Print the time of every stage of a benchmark."""
    text = (ROOT / "benchmarks" / "lgg_unet_vs_unext.toml").read_text(encoding="utf-8")
    size = "patients = 4, size = 32" if tiny else "patients = 110, size = 256"
    rehearsal = f"[rehearse]\ndata = {{ {size} }}\n"
    if tiny:
        rehearsal += "protocol = { patch = [32, 32], folds = 2, epochs = 1 }\nmodels = { unet = { width = 4 } }\n"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "lgg.toml").write_text(re.sub(r"(?ms)^\[rehearse\]\n.*", rehearsal, text), encoding="utf-8")
        words = ["--rehearse", "--device", str(device), "--results", "results", "--cache", "cache", "-q"]
        words += ["--per-device", per_device]
        start = time.perf_counter()
        command = [sys.executable, "-P", "-m", "benchbench", "run", "lgg.toml", *words]
        subprocess.run(command, cwd=folder, check=True)  # noqa: S603 our own words
        total = time.perf_counter() - start
        records = [
            json.loads(path.read_bytes()) for path in folder.glob("results/rehearsal/lgg/runs/*/*/*/*/run.json")
        ]
    training = sum(record["cost"].get("train_seconds") or 0.0 for record in records)
    runs = sum(record["seconds"] for record in records)
    failed = [record["reason"] for record in records if record["status"] != "done"]
    print(f"{len(records)} runs, {len(failed)} failed: {failed}")
    print(f"| stage | seconds |\n|---|---:|\n| all | {total:.1f} |\n| training | {training:.1f} |")
    print(f"| rest of the runs | {runs - training:.1f} |\n| outside of runs | {total - runs:.1f} |")


def measure_arithmetic(works: Sequence[Work], device: torch.device) -> None:
    compare_precisions(works, device)
    compare_repeats(works[0], device)


def measure_trainings(works: Sequence[Work], device: torch.device, ways: Sequence[str], *, size: int) -> None:
    """Print the speed of training of every network; `size` is that of the matrices of the peak."""
    peak = measure_peak(device, size=size)
    print(f"bf16 peak: {peak / 1e12:.3g} TFLOP/s")
    print("| network | way | images/s | share of the peak | s to compile |\n|---|---|---:|---:|---:|")
    for work in works:
        measure_training(work, device, peak, ways)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=SECTIONS)
    parser.add_argument("--ways", choices=list(WAYS), nargs="+", default=list(WAYS), help="of training")
    parser.add_argument("--per-device", default="1", help="as of `benchbench run`, for the benchmark")
    parser.add_argument("--tiny", action="store_true", help="networks and images of a trial")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("--device: no CUDA device; a trial on the CPU: --tiny --device cpu")
    works = TINY if options.tiny else WORKS
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}")
    start = time.perf_counter()
    sections: dict[str, Callable[[], None]] = {
        "arithmetic": lambda: measure_arithmetic(works, device),
        "training": lambda: measure_trainings(works, device, options.ways, size=256 if options.tiny else 8192),
        "windows": lambda: run_windows(device, tiny=options.tiny),
        "benchmark": lambda: run_benchmark(device, options.per_device, tiny=options.tiny),
    }
    for section in options.only:
        sections[section]()
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
