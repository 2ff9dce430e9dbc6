"""Published weights: converted once from a local file, then known by a name that says their content.

A benchmark cannot name a file: paths differ between machines, and another file at the same path would give other
numbers under the same digest. So conversion writes the tensors to the folder where torch keeps weights, under a
name that ends in the first eight digits of the content's SHA-256, and a benchmark gives this name.

Nothing in a checkpoint is run: it is read with `weights_only`, and kept as safetensors.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Mapping
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
    """Makes a published checkpoint ready for use and returns the name that `weights` takes.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: it holds anything but tensors, or those of another network.
    """
    tensors = {name: tensor.contiguous().clone() for name, tensor in translate(read_checkpoint(file)).items()}
    content = save(tensors)
    name = f"{re.sub(r'[^A-Za-z0-9_.]+', '_', file.stem)}-{_digits(content)}"
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name}.{os.getpid()}"
    unfinished.write_bytes(content)
    unfinished.replace(folder / f"{name}.safetensors")
    return name


def read_checkpoint(file: Path) -> Mapping[str, Tensor]:
    """The tensors of a .pth file as detectron2 writes it, with its own names; no code in it is run.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: it holds anything but tensors and plain values.
    """
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{file}: not found; download a checkpoint of IDEA-Research/MaskDINO") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{file}: cannot be read as tensors alone ({reason}); give a .pth checkpoint") from error
    tensors = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(tensors, Mapping) or not all(isinstance(each, Tensor) for each in tensors.values()):
        raise DataError(f"{file}: found no tensors by name, nor any under 'model'; give a .pth checkpoint")
    return tensors


def load_weights(model: nn.Module, name: str) -> str:
    """Starts a model from converted weights and says what they are.

    The heads of the classes are left new where their number differs, the first convolution where that of the
    channels does; all else must fit.

    Raises:
        DataNotFoundError: nothing has been converted to that name.
        DataError: the file is not what its name says.
        IncompatibleError: the name is none, or the weights are those of another architecture.
    """
    tensors = _read_converted(name)
    own = model.state_dict()
    left = [key for key in (*_CLASSES, _STEM) if key in tensors and tensors[key].shape != own[key].shape]
    fitting = {key: tensor for key, tensor in tensors.items() if key not in left}
    missing = [key for key in own if key not in tensors and not key.endswith(_COUNTER)]
    wrong = [
        f"{key} {list(tensor.shape)}, expected {list(own[key].shape) if key in own else 'none'}"
        for key, tensor in sorted(fitting.items())  # safetensors gives them in an order of chance
        if (key not in own and not key.endswith(_COUNTER)) or (key in own and own[key].shape != tensor.shape)
    ]
    wrong += [f"no {key}, expected {list(own[key].shape)}" for key in missing]
    if wrong:
        raise IncompatibleError(
            f"mask_dino: weights '{name}' are of another architecture: found {wrong[0]}, and {len(wrong) - 1} more"
            " that differ; set backbone, encoder_layers, decoder_layers, queries and selection as they were"
        )
    model.load_state_dict(fitting, strict=False)
    return f"{name}, but for {', '.join(left)}" if left else name


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
            f"mask_dino: weights '{name}' have other content than their name says, {_digits(content)}; convert the"
            " checkpoint anew"
        )
    tensors: dict[str, Tensor] = load(content)
    return tensors


def _digits(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8]


def _folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"
