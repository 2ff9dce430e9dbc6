"""Times a training step of a network that takes almost no time, against two loops of torch.

    python benchmarks/speed/loop.py

The network is a 1 x 1 convolution on slices of 32 x 32 in batches of 8: what is left is the loop. The plain loop
has the same batches ready, and does forward, loss, backward and AdamW. benchbench also takes the slices from its
cases in random order, counts voxels for its metrics and schedules the learning rate. The loop by hand does all of
this too, with the same functions for loss and counts: benchbench's time above it is the overhead of the framework.
Contenders take turns; the first round is not counted, and its weights show that both do the same steps.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from race import race, report
from torch import nn
from torch.nn import functional

from benchbench.contract import Case, CaseRef, Task
from benchbench.engine.batches.patches import open_source
from benchbench.engine.inference.counting import count_logits
from benchbench.engine.network.losses import compute_loss
from benchbench.engine.preparation.prepare import write_prepared
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.training.train import Training
from benchbench.spec.protocol import Protocol

CPU = torch.device("cpu")
SIDE, BATCH, SLICES = 32, 8, 800
TASK = Task(channels=("a", "b", "c"), regions={"lesion": (1,)})
RATE, DECAY = 1e-3, 1e-2
PROTOCOL = Protocol.model_validate(
    {
        "patch": (SIDE, SIDE),
        "epochs": 100,
        "validate_every": 100,
        "batch": BATCH,
        "optimizer": {"name": "adamw", "lr": RATE, "weight_decay": DECAY},
        "loss": "bce",
    }
)
Contender = Callable[[], nn.Module]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    images = generator.normal(0, 1, (3, SLICES, SIDE, SIDE)).astype(np.float32)
    labels = (generator.random((SLICES, SIDE, SIDE)) < 0.5).astype(np.uint8)
    with TemporaryDirectory() as scratch:
        case = store(images, labels, Path(scratch))
        contenders = {"plain loop": plain(images, labels), "by hand": by_hand(case), "benchbench": ours(case)}
        report(race(contenders, rounds=rounds, check=print_weights), units=SLICES // BATCH, unit="step")


def print_weights(name: str, network: nn.Module) -> None:
    weights = [f"{weight:.6f}" for parameter in network.parameters() for weight in parameter.flatten().tolist()]
    print(f"{name}: {' '.join(weights)}")


def new_network() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(3, 1, 1)


def store(images: NDArray[np.float32], labels: NDArray[np.uint8], scratch: Path) -> PreparedCase:
    case = Case(image=images, label=labels, affine=None, spacing_mm=None)
    write_prepared(case, TASK, PROTOCOL, scratch / "case")
    return PreparedCase(CaseRef("case", "case"), scratch / "case")


def plain(images: NDArray[np.float32], labels: NDArray[np.uint8]) -> Contender:
    """Return a loop over batches that are in memory as the network takes them."""
    slices = torch.from_numpy(images.swapaxes(0, 1).copy()).split(BATCH)
    masks = torch.from_numpy(labels[:, None].astype(np.float32)).split(BATCH)
    network = new_network()
    optimizer = torch.optim.AdamW(network.parameters(), RATE)

    def run() -> nn.Module:
        for batch, mask in zip(slices, masks, strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss = functional.binary_cross_entropy_with_logits(network(batch), mask)
            loss.backward()
            optimizer.step()
        return network

    return run


def by_hand(case: PreparedCase) -> Contender:
    """Return epochs over slices of a stored case, which also count voxels and set the learning rate."""
    slices, masks = torch.from_numpy(case.image()), torch.from_numpy(case.label())
    network = new_network()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY, fused=True)
    epochs = itertools.count()

    def run() -> nn.Module:
        generator = torch.Generator().manual_seed(next(epochs))
        losses = torch.zeros((), dtype=torch.float64)
        counts = torch.zeros(1, 4, dtype=torch.int64)
        network.train()
        for numbers in torch.randperm(SLICES, generator=generator).split(BATCH):
            optimizer.param_groups[0]["lr"] = RATE
            batch, labels = slices[numbers].float(), masks[numbers]
            optimizer.zero_grad(set_to_none=True)
            logits = network(batch)
            loss = compute_loss(PROTOCOL.loss, logits, labels)
            loss.backward()
            optimizer.step()
            counts += count_logits(logits.detach(), labels, PROTOCOL).sum(0)
            losses += loss.detach() * len(numbers)
        return network

    return run


def ours(case: PreparedCase) -> Contender:
    """Return epochs of a training without validation."""
    source = open_source([case], PROTOCOL, device=CPU)
    network = new_network()
    training = Training(network, source, source, PROTOCOL, regions=["lesion"])

    def run() -> nn.Module:
        generator = torch.Generator().manual_seed(len(training.history))
        training.run_epoch(generator, progress=lambda _: None)
        return network

    return run


if __name__ == "__main__":
    main()
