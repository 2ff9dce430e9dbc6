from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handmade_case import keep_slices
from torch import nn

from benchbench.engine.batches.sampling import Slices
from benchbench.engine.cost.energy import NO_METER
from benchbench.engine.inference.counting import count_voxels
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.training.train import DivergedError, Training
from benchbench.spec.protocol import Protocol

CPU = torch.device("cpu")


def protocol(**changes: Any) -> Protocol:
    fields = {
        "patch": (16, 16),
        "epochs": 3,
        "batch": 3,
        "optimizer": {"name": "adam", "lr": 0.01},
        "loss": "bce+dice",
        "augment": ({"name": "flip"}, {"name": "noise", "sigma": (0.0, 0.1)}),
    }
    return Protocol.model_validate({**fields, **changes})


def prepared(folder: Path, name: str) -> PreparedCase:
    rng = np.random.default_rng(len(name))
    label = (rng.random((4, 16, 16)) > 0.7).astype(np.uint8)
    image = np.stack([label * 150 + rng.integers(0, 60, label.shape)], 1).astype(np.uint8)
    return keep_slices(folder / name, image, label)


def training(folder: Path, **changes: Any) -> Training:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.2), nn.Conv2d(4, 1, 1)
    )
    train = Slices([prepared(folder, "a"), prepared(folder, "bb")], device=CPU)
    validation = Slices([prepared(folder, "ccc"), prepared(folder, "dddd")], device=CPU)
    return Training(model, train, validation, protocol(**changes), regions=("disc",))


def run(state: Training, epochs: int) -> Training:
    for _ in range(epochs):
        torch.manual_seed(len(state.history))
        state.run_epoch(torch.Generator().manual_seed(len(state.history)), progress=lambda _: None)
    return state


def test_every_epoch_adds_a_row_with_losses_and_scores_of_both_parts(tmp_path: Path) -> None:
    shares: list[float] = []
    state = training(tmp_path)
    row = state.run_epoch(torch.Generator().manual_seed(0), progress=shares.append)
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])
    assert row["epoch"] == 0
    assert row["lr"] == 0.01
    for name in ("train_dice_pooled", "validation_dice_pooled", "validation_dice_case", "validation_iou_case"):
        assert 0 <= row[name] <= 1
    assert row["train_loss"] > 0 < row["validation_loss"]


def test_it_learns(tmp_path: Path) -> None:
    state = run(training(tmp_path, augment=(), epochs=40), 40)
    assert state.history[-1]["train_loss"] < 0.5 * state.history[0]["train_loss"]
    assert state.history[-1]["validation_dice_case"] > 0.9


def test_batch_statistics_are_of_every_training_batch_and_of_no_validation(tmp_path: Path) -> None:
    state = run(training(tmp_path), 2)
    # eight slices, three a batch: three batches an epoch
    assert state.model[1].num_batches_tracked.item() == 2 * 3


def test_the_same_seeds_give_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    first, second = (run(training(tmp_path), 2).model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_resumed_training_equals_one_without_interruption(tmp_path: Path) -> None:
    schedule = {"name": "plateau", "factor": 0.5, "patience": 1}
    callbacks: dict[str, Any] = {"epochs": 4, "schedule": schedule, "early_stopping": {"patience": 3}}
    whole = run(training(tmp_path, **callbacks), 4)
    stopped = run(training(tmp_path, **callbacks), 2).save()
    resumed = training(tmp_path, **callbacks)
    resumed.load(stopped)
    run(resumed, 2)
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name]), name
    assert resumed.best_epoch == whole.best_epoch
    timeless = {"seconds": 0, "cpu_seconds": 0}
    assert [row | timeless for row in resumed.history] == [row | timeless for row in whole.history]


class _StopError(Exception):
    """The training is interrupted."""


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_training_resumed_inside_an_epoch_equals_one_without_interruption(tmp_path: Path, steps: int) -> None:
    whole = run(training(tmp_path), 2)
    stopped = run(training(tmp_path), 1)
    taken: list[float] = []

    def stop(share: float) -> None:
        taken.append(share)
        if len(taken) == steps:
            raise _StopError

    torch.manual_seed(1)
    with pytest.raises(_StopError):
        stopped.run_epoch(torch.Generator().manual_seed(1), progress=stop)
    state = stopped.save()  # before another network is built, which draws numbers
    resumed = training(tmp_path)
    resumed.load(state)
    assert resumed.has_progress
    run(resumed, 1)
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name]), name
    timeless = {"seconds": 0, "cpu_seconds": 0}
    assert [row | timeless for row in resumed.history] == [row | timeless for row in whole.history]
    assert resumed.history[1]["cpu_seconds"] > 0


def test_a_training_that_was_loaded_can_be_saved_before_its_next_step(tmp_path: Path) -> None:
    def stop(_: float) -> None:
        raise _StopError

    first = training(tmp_path)
    with pytest.raises(_StopError):
        first.run_epoch(torch.Generator().manual_seed(0), progress=stop)
    second, third = training(tmp_path), training(tmp_path)
    second.load(first.save())
    third.load(second.save())
    shares: list[float] = []
    third.run_epoch(torch.Generator().manual_seed(0), progress=shares.append)
    assert shares == pytest.approx([2 / 3, 1])


@pytest.mark.parametrize(("select", "expected"), [("dice", 1), ("iou", 2), ("loss", 0)])
def test_the_checkpoint_is_the_first_best_by_the_selection_measure(
    tmp_path: Path, select: str, expected: int
) -> None:
    state = training(tmp_path, select=select)
    scores = {
        "validation_dice_case": [0.1, 0.9, 0.9],
        "validation_iou_case": [0.1, 0.2, 0.3],
        "validation_loss": [1, 2, 3],
    }
    for epoch in range(3):
        state._finish_epoch({"epoch": epoch, **{name: float(values[epoch]) for name, values in scores.items()}})
    assert state.best_epoch == expected


def test_the_best_checkpoints_are_kept_in_order_with_their_weights(
    tmp_path: Path,
) -> None:
    state = training(tmp_path, keep=2, epochs=9)
    bias = state.model[-1].bias
    for epoch, dice in enumerate([0.3, 0.5, 0.4, None, 0.5]):
        with torch.no_grad():
            bias.fill_(epoch)
        state._finish_epoch({"epoch": epoch, "validation_dice_case": dice})
    assert [(checkpoint.epoch, checkpoint.value) for checkpoint in state.checkpoints] == [(1, 0.5), (4, 0.5)]
    assert [checkpoint.weights["4.bias"].item() for checkpoint in state.checkpoints] == [1, 4]
    assert [row["is_best"] for row in state.history] == [1, 1, 0, 0, 0]


def test_epochs_without_validation_have_no_score_and_the_last_has_one(tmp_path: Path) -> None:
    state = run(training(tmp_path, epochs=5, validate_every=3), 5)
    is_validated = [row["validation_loss"] is not None for row in state.history]
    assert is_validated == [False, False, True, False, True]
    assert {tuple(row) for row in state.history} == {tuple(state.history[0])}, "a table has the same columns"
    assert all(row["validation_dice_case"] is None for row in state.history[:2])
    assert state.best_epoch in {2, 4}


def test_an_undefined_score_never_beats_a_defined_one(tmp_path: Path) -> None:
    state = training(tmp_path)
    for epoch, dice in enumerate([float("nan"), 0.2, float("nan")]):
        state._finish_epoch({"epoch": epoch, "validation_dice_case": dice})
    assert state.best_epoch == 1


def test_early_stopping_ends_the_run_at_its_patience(tmp_path: Path) -> None:
    state = training(tmp_path, epochs=10, early_stopping={"patience": 2})
    over = []
    for epoch, dice in enumerate([0.5, 0.4, 0.4]):
        state._finish_epoch({"epoch": epoch, "validation_dice_case": dice})
        over.append(state.is_over)
    assert over == [False, False, True]
    assert [row["validations_without_gain"] for row in state.history] == [0, 1, 2]


@pytest.mark.parametrize("select", ["dice", "loss"])
def test_early_stopping_counts_validations_and_not_epochs(tmp_path: Path, select: str) -> None:
    state = training(tmp_path, epochs=100, validate_every=10, select=select, early_stopping={"patience": 3})
    values = {9: 0.5, 19: 0.6, 29: 0.5, 39: 0.5, 49: 0.5}
    while not state.is_over:
        epoch = len(state.history)
        dice = values.get(epoch)
        loss = None if dice is None else 1 - dice
        state._finish_epoch({"epoch": epoch, "validation_dice_case": dice, "validation_loss": loss})
    assert len(state.history) == 50
    assert state.best_epoch == 19
    assert state.history[48]["validations_without_gain"] == 2


def test_plateau_and_early_stopping_count_the_same_validations(tmp_path: Path) -> None:
    schedule = {"name": "plateau", "factor": 0.5, "patience": 2}
    options = {"epochs": 30, "validate_every": 3, "select": "loss"}
    state = training(tmp_path, schedule=schedule, early_stopping={"patience": 2}, **options)
    while not state.is_over:
        epoch = len(state.history)
        loss = 1.0 if (epoch + 1) % 3 == 0 else None
        state._finish_epoch({"epoch": epoch, "validation_loss": loss})
    assert len(state.history) == 9
    state._set_learning_rate(9, state._validation_losses(), steps_per_epoch=1)
    assert state._step.optimizer.param_groups[0]["lr"] == 0.005


def test_without_early_stopping_no_patience_is_counted(tmp_path: Path) -> None:
    state = run(training(tmp_path), 1)
    assert "validations_without_gain" not in state.history[0]


def test_a_plateau_shows_in_the_learning_rate_of_the_next_epoch(tmp_path: Path) -> None:
    state = run(training(tmp_path, epochs=3, schedule={"name": "plateau", "factor": 0.5, "patience": 1}), 1)
    state.history[0]["validation_loss"] = 0.0  # nothing is better
    run(state, 2)
    assert [row["lr"] for row in state.history] == [0.01, 0.01, 0.005]


def test_a_nan_loss_ends_the_run_and_keeps_the_best_weights_finite(tmp_path: Path) -> None:
    state = run(training(tmp_path), 1)
    with torch.no_grad():
        next(state.model.parameters()).fill_(torch.nan)
    with pytest.raises(DivergedError, match="training loss became nan in epoch 1"):
        run(state, 1)
    assert state.best_epoch == 0
    assert all(torch.isfinite(tensor).all() for tensor in state.checkpoints[0].weights.values())


def test_the_gradient_is_clipped_to_the_protocols_norm(tmp_path: Path) -> None:
    sgd = {"name": "sgd", "lr": 1.0}
    state = training(tmp_path, gradient_clip=1e-3, optimizer=sgd, batch=8)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    run(state, 1)
    moved = torch.cat([(a - b).flatten() for a, b in zip(state.model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_a_smaller_last_batch_is_weighted_by_its_size(tmp_path: Path) -> None:
    state = training(tmp_path, loss="bce", augment=(), batch=3, optimizer={"name": "sgd", "lr": 1e-12})
    state.model[1] = nn.Identity()
    state.model[3] = nn.Identity()
    row = state.run_epoch(torch.Generator().manual_seed(0), progress=lambda _: None)
    state.protocol = protocol(loss="bce", augment=(), batch=8)
    whole = state.run_epoch(torch.Generator().manual_seed(0), progress=lambda _: None)
    assert row["train_loss"] == pytest.approx(whole["train_loss"], rel=1e-5)


def test_voxels_are_counted_by_slice_and_region() -> None:
    reference = torch.tensor([[[[True, True, False, False]]]])
    predicted = torch.tensor([[[[True, False, True, False]]]])
    scored = torch.tensor([[[True, True, True, True]]])
    assert count_voxels(reference, predicted, scored[:, None]).tolist() == [[[1, 1, 1, 1]]]
    scored = torch.tensor([[[True, False, True, False]]])
    assert count_voxels(reference, predicted, scored[:, None]).tolist() == [[[1, 1, 0, 0]]]
    two_regions = [torch.cat([masks, masks.roll(1, -1)], 1) for masks in (reference, predicted)]
    counts = count_voxels(*two_regions, torch.ones(1, 1, 1, 4, dtype=torch.bool))
    assert counts.sum(-1).tolist() == [[4, 4]], "every region has every voxel once"


class Meter:
    """A counter that goes up by a watt-hour at every second reading."""

    def __init__(self) -> None:
        self.readings = 0

    def watt_hours(self) -> float:
        self.readings += 1
        return 100.0 + self.readings // 2


def test_time_and_energy_include_epochs_before_an_interruption(tmp_path: Path) -> None:
    first, second = training(tmp_path), training(tmp_path)
    first.meter, second.meter = Meter(), Meter()
    second.load(run(first, 2).save())
    run(second, 1)
    spent = second.spent()
    assert spent["train_seconds"] == pytest.approx(sum(row["seconds"] for row in second.history))
    assert spent["train_seconds"] > first.spent()["train_seconds"] > 0
    assert (first.spent()["energy_wh"], spent["energy_wh"]) == (2.0, 3.0)


def test_one_epoch_without_a_meter_makes_the_energy_unknown(tmp_path: Path) -> None:
    state = training(tmp_path)
    state.meter = Meter()
    run(state, 1)
    state.meter = NO_METER
    assert run(state, 1).spent()["energy_wh"] is None
    assert training(tmp_path).spent() == {
        "train_seconds": 0.0,
        "train_cpu_seconds": 0.0,
        "energy_wh": None,
        "compile_seconds": None,
    }
