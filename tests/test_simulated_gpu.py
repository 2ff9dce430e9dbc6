"""Every built-in model takes training steps, validates and predicts on a simulated GPU, in every precision."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated_gpu import build
from small_models import MODELS

from benchbench.registry.registry import discover

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="needs g++"),
    pytest.mark.skipif(sys.platform != "linux", reason="replaces functions of a library as Linux can"),
]
SCRIPT = Path(__file__).parent / "simulated_training.py"
PRECISIONS = ("fp32", "fp16", "bf16")
WAITS = {"mask_dino": 2}
"""Model -> how often the CPU waits for the GPU in a step: Mask DINO copies its targets and the costs of the matching."""
KERNELS = {
    ("unet", 2): 567,
    ("unet", 3): 520,
    ("unext", 2): 720,
    ("nnunet_plain", 3): 544,
    ("resunet", 2): 599,
    ("mask_dino", 2): 2039,
}
"""Model and axes -> most kernels of a step with its augmentation, loss and counts, as few as were counted."""

NNUNET = {"norm": "instance", "activation": "leaky_relu", "down": "stride"}
MOST_EXTRA_KERNELS = 36
"""Kernels that channels_last_3d adds to a step of a small 3D U-Net with 18 instance normalisations, of two volumes each."""

Train = Callable[[list[tuple[Any, ...]]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train in a process that has the simulated GPU."""
    variables = build(tmp_path_factory.mktemp("libraries"))

    def run(trainings: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, SCRIPT, json.dumps(trainings)],
            env={**os.environ, **variables, "NO_ALBUMENTATIONS_UPDATE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("model", MODELS)
def test_a_model_trains_validates_and_predicts_without_waiting_for_the_gpu(train: Train, model: str) -> None:
    axes = sorted(discover().model(model).ndims)
    for result in train([(model, ndim, precision) for ndim in axes for precision in PRECISIONS]):
        assert "error" not in result, result
        assert sum(result["waits"].values()) <= WAITS.get(model, 0), result["waits"]
        assert result["kernels"] <= KERNELS.get((model, result["ndim"]), 6000)
        assert result["loss"] < 100


@pytest.mark.timeout(600)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_3d_unet_in_channels_last_3d_has_the_losses_of_contiguous_memory_and_few_more_kernels(
    train: Train, precision: str
) -> None:
    layouts = ("contiguous", "channels_last_3d")
    plain, other = train([("unet", 3, precision, NNUNET, layout) for layout in layouts])
    assert "error" not in other, other
    assert other["loss"] == pytest.approx(plain["loss"], rel=1e-4)
    assert other["validation_loss"] == pytest.approx(plain["validation_loss"], rel=1e-3)
    assert other["kernels"] <= plain["kernels"] + MOST_EXTRA_KERNELS
    assert other["traffic_bytes"] < 1.1 * plain["traffic_bytes"]
    assert other["waits"] == {}


def test_a_tensor_of_each_device_and_a_wait_are_noticed(tmp_path: Path) -> None:
    script = (
        "import torch\n"
        "from simulated_gpu import simulate\n"
        "with simulate() as counts:\n"
        "    images = torch.ones(2, 3).to('cuda:0')\n"
        "    assert sum(counts.waits.values()) == counts.uploads == 1\n"
        "    product = (images * 2).sum()\n"
        "    assert (counts.kernels, sum(counts.waits.values())) == (2, 1)\n"
        "    assert float(product) == 12.0\n"
        "    assert sum(counts.waits.values()) == 2\n"
        "    images[torch.ones(2, dtype=torch.bool).to('cuda:0', non_blocking=True)]\n"
        "    assert sum(counts.waits.values()) == 3\n"
        "    for is_locked, waits in ((False, 4), (True, 4)):\n"
        "        volume = torch.empty(2**15, pin_memory=is_locked)\n"
        "        volume.to('cuda:0', non_blocking=True)\n"
        "        assert sum(counts.waits.values()) == waits\n"
        "    images + torch.ones(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **build(tmp_path), "PYTHONPATH": str(SCRIPT.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "RuntimeError: add: tensors [(3,)] are on the CPU and others on the GPU" in done.stderr


BATCHES = """
import sys
from pathlib import Path
import torch
from simulated_gpu import GPU, simulate
from simulated_training import case_of, protocol_of
from benchbench.engine.batches.patches import open_source
for ndim, patch in ((2, (128, 128)), (3, (48, 48, 48))):
    protocol = protocol_of("unet", ndim, "bf16").model_copy(update={"patch": patch})
    cases = [case_of(Path(sys.argv[1]) / f"{ndim}_{number}", protocol, samples=4) for number in range(2)]
    numbers, batches = torch.arange(2), []
    for device, share in ((GPU, 0.0), (torch.device("cpu"), 1.0)):
        with simulate() as counts:
            source = open_source(cases, protocol, device=device, resident_share=share)
            images, labels = source.batch(numbers, generator=torch.Generator().manual_seed(0))
            assert (source.resident_bytes, sum(counts.waits.values())) == (0, 0), counts
            assert counts.uploads == (2 if device == GPU else 0)
        batches.append((images, labels))
    for copied, expected in zip(*batches):
        assert copied.dtype == expected.dtype
        assert torch.equal(copied.values, expected)
"""


def test_batches_of_data_that_stay_in_memory_are_copied_without_waiting(tmp_path: Path) -> None:
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", BATCHES, tmp_path],
        env={**os.environ, **build(libraries), "PYTHONPATH": str(SCRIPT.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
