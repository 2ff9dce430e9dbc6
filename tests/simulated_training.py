"""Trains, validates and predicts with built-in models on the simulated GPU; prints a line of JSON for each.

    python tests/simulated_training.py '[["unet", 2, "bf16"]]'

A fourth value of an entry replaces parameters of the small model; a fifth is the memory layout of volumes. Every
line has the kernels, copies, bytes, waits and uploads of the second and third step, or the error.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from handmade_case import keep_slices, keep_volume
from simulated_gpu import GPU, Counts, simulate
from small_models import MODELS

from benchbench.engine.batches.patches import open_source
from benchbench.engine.inference.predict import Predictor
from benchbench.engine.network.memory_layout import Layout, to_channels_last_3d
from benchbench.engine.network.network import geometry_for
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.training.forward import ForwardPass
from benchbench.engine.training.train import Training
from benchbench.engine.training.trial_step import try_steps
from benchbench.registry.registry import Registry, discover
from benchbench.spec.protocol import Protocol

REGIONS = ("outer", "inner")
STEPS = 3
AUGMENTATION: dict[int, list[dict[str, Any]]] = {
    2: [{"name": "flip"}, {"name": "rotate", "degrees": 15}, {"name": "brightness", "limit": 0.1}],
    3: [{"name": "flip"}, {"name": "noise", "sigma": [0.0, 0.1]}, {"name": "contrast", "range": [0.8, 1.2]}],
}


def protocol_of(model: str, ndim: int, precision: str) -> Protocol:
    small = MODELS[model]
    fields = {
        "ndim": ndim,
        "patch": small.slices if ndim == 2 else small.volumes,
        "epochs": 2,
        "batch": 4 if ndim == 2 else 2,
        "optimizer": {"name": "adam", "lr": 1e-3},
        "loss": "bce+dice",
        "augment": AUGMENTATION[ndim],
        "precision": precision,
        "gradient_clip": 1.0,
        "inference": {"flips": True},
    }
    return Protocol.model_validate_json(json.dumps(fields))


def case_of(folder: Path, protocol: Protocol, *, samples: int, channels: int = 3) -> PreparedCase:
    """Return a case of random numbers with so many slices, or a volume a little larger than the patch."""
    rng = np.random.default_rng(0)
    if protocol.ndim == 2:
        space = (samples, *protocol.patch)
        image = rng.integers(0, 255, (samples, channels, *protocol.patch)).astype(np.uint8)
        return keep_slices(folder, image, _labels(rng, space))
    space = tuple(size + 4 for size in protocol.patch)
    image = rng.standard_normal((channels, *space)).astype(np.float16)
    return keep_volume(folder, image, _labels(rng, space))


def _labels(rng: np.random.Generator, space: tuple[int, ...]) -> Any:
    outer = rng.random(space) > 0.5
    return (outer + 2 * (outer & (rng.random(space) > 0.5))).astype(np.uint8)


def train(
    registry: Registry,
    folder: Path,
    model: str,
    ndim: int,
    precision: str,
    counts: Counts,
    params: Any,
    layout: Layout = "contiguous",
) -> dict[str, Any]:
    """Train an epoch, validate and predict; return what the GPU did in the steps after the first."""
    protocol = protocol_of(model, ndim, precision)
    torch.manual_seed(0)
    small = MODELS[model]
    geometry = geometry_for(protocol, channels=small.channels, regions=len(REGIONS))
    network = registry.model(model).build(geometry, **{**small.params, **params}).to(GPU)
    if layout == "channels_last_3d":
        to_channels_last_3d(network)
    number = STEPS * protocol.batch
    keep = partial(case_of, protocol=protocol, channels=small.channels)
    cases = [keep(folder / f"train{index}", samples=number) for index in range(1 if ndim == 2 else number)]
    test = keep(folder / "test", samples=2)
    source, validation = (open_source(part, protocol, device=GPU) for part in (cases, [test]))
    forward = ForwardPass(protocol, regions=len(REGIONS))
    try_steps(network, forward, channels=small.channels, device=GPU)
    training = Training(network, source, validation, protocol, regions=REGIONS)
    assert training.layout == layout
    seen: list[Counts] = []

    def remember(_: float) -> None:
        seen.append(replace(counts, waits=Counter(counts.waits)))

    row = training.run_epoch(torch.Generator().manual_seed(1), progress=remember)
    predictor = Predictor([network], protocol, GPU)
    masks = predictor.masks(test, predictor.probabilities(test), regions=REGIONS, postprocess=None)
    first, last = seen[0], seen[-1]
    steps = len(seen) - 1
    return {
        "loss": row["train_loss"],
        "validation_loss": row["validation_loss"],
        "voxels": int(masks.size),
        "kernels": (last.kernels - first.kernels) / steps,
        "copies": (last.copies - first.copies) / steps,
        "traffic_bytes": (last.traffic_bytes - first.traffic_bytes) / steps,
        "uploads": (last.uploads - first.uploads) / steps,
        "waits": {place: number / steps for place, number in (last.waits - first.waits).items()},
    }


def _places(error: Exception) -> list[str]:
    """Return file and line of the frames of the project."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "benchbench" in frame.filename]


def main() -> None:
    registry = discover()
    torch.set_num_threads(1)
    for model, ndim, precision, *more in json.loads(sys.argv[1]):
        params, *layout = more or ({},)
        result: dict[str, Any] = {"model": model, "ndim": ndim, "precision": precision}
        with simulate() as counts, tempfile.TemporaryDirectory() as folder:
            try:
                result |= train(registry, Path(folder), model, ndim, precision, counts, params, *layout)
            except Exception as error:  # noqa: BLE001 the test prints it
                result |= {"error": repr(error)[:400], "places": _places(error)}
        sys.stdout.write(f"{json.dumps(result)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
