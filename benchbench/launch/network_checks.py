"""Properties of a built network that its protocol or its task does not allow, found before anything runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from benchbench.contract import Geometry, Task
from benchbench.spec.protocol import Protocol

_ONE_VALUE = "more than 1 value per channel"  # torch's words for batch normalisation of a single value


def network_problems(model: nn.Module, *, geometry: Geometry, protocol: Protocol, task: Task) -> Iterator[str]:
    """Yield the end of a sentence that begins with the name of the model, for each problem."""
    if task.ignored and hasattr(model, "loss") and not getattr(model, "leaves_out_ignored", False):
        yield "has a loss of its own, which cannot leave out the ignored voxels of the task; choose another model"
    if smallest_part(protocol) == 1 and _needs_two_images(model, geometry):
        yield (
            f"normalises features of one pixel over the batch, which takes two images or more, but"
            f" {_describe_part(protocol)}; raise protocol.batch"
        )


def smallest_part(protocol: Protocol) -> int:
    """Return the smallest number of images of a full batch that one process gets."""
    return protocol.batch // protocol.world_size


def _describe_part(protocol: Protocol) -> str:
    if protocol.world_size == 1:
        return "protocol.batch is 1"
    return f"protocol.batch {protocol.batch} gives each of {protocol.world_size} processes one"


def _needs_two_images(model: nn.Module, geometry: Geometry) -> bool:
    """Return True if the network cannot be trained with one image, found without computing anything."""
    model = model.to("meta").train()
    image = torch.zeros(1, geometry.in_channels, *geometry.patch, device="meta")
    with contextlib.suppress(Exception):  # some networks cannot run without values; their runs show the reason
        try:
            model(image)
        except ValueError as error:
            return _ONE_VALUE in str(error)
    return False
