"""Damaged .pth files, and `convert`, which reads them."""

from __future__ import annotations

import io
import pickle
import random
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from fuzz_bytes import damage_bytes

from benchbench.cli.convert import convert_weights

_OBJECTS: tuple[Any, ...] = ({}, [], None, 3, "x", {"model": {}}, {"model": None}, {1: torch.zeros(2)}, {"a": 1})
_OBJECTS += (torch.zeros(2), {"model": {"a": torch.zeros(1), "b": 2}}, {"model": {"x": {"y": torch.zeros(2)}}})


class _Attack:
    """An object whose unpickling would call a function."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("executed",)


def draw_pth(rng: random.Random, folder: Path) -> Path:
    """Write a damaged .pth file."""
    content = rng.choice(_files())
    if rng.random() < 0.6:
        content = _damage_member(rng, content)
    if rng.random() < 0.5:
        content = damage_bytes(rng, content)
    path = folder / "a.pth"
    path.write_bytes(content)
    return path


def read_pth(path: Path) -> None:
    """Convert the file."""
    torch.hub.set_dir(str(path.parent / "hub"))
    convert_weights("mask_dino", path)


@cache
def _files() -> list[bytes]:
    tensors = {
        "sem_seg_head.pixel_decoder.mask_features.weight": torch.rand(4, 4, 1, 1),
        "sem_seg_head.predictor.query_feat.weight": torch.rand(3, 4),
        "sem_seg_head.predictor.class_embed.bias": torch.rand(5),
        "backbone.stem.conv1.weight": torch.rand(2, 3, 7, 7),
        "criterion.empty_weight": torch.ones(2),
    }
    files = [_saved({"model": tensors}), _saved(tensors), _saved({"model": tensors}, zipped=False)]
    files += [_saved({"model": tensors, "optimizer": {"lr": 1e-3}, "epoch": 3})]
    files += [_saved(value) for value in _OBJECTS]
    files += [_saved({"model": {"a": _Attack()}}), pickle.dumps(_Attack()), pickle.dumps({"model": {"a": [1, 2]}})]
    return files


def _saved(value: object, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _damage_member(rng: random.Random, content: bytes) -> bytes:
    """Damage one file of the archive and pack it again."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return damage_bytes(rng, content)
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(packed, "w") as target:
        names = source.namelist()
        chosen = rng.choice((names[0], rng.choice(names)))  # the first holds the pickle
        is_removed = rng.random() < 0.1
        for name in names:
            member = source.read(name)
            if name == chosen and is_removed:
                continue
            target.writestr(name, damage_bytes(rng, member) if name == chosen else member)
    return packed.getvalue()
