"""Ignored voxels: no loss, count, distance, lesion, crop or weight depends on what is predicted or labelled there."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from carry import carry
from commands import benchbench
from handmade_case import keep_slices, keep_volume
from torch import nn

from benchbench import Case, Geometry, Task
from benchbench.data.case_checks import check_case
from benchbench.engine.batches.patches import Patches
from benchbench.engine.batches.sampling import Slices
from benchbench.engine.inference.candidates import find_candidates
from benchbench.engine.inference.class_totals import ClassTotals
from benchbench.engine.inference.predict import count_case
from benchbench.engine.inference.search import search_rules
from benchbench.engine.network.losses import compute_loss, deep_supervision_loss
from benchbench.engine.preparation.labels import region_bits
from benchbench.engine.preparation.prepare import prepare_arrays
from benchbench.engine.training.train import Training
from benchbench.errors import SpecError
from benchbench.images.arrays import IGNORED
from benchbench.launch.network_checks import network_problems
from benchbench.metrics.scores import measure_regions
from benchbench.plan.problems import label_problems
from benchbench.spec.inference import Postprocess
from benchbench.spec.loss import Loss
from benchbench.spec.protocol import Protocol

CPU = torch.device("cpu")
LOSSES = ["bce+dice", "bce", "dice", "focal+dice", "ce", "ce+dice"]


def protocol(*patch: int, **changes: object) -> Protocol:
    fields = {"ndim": len(patch), "patch": patch, "epochs": 2, "batch": 2, "loss": "bce+dice"}
    return Protocol.model_validate({**fields, "optimizer": {"name": "adam", "lr": 0.01}, **changes})


def test_an_ignored_value_is_a_bit_of_its_own_in_the_masks() -> None:
    label = np.array([0, 1, 2, 3, 9])
    assert region_bits(label, Task(channels=("x",), regions={"a": (1,), "b": (1, 2)}, ignore=3)).tolist() == [
        0,
        0b11,
        0b10,
        IGNORED,
        0,
    ]
    assert Task(channels=("x",), regions={"a": (1,)}, ignore=(3, 255)).ignored == (3, 255)


@pytest.mark.parametrize("loss", LOSSES)
def test_logits_of_ignored_voxels_change_neither_loss_nor_gradient(loss: str) -> None:
    labels = torch.tensor([[[0, 1, 2, 0], [IGNORED, IGNORED, 1, 2]]], dtype=torch.uint8)
    ignored = (labels == IGNORED)[:, None]
    channels = 3 if loss.startswith("ce") else 2
    logits = torch.randn(1, channels, 2, 4, generator=torch.Generator().manual_seed(0))
    losses, gradients = [], []
    for content in (-3.0, 5.0):
        changed = torch.where(ignored, content, logits).requires_grad_()
        value = compute_loss(Loss(name=loss), changed, labels)
        value.backward()
        losses.append(value.item())
        gradients.append(changed.grad)
    assert losses[0] == losses[1]
    assert torch.equal(*gradients)
    assert not gradients[0][ignored.expand_as(gradients[0])].any()
    scored = compute_loss(
        Loss(name=loss), logits.flatten(2)[..., [0, 1, 2, 3, 6, 7]], labels.flatten(1)[:, [0, 1, 2, 3, 6, 7]]
    )
    assert losses[0] == pytest.approx(scored.item()), "it is the loss of the other voxels alone"


def test_a_batch_of_ignored_voxels_has_a_cross_entropy_of_0() -> None:
    labels = torch.full((1, 2, 2), IGNORED, dtype=torch.uint8)
    for loss, channels in (("bce", 1), ("ce", 2)):
        logits = torch.ones(1, channels, 2, 2, requires_grad=True)
        value = compute_loss(Loss(name=loss), logits, labels)
        value.backward()
        assert value.item() == 0
        assert not logits.grad.any()


def test_ignored_voxels_stay_ignored_at_coarser_heads() -> None:
    labels = torch.tensor([[1, 1, IGNORED, IGNORED]], dtype=torch.uint8)
    fine = torch.zeros(1, 1, 4)
    losses = [
        deep_supervision_loss(Loss(name="bce"), [fine, torch.tensor([[[1.0, value]]])], labels)
        for value in (-5, 5)
    ]
    assert losses[0] == losses[1]


def images_and_labels(content: int) -> tuple[np.ndarray, np.ndarray]:
    """Four slices with a square; a corner, and the whole last slice, is ignored, and its pixels have the content."""
    rng = np.random.default_rng(0)
    label = np.zeros((4, 32, 32), np.uint8)
    label[:, 8:20, 8:20] = 1
    image = (rng.integers(0, 90, label.shape) + 90 * label).astype(np.uint8)
    label[:, 12:, 12:] = IGNORED
    label[3] = IGNORED
    image[label == IGNORED] = content
    return image[:, None], label


def trained(folder: Path, content: int) -> Training:
    """A network of single pixels, trained where ignored pixels have this content."""
    image, label = images_and_labels(content)
    cases = [keep_slices(folder / f"{content}", image, label)]
    source = Slices(cases, device=CPU, scored_only=False)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    state = Training(model, source, Slices(cases, device=CPU), protocol(32, 32), regions=("square",))
    for epoch in range(2):
        state.run_epoch(torch.Generator().manual_seed(epoch), progress=lambda _: None)
    return state


def test_the_content_of_ignored_voxels_changes_no_weight_and_no_row_of_the_history(tmp_path: Path) -> None:
    dark, bright = trained(tmp_path, 0), trained(tmp_path, 250)
    for name, tensor in dark.model.state_dict().items():
        assert torch.equal(tensor, bright.model.state_dict()[name])
    timeless = {"seconds": 0, "cpu_seconds": 0}
    for one, other in zip(dark.history, bright.history, strict=True):
        assert one | timeless == other | timeless


def test_runs_on_two_ignored_labels_have_equal_weights_and_scores(
    benchmark_file: Path, squares: Path, tmp_path: Path, without_report: None
) -> None:
    results = {}
    for value in (2, 3):
        for path in (squares / "squares").glob("*.npz"):
            stored = dict(np.load(path))
            stored["label"][0] = stored["label"][1, :9] = value
            np.savez(path, **stored)
        folder, records, _ = carry(
            benchmark_file, squares, tmp_path / str(value), "datasets.squares.ignore=[2,3]", only=["fold=0"]
        )
        assert [record.status for record in records] == ["done"]
        run = folder.run(records[0].key)
        cases = run.read_table("cases.parquet", records[0]).to_pylist()
        assert {row["tp"] + row["fp"] + row["fn"] + row["tn"] for row in cases} == {(32 - 9) * 32 + 32 * 32}
        results[value] = (cases, (run.path / "best.safetensors").read_bytes())
    assert results[2][0] == results[3][0]
    assert results[2][1] == results[3][1]


def test_predictions_in_ignored_voxels_are_in_no_count_distance_or_lesion(tmp_path: Path) -> None:
    label = np.zeros((6, 8, 8), np.uint8)
    label[1:3, 1:3, 1:3] = 1
    label[:, 5:] = IGNORED
    case = keep_volume(tmp_path / "case", np.zeros((1, 6, 8, 8), np.float16), label)
    exact = (label == 1)[:, None]
    with_more = exact | (label == IGNORED)[:, None]
    metrics = ["hd95", "nsd@1", "lesion_dice@gli"]
    assert count_case(case, with_more).sum(0).tolist() == [[8, 0, 0, 6 * 5 * 8 - 8]]
    assert np.array_equal(count_case(case, with_more), count_case(case, exact))
    measured = [
        measure_regions(label, masks, metrics=metrics, spacing_mm=(1, 1, 1)) for masks in (exact, with_more)
    ]
    assert measured[0] == measured[1]
    assert measured[0][0]["hd95_mm"] == 0


def test_an_eighth_region_is_no_ignored_voxel() -> None:
    bits = np.full((1, 4, 4), 128, np.uint8)
    masks = np.zeros((1, 8, 4, 4), bool)
    masks[:, 7] = True
    assert measure_regions(bits, masks, metrics=["hd"], spacing_mm=None)[7] == {"hd_px": 0}


def test_classes_are_scored_without_ignored_voxels(tmp_path: Path) -> None:
    label = np.array([[[0, 1], [IGNORED, IGNORED]]], np.uint8)
    case = keep_slices(tmp_path / "case", np.zeros((1, 1, 2, 2), np.uint8), label)
    probabilities = torch.tensor([[[[0.9, 0.2], [0.0, 0.5]]], [[[0.1, 0.8], [1.0, 0.5]]]])
    totals = ClassTotals(("a",))
    totals.add(case, probabilities, (probabilities[1] > 0.5).numpy()[:, None])
    scores = totals.scores()
    assert scores["test_accuracy_classes"] == 1
    assert scores["test_dice_classes:background"] == 1
    assert scores["test_cross_entropy:a"] == pytest.approx(-np.log(0.8) / 2)


def test_ignored_voxels_choose_no_threshold() -> None:
    rules = Postprocess(search=True, thresholds={"a": 0.5})
    reference = np.array([[[[True, True, False, False]]]])
    probabilities = np.array([[[[0.8, 0.42, 0.5, 0.5]]]], np.float32)
    best = []
    for scored in ([True, True, False, False], [True] * 4):
        candidates = find_candidates(probabilities[0], reference[0], np.array([[scored]]), nested=False)
        best.append(search_rules(rules, ("a",), lambda case=candidates: [case]).thresholds["a"])
    assert best == [0.4, 0.55]


def test_slices_that_are_ignored_whole_are_no_training_samples(tmp_path: Path) -> None:
    image, label = images_and_labels(0)
    arrays = prepare_arrays(
        Case(image=image[None, :, 0], label=np.where(label == IGNORED, 3, label), affine=None, spacing_mm=None),
        Task(channels=("x",), regions={"square": (1,)}, ignore=3),
        protocol(32, 48),
    ).arrays
    assert arrays["scored"].tolist() == [0, 1, 2], "the padding of the last slice is no reason to train on it"
    case = keep_slices(tmp_path / "case", arrays["image"], arrays["label"], scored=arrays["scored"])
    assert len(Slices([case, case], device=CPU)) == 8
    source = Slices([case, case], device=CPU, scored_only=True)
    assert source.case_of.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(source.batch(torch.tensor([4]))[1][0], torch.from_numpy(case.label()[1]))


def test_slices_in_the_memory_of_a_gpu_are_those_with_a_scored_voxel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, label = images_and_labels(0)
    whole = keep_slices(tmp_path / "whole", image, np.where(label == IGNORED, 0, label))
    part = keep_slices(tmp_path / "part", image, label, scored=np.array([0, 2], np.int32))
    batches = []
    for is_resident in (False, True):
        monkeypatch.setattr("benchbench.engine.batches.sampling.fits_on", lambda *_, fits=is_resident: fits)
        source = Slices([whole, part], device=CPU, scored_only=True)
        assert len(source) == 6
        batches.append(source.batch(torch.arange(6)))
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one, other)


def test_patches_of_a_case_with_ignored_voxels_hold_a_voxel_that_is_not(tmp_path: Path) -> None:
    label = np.full((12, 12, 12), IGNORED, np.uint8)
    label[6, 6, 6] = 0
    case = keep_volume(
        tmp_path / "a", np.ones((1, 12, 12, 12), np.float16), label, scored=np.array([[6, 6, 6]], np.int32)
    )
    source = Patches([case], protocol(4, 4, 4), device=CPU)
    for seed in range(20):
        _, labels = source.batch(torch.tensor([0]), generator=torch.Generator().manual_seed(seed))
        assert (labels != IGNORED).sum() == 1


def test_a_case_without_a_scored_voxel_is_refused() -> None:
    label = np.full((2, 4, 4), 3, np.uint8)
    case = Case(image=np.zeros((1, 2, 4, 4)), label=label, affine=None, spacing_mm=None)
    task = Task(channels=("x",), regions={"a": (1,)}, ignore=3)
    assert check_case(case, task, "c1") == [
        "c1: found every voxel ignored (label 3), so nothing can be scored; remove the case"
    ]
    label[0, 0, 0] = 0
    assert check_case(case, task, "c1") == []


def test_labels_that_contradict_each_other_are_refused() -> None:
    def problems(ignored: tuple[int, ...], **regions: tuple[int, ...]) -> list[str]:
        return list(label_problems(Task(channels=("x",), regions=regions, ignore=ignored)))

    eight = {f"r{number}": (number,) for number in range(1, 9)}
    assert problems((), **eight) == problems((9,), a=(1,)) == []
    assert "8 regions, expected at most 7" in problems((9,), **eight)[0]
    assert "label 2, which is ignored" in problems((2,), a=(1, 2))[0]
    assert "a region 'ignore', which would be scored" in problems((), ignore=(3,))[0]


def test_the_plan_refuses_labels_that_contradict_each_other(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match="dataset 'squares': region 'square_0': found label 1, which is ignored"):
        carry(benchmark_file, squares, tmp_path, "datasets.squares.ignore=[1]")


class OwnLoss(nn.Conv2d):
    def loss(self) -> None: ...


def test_a_model_with_a_loss_of_its_own_is_refused_unless_it_leaves_ignored_voxels_out() -> None:
    task = Task(channels=("x",), regions={"a": (1,)}, ignore=3)
    geometry = Geometry(1, 1, (32, 32))
    model = OwnLoss(1, 1, 1)
    (problem,) = network_problems(model, geometry=geometry, protocol=protocol(32, 32), task=task)
    assert "has a loss of its own, which cannot leave out the ignored voxels" in problem
    model.leaves_out_ignored = True
    assert list(network_problems(model, geometry=geometry, protocol=protocol(32, 32), task=task)) == []


def save(path: Path, labels: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(labels.astype(np.uint8), np.eye(4)), path)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A liver predicted exactly, and once more where the reference is ignored."""
    reference = np.zeros((16, 16, 16))
    reference[2:6, 2:6, 2:6] = 1
    prediction = reference.copy()
    reference[10:14] = 3
    prediction[10:14, :4] = 1
    return save(tmp_path / "reference.nii.gz", reference), save(tmp_path / "prediction.nii.gz", prediction)


@pytest.mark.parametrize(
    "words",
    [
        ("--labels", "liver=1", "--ignore", 3),
        ("--labels", "liver=1 ignore=3"),
        ("--task", {"labels": {"background": 0, "liver": 1, "ignore": 3}}),
        ("--task", {"labels": {"background": 0, "liver": 1}, "ignore": [3]}),
    ],
)
def test_score_leaves_ignored_voxels_out(
    pair: tuple[Path, Path], tmp_path: Path, words: tuple[object, ...]
) -> None:
    option, value, *more = words
    if isinstance(value, dict):
        (tmp_path / "dataset.json").write_text(json.dumps(value))
        value = "dataset.json"
    out = benchbench(
        "score", *pair, option, value, *more, "--metrics", "dice,accuracy,hd95,nsd@1", "--lesions", "gli",
        "--out", "scores", cwd=tmp_path,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    import pandas as pd

    (row,) = pd.read_csv(tmp_path / "scores" / "cases.csv").to_dict("records")
    assert (row["dice"], row["accuracy"], row["hd95_mm"], row["nsd@1_mm"]) == (1, 1, 0, 1)
    assert (row["tp"], row["fp"], row["fn"], row["tn"]) == (64, 0, 0, 12 * 256 - 64)
    assert (row["brats23_dice"], row["brats23_made_up"]) == (1, 0)


def test_a_missing_prediction_is_wrong_in_no_ignored_voxel(pair: tuple[Path, Path], tmp_path: Path) -> None:
    reference = save(tmp_path / "r" / "a.nii.gz", np.asarray(nibabel.load(pair[0]).dataobj))
    save(tmp_path / "p" / "b.nii.gz", np.zeros((16, 16, 16)))
    words = ("--labels", "liver=1", "--ignore", 3, "--missing", "worst", "--metrics", "dice", "--out", "scores")
    assert benchbench("score", reference.parent, tmp_path / "p", *words, cwd=tmp_path).returncode == 0
    header, row = (tmp_path / "scores" / "cases.csv").read_text().splitlines()
    counts = dict(zip(header.split(","), row.split(","), strict=True))
    assert (counts["tp"], counts["fn"], counts["fp"]) == ("0", "64", str(12 * 256 - 64))


def test_score_refuses_an_ignored_region_and_a_reference_that_is_ignored_whole(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    both = benchbench("score", *pair, "--labels", "liver=1,3", "--ignore", 3, cwd=tmp_path)
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)
    assert "region 'liver': found label 3, which is ignored too" in both.stderr
    whole = save(tmp_path / "whole.nii.gz", np.full((16, 16, 16), 3))
    refused = benchbench("score", whole, pair[1], "--labels", "liver=1", "--ignore", 3, cwd=tmp_path)
    assert refused.returncode == 3
    assert "found every voxel ignored, so nothing can be scored" in refused.stderr
