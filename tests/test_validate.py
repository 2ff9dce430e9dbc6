from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from handmade_case import keep_slices, keep_volume
from torch import nn

from benchbench.engine.batches.patches import open_source
from benchbench.engine.batches.sampling import samples_without_gradient, windows_at_once
from benchbench.engine.inference.counting import count_logits
from benchbench.engine.network.losses import compute_loss
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.training.validate import validate
from benchbench.spec.loss import Loss
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
    source = open_source(cases, settings, device=CPU)
    with mock.patch.object(PreparedCase, "image", side_effect=AssertionError("the source has the images")):
        loss, counts = validate(Sharp(), source, settings, regions=1)
    entropies, voxels = 0.0, 0
    for (image, label), case_counts in zip(made, counts, strict=True):
        logits, reference = Sharp()(torch.from_numpy(image).float())[None], torch.from_numpy(label)[None]
        entropies += compute_loss(Loss(name="bce"), logits, reference).item() * label.size
        voxels += label.size
        predicted = image[0] > 0.5
        tp, fp, fn = (
            (predicted & (label > 0)).sum(),
            (predicted & (label == 0)).sum(),
            (~predicted & (label > 0)).sum(),
        )
        assert case_counts.tolist() == [[tp, fp, fn, label.size - tp - fp - fn]]
    assert loss == pytest.approx(entropies / voxels, rel=1e-5)


def test_windows_in_batches_give_the_validation_of_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = protocol(4, 4, 4)
    cases = [keep_volume(tmp_path / str(number), *arrays) for number, arrays in enumerate(volumes())]
    source = open_source(cases, settings, device=CPU)
    sizes: list[int] = []
    model = Sharp()
    model.register_forward_hook(lambda *arguments: sizes.append(len(arguments[2])))
    expected = validate(model, source, settings, regions=1)
    windows = len(sizes)
    assert set(sizes) == {1}
    sizes.clear()
    monkeypatch.setattr("benchbench.engine.training.validate.windows_at_once", lambda batch, _: batch)
    loss, counts = validate(model, source, settings, regions=1)
    assert set(sizes) == {2}
    assert sum(sizes) == windows
    assert loss == pytest.approx(expected.loss, rel=1e-6)
    assert np.array_equal(counts, expected.counts)


def test_slices_are_counted_by_case_and_cross_entropy_is_the_mean_over_voxels(tmp_path: Path) -> None:
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
        compute_loss(Loss(name="bce"), logits, torch.from_numpy(np.concatenate(labels))).item(), rel=1e-5
    )


class Logits(nn.Module):
    """Two regions, or with a softmax background and two classes, from an image of one channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([(images - 0.3 * number) * (4 - number) for number in range(self.channels)], 1)


def part(folder: Path, *, order: Sequence[int], reverse: bool) -> list[PreparedCase]:
    """Three cases of two to six slices, of which only the last few have a region; in an order of cases and slices."""
    rng = np.random.default_rng(2)
    cases = []
    for number, slices in enumerate((2, 6, 3)):
        label = np.zeros((slices, 32, 32), np.uint8)
        label[slices // 2 :, 8:20, 8:20] = 1
        label[-1, 20:24, 8:20] = 2
        image = rng.integers(0, 256, (slices, 1, 32, 32)).astype(np.uint8)
        step = -1 if reverse else 1
        cases.append(keep_slices(folder / str(number), image[::step], label[::step]))
    return [cases[number] for number in order]


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("name", ["bce+dice", "ce+dice", "dice", "focal+dice", "ce+generalized_dice", "tversky"])
def test_the_validation_loss_depends_on_no_order_and_no_batch(
    tmp_path: Path, name: str, *, per_image: bool
) -> None:
    model = Logits(3 if name.startswith("ce") else 2)
    loss = {"name": name, "per_image": per_image}
    losses = []
    for batch, order, reverse in (
        (1, (0, 1, 2), False),
        (4, (0, 1, 2), False),
        (3, (2, 0, 1), True),
        (16, (1, 2, 0), True),
    ):
        settings = protocol(32, 32, batch=batch, loss=loss)
        cases = part(tmp_path / f"{batch}", order=order, reverse=reverse)
        losses.append(validate(model, open_source(cases, settings, device=CPU), settings, regions=2).loss)
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)


def test_a_gpu_validates_four_times_the_batch_with_equal_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert samples_without_gradient(8, CPU) == 8
    assert samples_without_gradient(8, torch.device("cuda:0")) == 32
    assert (windows_at_once(2, CPU), windows_at_once(2, torch.device("cuda:0"))) == (1, 2)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (9, 1, 32, 32)).astype(np.uint8)
    cases = [keep_slices(tmp_path, images, (images[:, 0] > 200).astype(np.uint8))]
    settings = protocol(32, 32)
    source = open_source(cases, settings, device=CPU)
    sizes: list[int] = []
    model = Sharp()
    model.register_forward_hook(lambda *arguments: sizes.append(len(arguments[2])))
    expected = validate(model, source, settings, regions=1)
    monkeypatch.setattr("benchbench.engine.training.validate.samples_without_gradient", lambda batch, _: 4 * batch)
    loss, counts = validate(model, source, settings, regions=1)
    assert sizes == [2, 2, 2, 2, 1, 8, 1]
    assert loss == pytest.approx(expected.loss, rel=1e-6)
    assert np.array_equal(counts, expected.counts)


def test_the_dice_of_each_image_is_validated_by_slices(tmp_path: Path) -> None:
    settings = protocol(32, 32, batch=4, loss={"name": "dice", "per_image": True})
    cases = part(tmp_path, order=(0, 1, 2), reverse=False)
    loss = validate(Logits(2), open_source(cases, settings, device=CPU), settings, regions=2).loss
    images = torch.cat([torch.from_numpy(case.image()).float() / 255 for case in cases])
    labels = torch.cat([torch.from_numpy(case.label()) for case in cases])
    assert loss == pytest.approx(compute_loss(settings.loss, Logits(2)(images), labels).item(), rel=1e-5)


def test_the_dice_of_a_validation_is_that_of_each_case_then_the_mean(tmp_path: Path) -> None:
    settings = protocol(32, 32, batch=2, loss="dice")
    cases = part(tmp_path, order=(0, 1, 2), reverse=False)
    loss = validate(Logits(2), open_source(cases, settings, device=CPU), settings, regions=2).loss
    terms = []
    for case in cases:
        images = torch.from_numpy(case.image()).float() / 255
        for region, logits in enumerate(Logits(2)(images).unbind(1)):
            probabilities = logits.sigmoid()
            mask = torch.from_numpy(case.label() >> region & 1).float()
            overlap, total = (probabilities * mask).sum(), probabilities.sum() + mask.sum()
            terms.append(float(1 - (2 * overlap + 1) / (total + 1)))
    assert loss == pytest.approx(np.mean(terms), rel=1e-5)


def test_a_softmax_is_counted_by_class_with_background_first() -> None:
    labels = torch.tensor([[0, 1, 2, 2]], dtype=torch.uint8)  # background, region 0, region 1 twice
    logits = torch.eye(3)[torch.tensor([0, 0, 2, 1])].T[None]  # background, background, region 1, region 0
    counts = count_logits(logits, labels, protocol(32, 32, loss="ce"))
    assert counts[0].tolist() == [[1, 1, 0, 2], [0, 1, 1, 2], [1, 0, 1, 2]]
