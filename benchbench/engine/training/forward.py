"""The forward pass of a training step, as it is or compiled by torch: loss and counts of a batch."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from benchbench.engine.devices.distributed import ALONE, Processes
from benchbench.engine.devices.settings import Compile
from benchbench.engine.inference.counting import count_logits
from benchbench.engine.network.losses import SumOverBatch, whole_batch_is_here
from benchbench.engine.network.network import forward_with_loss
from benchbench.spec.plugin_choice import PluginLoss
from benchbench.spec.protocol import Protocol

Compiled = Literal["off", "on", "graph"]
"""State of the training steps: as they are, compiled, or compiled and recorded in CUDA graphs."""

_MODES: dict[Compiled, str] = {"on": "default", "graph": "reduce-overhead"}


class LossAndCounts(NamedTuple):
    """The result of a forward pass in training."""

    loss: Tensor
    """A scalar."""
    counts: Tensor
    """tp, fp, fn, tn of each sample and region (B, K, 4), or with a softmax of each class (B, 1 + K, 4)."""


class ForwardPass:
    """Computes loss and counts of a batch with a network in training mode.

    Compiled, it computes what it computes otherwise up to rounding, with the same random draws. A single process
    compiles network, loss and counts as one function. Several processes, and a loss of a plugin, compile the
    network alone: torch cannot look into the sums over processes, and need not into code of others. Batches of
    another size than the full ones, such as the last of an epoch, are computed as they are, because torch would
    compile again for each size.
    """

    def __init__(
        self,
        protocol: Protocol,
        *,
        regions: int,
        processes: Processes = ALONE,
        compiled: Compiled = "off",
        remark: str = "",
    ) -> None:
        self.protocol = protocol
        self.regions = regions
        self.compiled = compiled
        self.remark = remark
        """A sentence for the user where it should be compiled and is not; otherwise empty."""
        self.size = _full_size(protocol, processes)
        """Number of samples that a pass of this process has in a full batch."""
        self._whole: Callable[..., LossAndCounts] | None = None
        self._network: Callable[..., Any] | None = None
        if compiled == "off":
            return
        options: dict[str, Any] = {"mode": _MODES[compiled], "dynamic": False}
        if processes.count > 1 or isinstance(protocol.loss, PluginLoss):
            self._network = torch.compile(_run, **options)
        else:
            self._whole = torch.compile(self._compute, **options)

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        sum_over_batch: SumOverBatch = whole_batch_is_here,
    ) -> LossAndCounts:
        """Return loss and counts of images (B, C, *patch) and labels (B, *patch), bit masks.

        Where they are a part of a batch, `sum_over_batch` makes Dice that of the whole batch.
        """
        if len(images) != self.size or self.compiled == "off":
            return self._compute(model, images, labels, sum_over_batch)
        if self.compiled == "graph":
            torch.compiler.cudagraph_mark_step_begin()
        # another layout in memory would be compiled again
        images, labels = images.contiguous(), labels.contiguous()
        if self._whole is not None:
            return self._whole(model, images, labels)
        assert self._network is not None
        network = model if hasattr(model, "loss") else partial(self._network, model)
        return self._compute(network, images, labels, sum_over_batch)

    def _compute(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        sum_over_batch: SumOverBatch = whole_batch_is_here,
    ) -> LossAndCounts:
        loss, logits = forward_with_loss(
            model, images, labels, self.protocol, regions=self.regions, sum_over_batch=sum_over_batch
        )
        counts = count_logits(logits.detach(), labels, self.protocol)
        return LossAndCounts(loss, counts)


def choose_compiled(requested: Compile, protocol: Protocol, device: torch.device) -> Compiled:
    """Return what a request gives: CUDA graphs need a GPU, one process, and gradients of one pass per step.

    A second pass of a step would overwrite the gradients of the first, which are in the memory of the graph.
    """
    if requested == "off":
        return "off"
    is_recordable = device.type == "cuda" and protocol.world_size == 1 and protocol.accumulate == 1
    return "graph" if requested == "graph" and is_recordable else "on"


def set_up_compiler(cache: Path | None, *, threads: int) -> None:
    """Let the compiler of this process begin without earlier networks, and store what it compiles in `cache`.

    Runs of one benchmark share the folder. Without one, torch uses a folder of its own.
    """
    from torch._dynamo import config as dynamo  # noqa: PLC0415 importing the compiler takes seconds
    from torch._inductor import config as inductor  # noqa: PLC0415 as above

    torch.compiler.reset()  # the number of networks for which torch compiles a function is limited
    if cache is not None:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
    inductor.compile_threads = threads
    inductor.fallback_random = True  # dropout draws what it draws otherwise
    dynamo.optimize_ddp = False  # it would cut the network into parts, each compiled for itself


def _run(model: nn.Module, images: Tensor) -> Any:
    return model(images)


def _full_size(protocol: Protocol, processes: Processes) -> int:
    samples = processes.part(protocol.batch).samples
    return (samples.stop - samples.start) // protocol.accumulate
