"""Steps with a copy of the network before the training: they compile it, and show its memory and its speed."""

from __future__ import annotations

import copy
import math
import time
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchbench.engine.batches.sampling import bytes_of
from benchbench.engine.batches.unlabelled import mark_unlabelled
from benchbench.engine.devices.distributed import whole_batch
from benchbench.engine.network.memory_layout import Layout, to_channels_last_3d
from benchbench.engine.network.network import autocast
from benchbench.engine.network.network import forward as predict
from benchbench.engine.training.forward import Compiled, ForwardPass
from benchbench.engine.training.step import Step

_STEPS: dict[Compiled, int] = {"off": 2, "on": 2, "graph": 4}
"""Number of steps; a graph is recorded in the second step and first replayed in the third."""
_TIMED_STEPS = 3


class Trial(NamedTuple):
    """The result of some steps with random images."""

    memory_bytes: int | None
    """Most GPU memory of a step, without the weights; None on a CPU."""
    compile_seconds: float
    """Time by which the first steps were longer than the last one."""
    step_seconds: float
    """Time of the fastest of the last steps."""
    loss: float
    """Loss of the first step."""


def try_steps(
    model: nn.Module,
    forward: ForwardPass,
    *,
    channels: int,
    device: torch.device,
    is_partial: bool = False,
    timed_layout: Layout | None = None,
) -> Trial:
    """Take steps of forward, loss, backward and optimiser with a copy of a network, which stays as it is.

    channels: those of an image. `is_partial` is True where cases lack a region by declaration. With
    `timed_layout`, "contiguous" or "channels_last_3d", the copy gets this layout, takes further steps, which are
    timed, and predicts an image. Afterwards, torch draws the same random numbers as without these steps.

    Raises:
        OutOfMemoryError: a step takes more memory than the GPU has.
        Exception: of any type, from the compiler or the network.
    """
    gpus = [device] if device.type == "cuda" else []
    before = torch.cuda.memory_allocated(device) if gpus else 0
    count = untimed_steps = _STEPS[forward.compiled]
    if timed_layout is not None:
        count += _TIMED_STEPS
    with torch.random.fork_rng(devices=gpus):
        network = copy.deepcopy(model).train()
        images, labels = _draw_batch(forward, channels=channels, is_partial=is_partial)
        images, labels = images.to(device), labels.to(device)
        if timed_layout == "channels_last_3d":
            to_channels_last_3d(network)
        seconds, loss, peak = _take_steps(network, forward, images, labels, count=count)
        if timed_layout is not None:
            _predict(network, forward, images[:1])
    del network, images, labels
    if gpus:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)  # so that it is that of the training
    *earlier, last = seconds[:untimed_steps]
    compile_seconds = max(0.0, sum(earlier) - len(earlier) * last)
    memory_bytes = peak - before - weights_bytes(model) if gpus else None
    return Trial(memory_bytes, compile_seconds, min(seconds[-_TIMED_STEPS:]), loss)


def weights_bytes(model: nn.Module) -> int:
    """Return the memory of the weights and running statistics."""
    return bytes_of([*model.parameters(), *model.buffers()])


def _take_steps(
    network: nn.Module, forward: ForwardPass, images: Tensor, labels: Tensor, *, count: int
) -> tuple[list[float], float, int]:
    """Return the seconds of each step, the loss of the first, and the most GPU memory from the second step on.

    The memory is 0 on a CPU.
    """
    device = images.device
    step = Step(network, forward, device=device)
    seconds: list[float] = []
    first_loss = math.nan
    for number in range(count):
        if number == 1 and device.type == "cuda":
            # the first step measures algorithms, some of which take much memory
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        began = time.monotonic()
        loss, _ = step(images, labels, whole_batch(len(images)))
        if number == 0:
            first_loss = float(loss)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.monotonic() - began)
    return seconds, first_loss, torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _predict(network: nn.Module, forward: ForwardPass, images: Tensor) -> None:
    """Predict images, because a layer may refuse a memory layout in eval mode only."""
    with torch.inference_mode(), autocast(images.device, forward.protocol.precision):
        predict(network.eval(), images)


def _draw_batch(forward: ForwardPass, *, channels: int, is_partial: bool) -> tuple[Tensor, Tensor]:
    """Return random images (B, C, *patch) and labels (B, *patch), of which one half has the first region."""
    protocol = forward.protocol
    size = forward.size * protocol.accumulate
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(size, channels, *protocol.patch, generator=generator)
    labels = torch.zeros(size, *protocol.patch, dtype=torch.uint8)
    labels[..., : protocol.patch[-1] // 2] = 1
    if is_partial:
        labels = mark_unlabelled(labels, torch.zeros(size, dtype=torch.int32))
    return images, labels
