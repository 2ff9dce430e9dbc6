"""Networks of finished runs as files that other programs read: TorchScript, ONNX or safetensors."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from benchbench.contract import Geometry
from benchbench.data.atomic import write_atomic
from benchbench.engine.network.network import geometry_for
from benchbench.errors import UsageError
from benchbench.extras import require_extra
from benchbench.prediction.network_inputs import NetworkInput
from benchbench.prediction.runs import FinishedRun
from benchbench.prediction.trained import Trained

Format = Literal["torchscript", "onnx", "safetensors"]
SUFFIXES: Mapping[Format, str] = {"torchscript": ".pt", "onnx": ".onnx", "safetensors": ".safetensors"}
METADATA = "benchbench"
"""Name of the metadata in a file."""
_OPSET = 18


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A network file, compared with the network of the run."""

    path: Path
    difference: float
    """Largest absolute difference of the logits."""
    compared_on: str
    """The input of the comparison, in words."""


def export_network(
    run: FinishedRun, trained: Trained, given: NetworkInput, *, output_format: Format, out: Path
) -> Exported:
    """Write the network with the best checkpoint of a run, read the file again and compare the logits.

    Raises:
        UsageError: packages are missing, or the network cannot be written in this format.
        StorageError: the file cannot be written.
    """
    (predictor,) = trained.predictors.values()
    model = predictor.models[0].cpu().float().eval()  # type: ignore[union-attr]
    metadata = json.dumps(describe_network(run, trained))
    writers: Mapping[Format, Callable[[nn.Module, Tensor, str, Path], Callable[[Tensor], Tensor]]] = {
        "torchscript": _write_torchscript,
        "onnx": _write_onnx,
        "safetensors": _write_safetensors,
    }
    with torch.no_grad():
        expected = model(given.images)
        read = writers[output_format](model, given.images, metadata, out)
        difference = float((read(given.images) - expected).abs().max())
    return Exported(path=out, difference=difference, compared_on=given.described)


def describe_network(run: FinishedRun, trained: Trained) -> dict[str, Any]:
    """Return what a program needs to know to prepare an image and to read the output."""
    protocol, record = trained.protocol, run.record
    (statistics,) = trained.predictors
    geometry = geometry_of_trained(trained)
    return {
        "benchbench": version("benchbench"),
        "run": str(record.key),
        "digest": record.digest,
        "model": dict(record.resolved["model"]),
        "channels": trained.task.channels,
        "regions": trained.task.regions,
        "ignored": trained.task.ignored,
        "activation": protocol.activation,
        "input": [geometry.in_channels, *geometry.patch],
        "output": [geometry.out_channels, *geometry.patch],
        "ndim": protocol.ndim,
        "slice_axis": protocol.slice_axis,
        "context": protocol.context,
        "crop": protocol.crop,
        "resize": protocol.resize,
        "spacing": protocol.spacing,
        "spacing_mm": getattr(statistics, "spacing_mm", None),
        "resampling": protocol.resampling,
        "intensity": protocol.intensity,
        "window": protocol.window,
        "denoise": protocol.denoise,
        "one_hot_foreground": protocol.one_hot_foreground,
        "statistics": record.images.get("statistics", {}),
        "postprocess": record.postprocess,
    }


def geometry_of_trained(trained: Trained) -> Geometry:
    """Return the sizes that the network was built for."""
    channels, regions = len(trained.task.channels), len(trained.task.regions)
    return geometry_for(trained.protocol, channels=channels, regions=regions)


def _write_safetensors(model: nn.Module, images: Tensor, metadata: str, path: Path) -> Callable[[Tensor], Tensor]:
    del images
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_atomic(path, save(weights, metadata={METADATA: metadata}))

    def read(given: Tensor) -> Tensor:
        with safe_open(str(path), framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 not a mapping
        model.load_state_dict(stored)
        output: Tensor = model(given)
        return output

    return read


def _write_torchscript(model: nn.Module, images: Tensor, metadata: str, path: Path) -> Callable[[Tensor], Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of deprecation, and of sizes that the trace takes for constants
            traced = torch.jit.trace(model, images, check_trace=False)
            with tempfile.TemporaryDirectory(prefix="benchbench-") as scratch:
                file = Path(scratch) / path.name
                torch.jit.save(traced, str(file), _extra_files={METADATA: metadata})
                write_atomic(path, file.read_bytes())
            loaded: Callable[[Tensor], Tensor] = torch.jit.load(str(path), map_location="cpu")
    except RuntimeError as error:
        raise _cannot_write(path, "TorchScript", error) from error
    return loaded


def _write_onnx(model: nn.Module, images: Tensor, metadata: str, path: Path) -> Callable[[Tensor], Tensor]:
    require_extra("export", "--format onnx")
    import onnx  # noqa: PLC0415 an extra
    import onnxruntime  # noqa: PLC0415

    is_2d = images.ndim == 4
    example = torch.cat([images, images])[:2] if is_2d else images  # a batch of one would be taken for a constant
    axes = {0: torch.export.Dim.DYNAMIC} if is_2d else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                input_names=["images"],
                output_names=["logits"],
                opset_version=_OPSET,
                dynamic_shapes=None if axes is None else (axes,),
                verbose=False,
            )
    except Exception as error:  # torch raises errors of several packages here
        raise _cannot_write(path, "ONNX", error) from error
    content = program.model_proto
    onnx.helper.set_model_props(content, {METADATA: metadata})
    write_atomic(path, content.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def read(given: Tensor) -> Tensor:
        (logits,) = session.run(None, {"images": np.ascontiguousarray(given.numpy())})
        return torch.from_numpy(logits)

    return read


def _cannot_write(path: Path, name: str, error: Exception) -> UsageError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return UsageError(f"{path.name}: the network cannot be written as {name} ({reason}); use --format safetensors")
