"""Times a training step of a network that takes almost no time, against a plain loop of torch.

    python benchmarks/speed/loop.py

The network is a 1 x 1 convolution on slices of 32 x 32 in batches of 8: what is left is the loop. The plain loop
has the same batches ready, and does forward, loss, backward and AdamW; benchbench also takes the slices from its
cases, computes its metrics and schedules the learning rate. Contenders take turns; the first round is not counted.
"""

from __future__ import annotations

import argparse
import json
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
from benchbench.engine.preparation.prepare import write_prepared
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.training.train import Training
from benchbench.spec.protocol import Protocol

CPU = torch.device("cpu")
SIDE, BATCH, SLICES = 32, 8, 800
TASK = Task(channels=("a", "b", "c"), regions={"lesion": (1,)})
PROTOCOL = {
    "patch": [SIDE, SIDE],
    "epochs": 100,
    "validate_every": 100,
    "batch": BATCH,
    "optimizer": {"name": "adamw", "lr": 1e-3},
    "loss": "bce",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    images = generator.normal(0, 1, (3, SLICES, SIDE, SIDE)).astype(np.float32)
    labels = (generator.random((SLICES, SIDE, SIDE)) < 0.5).astype(np.uint8)
    with TemporaryDirectory() as scratch:
        contenders = {"plain loop": plain(images, labels), "benchbench": ours(images, labels, Path(scratch))}
        report(race(contenders, rounds=rounds, check=lambda *_: None), units=SLICES // BATCH, unit="step")


def plain(images: NDArray[np.float32], labels: NDArray[np.uint8]) -> Callable[[], None]:
    """Return a loop over batches that are in memory as the network takes them."""
    slices = torch.from_numpy(images.swapaxes(0, 1).copy()).split(BATCH)
    masks = torch.from_numpy(labels[:, None].astype(np.float32)).split(BATCH)
    network = nn.Conv2d(3, 1, 1)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    def run() -> None:
        for batch, mask in zip(slices, masks, strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss = functional.binary_cross_entropy_with_logits(network(batch), mask)
            loss.backward()
            optimizer.step()

    return run


def ours(images: NDArray[np.float32], labels: NDArray[np.uint8], scratch: Path) -> Callable[[], None]:
    """Return epochs of a training without validation."""
    protocol = Protocol.model_validate_json(json.dumps(PROTOCOL))
    write_prepared(
        Case(image=images, label=labels, affine=None, spacing_mm=None), TASK, protocol, scratch / "case"
    )
    source = open_source([PreparedCase(CaseRef("case", "case"), scratch / "case")], protocol, device=CPU)
    training = Training(nn.Conv2d(3, 1, 1), source, source, protocol, regions=["lesion"])

    def run() -> None:
        generator = torch.Generator().manual_seed(len(training.history))
        training.run_epoch(generator, progress=lambda _: None)

    return run


if __name__ == "__main__":
    main()
