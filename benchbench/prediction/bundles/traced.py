"""The networks of a run as one TorchScript file, which gives what a window or slice of an image gets."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from benchbench.contract import Geometry
from benchbench.engine.inference.predict import Predictor
from benchbench.engine.network.network import forward
from benchbench.engine.network.regions import activate
from benchbench.errors import UsageError
from benchbench.spec.protocol import Activation


class MeanOfNetworks(nn.Module):  # type: ignore[misc]  # torch is not looked into
    """The mean over checkpoints and flips, of logits or of probabilities."""

    def __init__(self, models: Sequence[nn.Module], *, flips: bool, activation: Activation | None) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self._flips = flips
        self._activation = activation

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, K, *patch): probabilities if there is an activation, otherwise logits."""
        if not self._flips:
            return self._mean(images)
        total = self._mean(images)
        axes = range(2, images.ndim)
        for count in (1, 2, 3):
            for flip in itertools.combinations(axes, count):
                total = total + self._mean(images.flip(flip)).flip(flip)
        return total / 2 ** len(axes)

    def _mean(self, images: Tensor) -> Tensor:
        results: list[Tensor] = []
        for model in self.models:
            logits = forward(model, images).float()
            results.append(logits if self._activation is None else activate(logits, self._activation))
        return results[0] if len(results) == 1 else torch.stack(results).mean(0)


def write_traced(predictor: Predictor, geometry: Geometry, path: Path, *, gives_logits: bool) -> None:
    """Write the networks of a predictor to a TorchScript file.

    Raises:
        UsageError: a network cannot be traced.
    """
    protocol = predictor.protocol
    activation = None if gives_logits else protocol.activation
    models = [model.cpu().float().eval() for model in predictor.models]
    network = MeanOfNetworks(models, flips=protocol.inference.flips, activation=activation).eval()
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(1, geometry.in_channels, *protocol.patch, generator=generator)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of deprecation, and of sizes that the trace takes for constants
            traced = torch.jit.trace(network, example, check_trace=False)
            with tempfile.TemporaryDirectory(prefix="benchbench-") as scratch:
                file = Path(scratch) / path.name
                torch.jit.save(traced, str(file))
                path.write_bytes(file.read_bytes())
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UsageError(
            f"{path.name}: the network cannot be written as TorchScript ({reason}); use --format safetensors"
        ) from error
