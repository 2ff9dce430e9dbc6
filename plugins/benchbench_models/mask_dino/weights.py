"""Published weights: converted once from a local file, then loaded by a name with a digest of the content.

A benchmark cannot name a file: paths differ between machines, and another file at the same path would give other
numbers under the same digest. So conversion writes the tensors to the folder where torch keeps weights, under a
name that ends in the first eight digits of the content's SHA-256, and a benchmark gives this name.

No code in a checkpoint is run: it is read with `weights_only`, and stored as safetensors.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from benchbench import DataError, DataNotFoundError, IncompatibleError
from benchbench_models.mask_dino.layout import translate

_CLASSES = ("decoder.heads.to_class.weight", "decoder.heads.to_class.bias", "decoder.label_content.weight")
_STEM = "backbone.conv1.weight"
_COUNTER = "num_batches_tracked"  # frozen batch normalisation has none


def convert(file: Path) -> str:
    """Convert a published checkpoint and return the name to set as the parameter `weights`.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: it contains anything but tensors, those of another network, or those of a part of it.
    """
    published = read_checkpoint(file)
    try:
        tensors = {name: tensor.contiguous().clone() for name, tensor in translate(published).items()}
    except DataError as error:
        raise DataError(*(f"{file}: {problem}" for problem in error.problems)) from error
    content = save(tensors)
    stem = re.sub(r"[^A-Za-z0-9_.]+", "_", file.stem)
    name = f"{stem}-{_digits(content)}"
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name}.{os.getpid()}"
    unfinished.write_bytes(content)
    unfinished.replace(folder / f"{name}.safetensors")
    return name


def read_checkpoint(file: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a .pth file as detectron2 writes it, by their names in the file; no code in it is run.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: it contains anything but tensors and plain values.
    """
    content = _load(file)
    tensors = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(tensors, Mapping) or not tensors or not all(map(_is_named_tensor, tensors.items())):
        raise DataError(f"{file}: found no tensors by name, nor any under 'model'; give a .pth checkpoint")
    return tensors


def _load(file: Path) -> Any:
    """Return the content of a file of tensors and plain values.

    torch's own messages are not passed on: they advise to load the file without protection.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{file}: not found; download a checkpoint of IDEA-Research/MaskDINO") from error
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{file}: found objects that could run code, or damaged ones, expected tensors and plain values;"
            " download it again, or ask its authors for the tensors alone"
        ) from error
    except Exception as error:  # damage makes torch raise anything
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise DataError(
            f"{file}: found a file that torch cannot read ({reason}), expected a .pth checkpoint; download it"
            " again"
        ) from error


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    name, value = item
    return isinstance(name, str) and isinstance(value, Tensor)


def load_weights(model: nn.Module, name: str) -> str:
    """Load converted weights into a model and return their name, with the parameters that were not loaded.

    The heads of the classes keep their initial values if the number of classes differs, and the first convolution
    if the number of channels does; everything else must fit.

    Raises:
        DataNotFoundError: nothing has been converted to that name.
        DataError: the content of the file differs from the digits in its name.
        IncompatibleError: the name cannot be one, or the weights are those of another architecture.
    """
    tensors = _read_converted(name)
    parameters = model.state_dict()
    not_loaded = []
    for key in (*_CLASSES, _STEM):
        if key in tensors and tensors[key].shape != parameters[key].shape:
            not_loaded.append(key)
            del tensors[key]
    differences = [*_shape_differences(tensors, parameters), *_missing(tensors, parameters, not_loaded)]
    if differences:
        raise IncompatibleError(
            f"mask_dino: weights '{name}' are of another architecture: found {differences[0]}, and"
            f" {len(differences) - 1} more that differ; set backbone, encoder_layers, decoder_layers, queries and"
            " selection as they were"
        )
    model.load_state_dict(tensors, strict=False)
    return f"{name}, but for {', '.join(not_loaded)}" if not_loaded else name


def _shape_differences(tensors: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield a description of each tensor that has no parameter or one of another shape."""
    for key, tensor in sorted(tensors.items()):  # safetensors returns them in random order
        shape = list(tensor.shape)
        if key not in parameters:
            if not key.endswith(_COUNTER):
                yield f"{key} {shape}, expected none"
        elif parameters[key].shape != tensor.shape:
            yield f"{key} {shape}, expected {list(parameters[key].shape)}"


def _missing(
    tensors: Mapping[str, Tensor], parameters: Mapping[str, Tensor], not_loaded: list[str]
) -> Iterator[str]:
    """Yield a description of each parameter that should be loaded but has no tensor."""
    for key, parameter in parameters.items():
        if key not in tensors and key not in not_loaded and not key.endswith(_COUNTER):
            yield f"no {key}, expected {list(parameter.shape)}"


def _read_converted(name: str) -> dict[str, Tensor]:
    if not re.fullmatch(r"[A-Za-z0-9_.]+-[0-9a-f]{8}", name):
        raise IncompatibleError(
            f"mask_dino: weights: found '{name}', expected a name that ends in -, and eight digits of the content;"
            " 'benchbench convert mask_dino FILE' prints it"
        )
    try:
        content = (_folder() / f"{name}.safetensors").read_bytes()
    except FileNotFoundError as error:
        raise DataNotFoundError(
            f"mask_dino: weights '{name}' are not on this machine; make them with"
            " 'benchbench convert mask_dino FILE' from the published checkpoint"
        ) from error
    if _digits(content) != name[-8:]:
        raise DataError(
            f"mask_dino: weights '{name}' have content with the digits {_digits(content)}, not those in their"
            " name; convert the checkpoint again"
        )
    tensors: dict[str, Tensor] = load(content)
    return tensors


def _digits(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8]


def _folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"
