"""Several processes that train one model together: their parts of a batch, what they tell each other, their start.

A process computes the loss of its part of every batch. Weighted by its samples these losses add up to that of the
whole batch, and so do the gradients: with what DistributedDataParallel averages, every process makes the step that
one process would make with the whole batch, up to the rounding of sums. What a layer takes from the batch that it
sees, as batch normalisation does, and what dropout draws, is each process's own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from benchbench.engine.devices.parent_watch import end_with_parent
from benchbench.errors import BenchbenchError

T = TypeVar("T")
R = TypeVar("R")
Step = Callable[..., tuple[Tensor, Tensor]]
"""Gives the loss, a scalar, and the logits."""

_PATIENCE = timedelta(days=30)  # the others wait for as long as the first one validates
_LINGER_SECONDS = 2.0  # far longer than the launcher takes to see which process ended first
_LONGEST_REASON = 500  # in letters; what is shorter than a page of memory goes through a pipe in one piece


class ProcessDiedError(BenchbenchError):
    """One of a run's processes ended before its work was done."""


class Part(NamedTuple):
    """Which samples of a batch are one process's."""

    of: int
    """Samples of the whole batch."""
    mine: slice
    counted: int
    """How many of them count: none where the batch is smaller than the processes are many, and one stands in."""


def whole(batch: int) -> Part:
    """All samples of a batch."""
    return Part(batch, slice(0, batch), batch)


@dataclass(frozen=True)
class Processes:
    """The processes that train a model together, as one of them sees them; by default it is alone."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that validates, reports and writes."""
        return self.rank == 0

    def part(self, batch: int) -> Part:
        """What this process has of a batch: all processes as much, within one sample."""
        begin, end = (batch * number // self.count for number in (self.rank, self.rank + 1))
        return Part(batch, slice(begin, end) if end > begin else slice(0, 1), end - begin)

    def weight(self, part: Part) -> float:
        """What a part's loss is multiplied by, so that the mean over the processes is the loss of the batch."""
        return self.count * part.counted / part.of

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes, on each of them; gradients are summed as well."""
        return values if self.count == 1 else _Sum.apply(values)

    def sum_over_batch(self, part: Part, values: Tensor) -> Tensor:
        """Sums over samples of the parts -> sums over those of the whole batch."""
        return values if self.count == 1 else self.sum(values * (part.counted > 0))

    def told_by_first(self, compute: Callable[[], T]) -> T:
        """What `compute` gives on the first process, on each of them; the others wait for it."""
        if self.count == 1:
            return compute()
        told: list[Any] = [compute() if self.is_first else None]
        dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        return told[0]

    def joint(self, model: nn.Module, step: Step) -> Step:
        """`step`, which runs `model`, so that a backward pass leaves the mean gradients of the processes."""
        if self.count == 1:
            return step
        # a model may have weights that no step uses: they have no gradient here either
        return nn.parallel.DistributedDataParallel(_Forward(model, step), find_unused_parameters=True)


ALONE = Processes()


@contextlib.contextmanager
def joined(count: int, device: torch.device) -> Iterator[Processes]:
    """The processes that torch's launcher started this one with, connected until the block is left."""
    if count == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # objects go from CPU to CPU: a process that waits for one keeps no GPU busy
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    yield Processes(dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()  # not after an error: it would wait for the others


def this_rank() -> int:
    """The number that torch's launcher gave to this process."""
    return int(os.environ["RANK"])


def start_processes(
    function: Callable[[T, Callable[[Any], None]], R],
    argument: T,
    *,
    count: int,
    hear: Callable[[Any], None],
    describe: Callable[[Exception], str],
) -> R:
    """Carries out `function(argument, tell)` in processes of this machine, by the launcher behind `torchrun`.

    Gives what the first one returns. What it tells is heard here, in another thread. When one process fails, or
    this one does, the others are ended.

    Raises:
        ProcessDiedError: with what was wrong with the first process that failed, as `describe` says it.
        SystemExit: this process was asked to stop.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415 a second
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    receiver, sender = get_context("spawn").Pipe(duplex=False)
    reasons: dict[int, str] = {}
    listener = threading.Thread(target=_listen, args=(receiver, hear, reasons), daemon=True)
    listener.start()
    with tempfile.TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=str(uuid.uuid4()),
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            monitor_interval=0.1,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            results = elastic_launch(config, _carry_out)(function, argument, sender, describe)
        except ChildFailedError as error:
            sender.close()
            listener.join(_LINGER_SECONDS)  # until all has been heard
            rank, failure = error.get_first_failure()
            reason = reasons.get(rank) or _ending(failure.exitcode)
            raise ProcessDiedError(f"process {rank + 1} of {count}: {reason}") from error
        except SignalException as error:
            raise SystemExit(128 + error.sigval) from error
    sender.close()
    listener.join(_LINGER_SECONDS)
    return results[0]


class _Death(NamedTuple):
    rank: int
    reason: str


def _carry_out(
    function: Callable[[T, Callable[[Any], None]], R],
    argument: T,
    sender: Connection,
    describe: Callable[[Exception], str],
) -> R:
    """What each process does."""
    launcher = parent_process()
    assert launcher is not None, "the launcher starts this process"
    end_with_parent(launcher.join)
    try:
        return function(argument, sender.send if this_rank() == 0 else _tell_nobody)
    except Exception as error:
        traceback.print_exc()
        sender.send(_Death(this_rank(), describe(error)[:_LONGEST_REASON]))
        # the others fail for want of this one, or this one of another: who ends first is the cause
        time.sleep(_LINGER_SECONDS)
        raise


def _listen(receiver: Connection, hear: Callable[[Any], None], reasons: dict[int, str]) -> None:
    """Passes on what is told until nobody is left to tell."""
    with receiver, contextlib.suppress(EOFError):
        while True:
            told = receiver.recv()
            if isinstance(told, _Death):
                reasons[told.rank] = told.reason
            else:
                hear(told)


def _tell_nobody(_: object) -> None:
    pass


def _ending(code: int) -> str:
    how = (
        f"killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"
    )
    return f"{how} (worker.log has the rest)"


class _Forward(nn.Module):
    """A step as a module's forward pass, which is where DistributedDataParallel comes in."""

    def __init__(self, model: nn.Module, step: Step) -> None:
        super().__init__()
        self.model = model
        self._step = step

    def forward(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        return self._step(*inputs)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
