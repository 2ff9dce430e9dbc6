from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handmade_case import keep_slices, keep_volume
from torch import nn

from benchbench.engine.batches.patches import open_source
from benchbench.engine.inference.counting import count_logits
from benchbench.engine.network.losses import compute_loss
from benchbench.engine.training.validate import validate
from benchbench.spec.protocol import Protocol

CPU = torch.device("cpu")


class Sharp(nn.Module):
    """A voxel is in the region where its image is above one half."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - 0.5) * 8


def protocol(*patch: int, **changes: Any) -> Protocol:
    fields = {"ndim": len(patch), "patch": patch, "epochs": 1, "batch": 2, "loss": "bce"}
    return Protocol.model_validate({**fields, "optimizer": {"name": "adam", "lr": 1.0}, **changes})


def volumes() -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of different sizes, of which a fifth disagree."""
    rng = np.random.default_rng(0)
    made = []
    for shape in ((5, 6, 7), (9, 4, 6)):
        image = rng.random((1, *shape)).astype(np.float16)
        label = (image[0] > 0.5) ^ (rng.random(shape) < 0.2)
        made.append((image, label.astype(np.uint8)))
    return made


def test_a_volume_is_validated_as_a_whole_for_any_windows(tmp_path: Path) -> None:
    made = volumes()
    settings = protocol(4, 4, 4)
    cases = [keep_volume(tmp_path / str(number), *arrays) for number, arrays in enumerate(made)]
    loss, counts = validate(Sharp(), open_source(cases, settings, device=CPU), settings, regions=1)
    losses = []
    for (image, label), case_counts in zip(made, counts, strict=True):
        logits, reference = Sharp()(torch.from_numpy(image).float())[None], torch.from_numpy(label)[None]
        losses.append(compute_loss("bce", logits, reference).item())
        predicted = image[0] > 0.5
        tp, fp, fn = (
            (predicted & (label > 0)).sum(),
            (predicted & (label == 0)).sum(),
            (~predicted & (label > 0)).sum(),
        )
        assert case_counts.tolist() == [[tp, fp, fn, label.size - tp - fp - fn]]
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_slices_are_counted_by_case_and_the_loss_is_the_mean_over_slices(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (slices, 1, 32, 32)).astype(np.uint8) for slices in (1, 4)]
    labels = [(image[:, 0] > 200).astype(np.uint8) for image in images]
    cases = [
        keep_slices(tmp_path / str(number), *arrays)
        for number, arrays in enumerate(zip(images, labels, strict=True))
    ]
    settings = protocol(32, 32)
    loss, counts = validate(Sharp(), open_source(cases, settings, device=CPU), settings, regions=1)
    assert counts.sum(2).ravel().tolist() == [32 * 32, 4 * 32 * 32]
    assert counts[:, 0, 0].tolist() == [label.sum() for label in labels], "every labelled voxel is predicted"
    logits = Sharp()(torch.from_numpy(np.concatenate(images)).float() / 255)
    assert loss == pytest.approx(
        compute_loss("bce", logits, torch.from_numpy(np.concatenate(labels))).item(), rel=1e-5
    )


def test_a_softmax_is_counted_by_class_with_background_first() -> None:
    labels = torch.tensor([[0, 1, 2, 2]], dtype=torch.uint8)  # background, region 0, region 1 twice
    logits = torch.eye(3)[torch.tensor([0, 0, 2, 1])].T[None]  # background, background, region 1, region 0
    counts = count_logits(logits, labels, protocol(32, 32, loss="ce"), regions=2)
    assert counts[0].tolist() == [[1, 1, 0, 2], [0, 1, 1, 2], [1, 0, 1, 2]]
