"""Data-parallel training: the part of a batch that each process gets, all-reduce, broadcast and joint gradients.

Every process computes the loss of its part of the batch. These losses, weighted by their numbers of samples, add
up to the loss of the whole batch, and so do the gradients that DistributedDataParallel averages. Every process
therefore takes the step that one process would take with the whole batch, up to rounding. The statistics of batch
normalisation and the draws of dropout remain those of each process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")
Step = Callable[..., tuple[Tensor, Tensor]]
"""Returns the loss, a scalar, and the logits."""

_TIMEOUT = timedelta(days=30)  # the other processes wait while the first one validates


class Part(NamedTuple):
    """The samples of a batch that one process gets."""

    batch_size: int
    """Number of samples in the whole batch."""
    samples: slice
    """The samples of this process."""
    counted: int
    """How many of these samples count in sums: 0 where the batch is smaller than the number of processes and this
    process gets a sample only to keep step with the others."""


def whole_batch(batch_size: int) -> Part:
    """Return the part that has all samples of a batch."""
    return Part(batch_size, slice(0, batch_size), batch_size)


@dataclass(frozen=True)
class Processes:
    """The processes that train a model together, as one of them sees them; the default is a single process."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """True for the process that validates, reports and writes files."""
        return self.rank == 0

    def part(self, batch_size: int) -> Part:
        """Return this process's part of a batch; the parts differ by one sample at most."""
        begin = batch_size * self.rank // self.count
        end = batch_size * (self.rank + 1) // self.count
        if begin == end:
            return Part(batch_size, slice(0, 1), 0)
        return Part(batch_size, slice(begin, end), end - begin)

    def weight(self, part: Part) -> float:
        """Return the factor of a part's loss that makes the mean over the processes the loss of the batch."""
        return self.count * part.counted / part.batch_size

    def all_reduce(self, values: Tensor) -> Tensor:
        """Return the sum over the processes, on each of them; gradients are summed in the same way."""
        if self.count == 1:
            return values
        return _AllReduce.apply(values)

    def sum_over_batch(self, part: Part, values: Tensor) -> Tensor:
        """Return sums over the whole batch for `values` that are sums over the samples of a part."""
        if self.count == 1:
            return values
        return self.all_reduce(values * (part.counted > 0))

    def broadcast(self, compute: Callable[[], T]) -> T:
        """Call `compute` on the first process and return its result on all; the others wait."""
        if self.count == 1:
            return compute()
        result: list[Any] = [None]
        if self.is_first:
            result = [compute()]
        dist.broadcast_object_list(result, src=0, device=torch.device("cpu"))
        return result[0]

    def any_of(self, *, condition: bool) -> bool:
        """Return True on all processes if the condition is true on at least one; all have to call this."""
        if self.count == 1:
            return condition
        flag = torch.tensor(int(condition))
        dist.all_reduce(flag)
        return bool(flag)

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank, on each of them."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def parallel(self, model: nn.Module, step: Step) -> Step:
        """Return `step`, which runs `model`, so that its backward pass averages gradients over the processes."""
        if self.count == 1:
            return step
        # weights that a step does not use have no gradient in a single process either; without the search for
        # them, processes would wait for each other without end
        finds_unused = not getattr(model, "uses_all_parameters", False)
        return nn.parallel.DistributedDataParallel(_Forward(model, step), find_unused_parameters=finds_unused)


ALONE = Processes()


@contextmanager
def process_group(count: int, device: torch.device) -> Iterator[Processes]:
    """Connect the processes that torchrun's launcher has started, for the length of the block."""
    if count == 1:
        yield ALONE
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        # gloo broadcasts objects on the CPU: a process that waits for one does not keep its GPU busy
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=_TIMEOUT)
    yield Processes(dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()  # only without an error: it waits for the other processes


class _Forward(nn.Module):
    """A training step as the forward pass of a module, which DistributedDataParallel needs."""

    def __init__(self, model: nn.Module, step: Step) -> None:
        super().__init__()
        self.model = model
        self._step = step

    def forward(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        return self._step(*inputs)


class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return _all_reduced(values)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _all_reduced(gradient)


def _all_reduced(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
