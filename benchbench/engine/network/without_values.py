"""Building a network without memory for its weights, to learn its shapes or its cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_NORMAL_DRAWS = (nn.init.normal_, Tensor.normal_)


@contextmanager
def new_tensors_on(device: str) -> Iterator[None]:
    """Create new tensors on a device inside the block, without a change of the generator's state after it.

    On the meta device normal draws are left out. torch would import its compiler for them, which takes seconds,
    and draw nothing.
    """
    with torch.random.fork_rng(devices=[]), torch.device(device), _WithoutNormalDraws():
        yield


class _WithoutNormalDraws(TorchFunctionMode):
    """Leaves meta tensors as they are where they would be filled with normal draws."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in _NORMAL_DRAWS:
            tensor = args[0] if args else named["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **named)
