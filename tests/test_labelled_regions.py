"""Regions that a case lacks by declaration have no part in its loss, its scores and any table, whatever is labelled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from carry import carry
from commands import benchbench
from handmade_case import keep_slices
from torch import nn

from benchbench import Case, CaseRef, DataError, LossPlugin, Task
from benchbench.data.case_checks import check_case
from benchbench.engine.batches.patches import Patches
from benchbench.engine.batches.sampling import Slices
from benchbench.engine.batches.unlabelled import mark_unlabelled
from benchbench.engine.inference.candidates import UNKNOWN, find_candidates
from benchbench.engine.inference.class_totals import ClassTotals
from benchbench.engine.inference.counting import count_logits
from benchbench.engine.inference.predict import count_case
from benchbench.engine.inference.search import search_rules
from benchbench.engine.network import plugin_loss
from benchbench.engine.network.losses import compute_loss, deep_supervision_loss, loss_of_cases, loss_sums
from benchbench.engine.network.network import forward_with_loss
from benchbench.engine.preparation.labels import region_bits, unlabelled_bits
from benchbench.engine.preparation.prepared_case import PreparedCase, write_description
from benchbench.engine.training.history import training_row, validation_row
from benchbench.engine.training.train import Training
from benchbench.engine.training.validate import Validation
from benchbench.errors import IncompatibleError
from benchbench.images.arrays import IGNORED
from benchbench.metrics.class_scores import class_scores
from benchbench.records.folder import ResultsFolder
from benchbench.registry.registry import discover
from benchbench.spec.inference import Postprocess
from benchbench.spec.loss import Loss
from benchbench.spec.plugin_choice import PluginLoss
from benchbench.spec.protocol import Protocol
from benchbench.tables.absent_regions import absent_region_notes
from benchbench.tables.results import read_results
from benchbench.tables.summaries import summaries, summary_table
from benchbench_datasets.folder_writers import write_image
from benchbench_datasets.folders import Folders
from benchbench_datasets.nnunet_layout import NnUnetLayout, describe

CPU = torch.device("cpu")
LOSSES = [
    Loss.model_validate(table)
    for table in (
        {"name": "bce+dice"},
        {"name": "bce", "class_weights": [1.0, 3.0]},
        {"name": "dice", "per_image": True},
        {"name": "focal+dice"},
        {"name": "ce"},
        {"name": "ce", "class_weights": [1.0, 2.0, 3.0]},
        {"name": "ce+dice"},
        {"name": "ce+dice", "background": True},
        {"name": "ce+tversky"},
        {"name": "dice", "joint": True},
        {"name": "generalized_dice"},
    )
]
TASK = Task(channels=("x",), regions={"liver": (1,), "spleen": (2,)})


def protocol(*patch: int, **changes: object) -> Protocol:
    fields = {"ndim": len(patch), "patch": patch, "epochs": 2, "batch": 2, "loss": "bce+dice"}
    return Protocol.model_validate({**fields, "optimizer": {"name": "adam", "lr": 0.01}, **changes})


def declare(case: PreparedCase, bits: int) -> PreparedCase:
    """The same case without labels of some regions."""
    described = json.loads((case.folder / "case.json").read_bytes())
    for key in ("digest", "files"):
        del described[key]
    (case.folder / "case.json").unlink()
    write_description(case.folder, {**described, "unlabelled": bits})
    return PreparedCase(case.case, case.folder)


def test_a_region_without_label_is_nowhere_and_a_shared_value_stays_in_the_other() -> None:
    label = np.array([0, 1, 2, 3])
    task = Task(channels=("x",), regions={"core": (1,), "whole": (1, 2)}, ignore=3)
    assert region_bits(label, task, labelled=("whole",)).tolist() == [0, 0b10, 0b10, IGNORED]
    assert unlabelled_bits(task, ("whole",)) == 0b01
    assert unlabelled_bits(task, None) == 0


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Bit masks of two samples of 8 pixels, of which the second lacks the second region; a pixel is ignored."""
    labels = torch.tensor([[0, 1, 2, 0, IGNORED, 1, 2, 2], [0, 1, 1, 0, 0, 1, 0, 1]], dtype=torch.uint8)
    return labels, mark_unlabelled(labels, torch.tensor([0, 0b10]))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_channel_of_a_region_without_label_changes_neither_loss_nor_gradient(loss: Loss) -> None:
    _, labels = batch()
    channels = 3 if loss.is_softmax else 2
    logits = torch.randn(2, channels, 8, generator=torch.Generator().manual_seed(0))
    values, gradients = [], []
    for content in (-4.0, 6.0):
        changed = logits.clone()
        changed[1, -1] = content
        changed.requires_grad_()
        value = compute_loss(loss, changed, labels)
        value.backward()
        values.append(value.item())
        gradients.append(changed.grad)
    assert values[0] == values[1]
    assert torch.equal(*gradients)
    assert not gradients[0][1, -1].any()
    assert gradients[0][0, -1].any(), "the sample that has the label trains the channel"
    assert gradients[0][1, -2].any(), "the other region of the sample is trained"


def test_the_binary_cross_entropy_is_the_mean_over_the_labelled_voxels() -> None:
    plain, labels = batch()
    logits = torch.zeros(2, 2, 8)
    logits[1, 0] = 2.0
    near, far = np.log1p(np.exp(-2.0)), np.log1p(np.exp(2.0))
    entropies = [*[np.log(2)] * 14, *[near] * 4, *[far] * 4]  # sample 0: 7 pixels, 2 regions; sample 1: 8 pixels
    value = compute_loss(Loss(name="bce"), logits, labels).item()
    assert value == pytest.approx(np.mean(entropies))
    assert value != pytest.approx(compute_loss(Loss(name="bce"), logits, plain).item())


def test_dice_of_a_region_has_the_sums_of_the_samples_with_its_label() -> None:
    _, labels = batch()
    logits = torch.where(torch.rand(2, 2, 8, generator=torch.Generator().manual_seed(1)) > 0.5, 50.0, -50.0)
    loss = Loss(name="dice", smooth=0.0)
    scored = torch.tensor([0, 1, 2, 3, 5, 6, 7])
    predicted = logits > 0
    first = torch.cat([predicted[0, 0, scored], predicted[1, 0]])
    of_first = torch.tensor([0, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 1]).bool()
    second, of_second = predicted[0, 1, scored], torch.tensor([0, 0, 1, 0, 0, 1, 1]).bool()
    dice = [
        2 * (one & other).sum() / (one.sum() + other.sum())
        for one, other in ((first, of_first), (second, of_second))
    ]
    assert compute_loss(loss, logits, labels).item() == pytest.approx(1 - float(sum(dice)) / 2)


@pytest.mark.parametrize("name", ["dice", "ce+dice"])
def test_a_region_that_no_sample_has_a_label_of_is_in_no_mean(name: Any) -> None:
    loss = Loss(name=name, smooth=0.0)
    labels = torch.tensor([[0, 1, 1, 0]], dtype=torch.uint8)
    logits = torch.randn(1, 2 + loss.is_softmax, 4, generator=torch.Generator().manual_seed(2), requires_grad=True)
    value = compute_loss(loss, logits, mark_unlabelled(labels, torch.tensor([0b10])))
    value.backward()
    alone = compute_loss(loss, logits[:, :-1], labels)
    assert value.item() == pytest.approx(alone.item())
    assert bool(torch.isfinite(logits.grad).all()), "a region without voxels divides nothing by 0"


def test_a_head_of_deep_supervision_leaves_the_region_out_too() -> None:
    labels = mark_unlabelled(torch.tensor([[1, 1, 0, 0]], dtype=torch.uint8), torch.tensor([0b10]))
    values = []
    for content in (-5.0, 5.0):
        heads = [torch.zeros(1, 2, 4), torch.tensor([[[1.0, 2.0], [content, content]]])]
        values.append(deep_supervision_loss(Loss(name="bce+dice"), heads, labels).item())
    assert values[0] == values[1]


def test_the_loss_of_validation_cases_leaves_regions_without_label_out() -> None:
    _, labels = batch()
    logits = torch.randn(2, 2, 8, generator=torch.Generator().manual_seed(3))
    loss = Loss(name="dice", smooth=0.0)
    sums = loss_sums(loss, logits, labels)
    assert sums.shape == (2, 2 + 4 * 2)
    assert sums[:, -2:].tolist() == [[1, 1], [1, 0]]
    of_first = compute_loss(loss, logits[:1], labels[:1]).item()
    of_second = compute_loss(loss, logits[1:, :1], labels[1:].to(torch.uint8)).item()
    assert loss_of_cases(loss, sums, partial=True).item() == pytest.approx((of_first + of_second) / 2)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_a_plugins_loss_gets_the_channels_of_the_labelled_regions(
    monkeypatch: pytest.MonkeyPatch, activation: str
) -> None:
    seen = []

    def compute(logits: torch.Tensor, targets: torch.Tensor, scored: torch.Tensor) -> torch.Tensor:
        seen.append((logits.shape[1], targets.int().tolist(), int(scored.sum())))
        return logits.mean()

    plugin = LossPlugin(name="own", build=lambda: compute, source="none", activations=frozenset({activation}))
    monkeypatch.setattr(plugin_loss, "extension", lambda *_: plugin)
    labels = torch.tensor([[0, 1, 2, IGNORED], [2, 2, 0, 0], [0, 1, 2, 0]], dtype=torch.uint8)
    labels[1] = labels[1] & 0b10
    marked = mark_unlabelled(labels, torch.tensor([0, 0b01, 0]))
    softmax = activation == "softmax"
    logits = torch.arange(3.0).view(3, 1, 1).expand(3, 2 + softmax, 4)
    loss = PluginLoss.model_construct(plugin="own", activation=activation, params={})
    assert compute_loss(loss, logits, marked).item() == pytest.approx((1 + 2) / 3)
    assert seen == [
        (1 + softmax, [[[1, 1, 0, 0]]], 4),
        (2 + softmax, [[[0, 1, 0, 0], [0, 0, 1, 0]], [[0, 1, 0, 0], [0, 0, 1, 0]]], 7),
    ]


class OwnLoss(nn.Conv2d):
    def loss(self, images: torch.Tensor, _: torch.Tensor, criterion: Any) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self(images)
        return criterion(logits), logits


def test_a_model_with_a_loss_of_its_own_is_refused_unless_it_leaves_out_what_is_not_scored() -> None:
    model = OwnLoss(1, 2, 1)
    images, labels = torch.zeros(1, 1, 32, 32), torch.zeros(1, 32, 32, dtype=torch.uint8)
    marked = mark_unlabelled(labels, torch.tensor([1]))
    with pytest.raises(
        IncompatibleError, match=r"cannot leave out regions that a case lacks \(labelled_regions\)"
    ):
        forward_with_loss(model, images, marked, protocol(32, 32), regions=2)
    model.leaves_out_ignored = True
    loss, _ = forward_with_loss(model, images, marked, protocol(32, 32), regions=2)
    assert torch.isfinite(loss)


def test_regions_without_label_have_no_counts_and_no_part_in_the_history() -> None:
    labels = torch.tensor([[0, 1, 2, 2], [0, 1, 0, 0]], dtype=torch.uint8)
    logits = torch.tensor([[[-1.0, 1, -1, -1], [-1, -1, 1, -1]], [[-1, 1, 1, -1], [1, 1, 1, 1]]])
    counts = count_logits(logits, mark_unlabelled(labels, torch.tensor([0, 0b10])), protocol(32, 32)).numpy()
    assert counts.tolist() == [[[1, 0, 0, 3], [1, 0, 1, 2]], [[1, 1, 0, 2], [0, 0, 0, 0]]]
    row = validation_row(Validation(0.0, counts), ("liver", "spleen"), empty="score")
    assert row["validation_dice_case"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert row["validation_dice_case:spleen"] == pytest.approx(2 / 3)
    assert row["validation_dice_case:liver"] == pytest.approx((1 + 2 / 3) / 2)
    nowhere = training_row(counts[1], ("liver", "spleen"), empty="score")
    assert np.isnan(nowhere["train_dice_pooled:spleen"])
    assert nowhere["train_dice_pooled"] == pytest.approx(2 / 3)


def test_classes_without_label_count_as_background(tmp_path: Path) -> None:
    label = np.array([[[0, 1, 0, 1]]], np.uint8)
    case = declare(keep_slices(tmp_path / "case", np.zeros((1, 1, 1, 4), np.uint8), label), 0b10)
    probabilities = torch.tensor([[0.6, 0.1, 0.2, 0.2], [0.2, 0.8, 0.1, 0.3], [0.2, 0.1, 0.7, 0.5]])
    masks = (probabilities.argmax(0) == torch.tensor([[1], [2]])).numpy().reshape(1, 2, 1, 4)
    totals = ClassTotals(("liver", "spleen"))
    totals.add(case, probabilities.view(3, 1, 1, 4), masks)
    scores = totals.scores()
    assert scores["test_accuracy_classes"] == 3 / 4
    assert np.isnan(scores["test_dice_classes:spleen"])
    assert scores["test_dice_classes"] == pytest.approx((2 * 2 / 5 + 2 * 1 / 3) / 2)
    expected = -np.log([0.8, 0.9]).sum() / 4
    assert scores["test_cross_entropy:background"] == pytest.approx(expected)
    assert (
        class_scores(np.array([[1, 0, 0, 1], [1, 0, 0, 1]]), ("background", "a"), part="x")["x_dice_classes"] == 1
    )


def test_a_case_chooses_no_threshold_of_a_region_without_label() -> None:
    rules = Postprocess(search=True, thresholds={"a": 0.5, "b": 0.5})
    reference = np.array([[[True, True, False, False]]] * 2)
    probabilities = np.array([[[0.8, 0.42, 0.3, 0.3]]] * 2, np.float32)
    candidates = find_candidates(probabilities, reference, np.ones((1, 4), bool), nested=False)
    positives = np.array([candidates.positives[0], UNKNOWN])
    best = search_rules(rules, ("a", "b"), lambda: [candidates._replace(positives=positives)]).thresholds
    assert best == {"a": 0.4, "b": 0.5}


def images_and_labels(content: int) -> tuple[np.ndarray, np.ndarray]:
    """Four slices with a square of region 0; bits of region 1 are `content` in the upper half."""
    rng = np.random.default_rng(0)
    label = np.zeros((4, 32, 32), np.uint8)
    label[:, 8:20, 8:20] = 1
    image = (rng.integers(0, 90, label.shape) + 90 * label).astype(np.uint8)
    label[:, :16] |= np.uint8(content)
    return image[:, None], label


def trained(folder: Path, content: int) -> Training:
    """A network of single pixels, trained on a case with both regions and on one that lacks region 1."""
    whole = keep_slices(folder / "whole", *images_and_labels(2))
    part = declare(keep_slices(folder / f"part{content}", *images_and_labels(content)), 0b10)
    source = Slices([whole, part], device=CPU)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    settings = protocol(32, 32, augment=({"name": "rotate", "p": 1, "degrees": 30},))
    state = Training(model, source, Slices([part, whole], device=CPU), settings, regions=("square", "half"))
    for epoch in range(2):
        state.run_epoch(torch.Generator().manual_seed(epoch), progress=lambda _: None)
    return state


def test_the_content_of_a_region_without_label_changes_no_weight_and_no_row_of_the_history(tmp_path: Path) -> None:
    empty, filled = trained(tmp_path / "a", 0), trained(tmp_path / "b", 2)
    for name, tensor in empty.model.state_dict().items():
        assert torch.equal(tensor, filled.model.state_dict()[name])
    timeless = {"seconds": 0, "cpu_seconds": 0}
    for one, other in zip(empty.history, filled.history, strict=True):
        assert one | timeless == other | timeless


def test_patches_of_a_part_of_a_batch_are_marked_by_their_cases() -> None:
    class Marked(Patches):
        def __init__(self, cases: list[Any]) -> None:
            from benchbench.engine.batches.unlabelled import UnlabelledRegions

            self.cases = tuple(cases)
            self._unlabelled = UnlabelledRegions(cases)

    source = Marked([type("Case", (), {"unlabelled_bits": bits})() for bits in (0, 0b10, 0b01)])
    labels = torch.ones(4, 2, 2, 2, dtype=torch.uint8)
    marked = source.mark(labels, torch.tensor([1, 2, 3, 4]))
    assert (marked >> 8)[:, 0, 0, 0].tolist() == [2, 1, 0, 2]
    assert (marked & 0xFF).unique().tolist() == [1]


def test_a_case_declares_regions_of_its_task() -> None:
    def problems(*labelled: str) -> list[str]:
        label = np.zeros((2, 4, 4), np.uint8)
        image = np.zeros((1, 2, 4, 4))
        case = Case(image=image, label=label, affine=None, spacing_mm=None, labelled_regions=labelled)
        return check_case(case, TASK, "c1")

    assert problems("liver") == []
    assert problems("kidney") == [
        "c1: labelled_regions: found 'kidney', expected some of liver, spleen; correct it"
    ]
    (nothing,) = problems()
    assert nothing.startswith("c1: found no labelled region, so nothing can be learnt or scored")


SIZE = 32
BENCHMARK = """
title = "Organs"
datasets = [{ name = "organs", layout = "folders", regions = { liver = 1, spleen = 2 }, labelled_regions = %s }]
models = [{ name = "plain" }, { name = "plain_too" }]
[protocol]
patch = [32, 32]
folds = 2
epochs = 1
batch = 4
loss = "%s"
optimizer = { name = "adam", lr = 1e-2 }
postprocess = { search = true, thresholds = { liver = 0.5, spleen = 0.5 } }
"""


def write_organs(root: Path, content: int) -> Path:
    """Eight patients; in the first three, the spleen is not labelled, and its voxels have the content."""
    rng = np.random.default_rng(1)
    for number in range(1, 9):
        label = np.zeros((SIZE, SIZE), np.uint8)
        label[4:14, 3 + number : 13 + number] = 1
        label[18:26, 20 - number : 28 - number] = 2
        image = (rng.integers(1, 60, label.shape) + 80 * label).astype(np.uint8)
        if number <= 3:
            label[label == 2] = content
        for kind, values in (("images", image), ("masks", label)):
            path = root / "organs" / kind / f"p{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, values[None])
    return root


DECLARED = '{ "p[1-3]" = ["liver"] }'


def run(folder: Path, content: int, loss: str = "bce+dice") -> tuple[ResultsFolder, list[Any], Any]:
    folder.mkdir()
    file = folder / "organs.toml"
    text = BENCHMARK % (DECLARED, loss)
    file.write_text(text if loss.startswith("bce") else text.rpartition("postprocess")[0])
    return carried(file, write_organs(folder / "data", content), folder)


def carried(*words: Any, **options: Any) -> tuple[ResultsFolder, list[Any], Any]:
    """Carry out a benchmark of the layout `folders` and of tiny models."""
    with mock.patch("carry.discover", return_value=discover(["folders", "toy"])):
        return carry(*words, **options)


@pytest.fixture(scope="module")
def organs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished benchmark with a partly labelled dataset, its page included."""
    folder = tmp_path_factory.mktemp("labelled") / "a"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchbench.report.draw_figures", lambda *_, **__: [])
        _, records, recorder = run(folder, 0)
    assert [record and record.status for record in records] == ["done"] * 4, records
    (folder / "remarks.txt").write_text("\n".join(recorder.remarks))
    return folder


def results_of(folder: Path) -> ResultsFolder:
    return ResultsFolder(folder / "results" / "organs")


def test_the_content_there_changes_neither_weights_nor_scores(
    organs: Path, tmp_path: Path, without_page: None
) -> None:
    folder, records, _ = run(tmp_path / "b", 2)
    before = read_results(results_of(organs))
    after = read_results(folder)
    pd.testing.assert_frame_equal(before.cases, after.cases)
    pd.testing.assert_frame_equal(before.slices, after.slices)
    for record in records:
        weights = [place.run(record.key).path / "best.safetensors" for place in (results_of(organs), folder)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
        assert record.postprocess == before.records[record.key].postprocess


@pytest.mark.slow
def test_a_softmax_leaves_the_region_out_too(tmp_path: Path, without_page: None) -> None:
    weights = []
    for content in (0, 2):
        folder, records, _ = run(tmp_path / str(content), content, "ce+dice")
        assert [record.status for record in records] == ["done"] * 4
        weights.append([(folder.run(record.key).path / "best.safetensors").read_bytes() for record in records])
    assert weights[0] == weights[1]


def test_cases_without_the_label_leave_the_scores_of_the_region(organs: Path) -> None:
    results = read_results(results_of(organs))
    pairs = set(results.cases[["case", "region"]].itertuples(index=False, name=None))
    expected = {(f"p{n}", "liver") for n in range(1, 9)} | {(f"p{n}", "spleen") for n in range(4, 9)}
    assert pairs == expected
    table = summary_table(results)
    rows = table[(table["model"] == "plain") & (table["metric"] == "dice") & (table["aggregate"] == "case")]
    assert dict(zip(rows["region"], rows["n"], strict=True)) == {"mean": 8, "liver": 8, "spleen": 5}
    counts = results.cases[(results.cases["model"] == "plain") & (results.cases["region"] == "spleen")]
    dice = 2 * counts["tp"] / (2 * counts["tp"] + counts["fp"] + counts["fn"])
    assert rows.set_index("region").loc["spleen", "mean"] == pytest.approx(dice.mean())


def test_the_page_the_run_and_the_comparison_say_how_many_cases_have_the_label(organs: Path) -> None:
    (note,) = absent_region_notes(read_results(results_of(organs)))
    assert note.startswith(
        "organs: region 'spleen' is labelled in 5 of 8 scored cases: its scores are of these alone"
    )
    page = (results_of(organs).path / "index.html").read_text()
    assert "is labelled in 5 of 8 scored cases" in page
    assert "is labelled in 5 of 8 scored cases" in (results_of(organs).path / "leaderboard.md").read_text()
    assert "organs: region spleen: labelled in 5 of 8 cases" in (organs / "remarks.txt").read_text()
    compared = benchbench("compare", "plain", "plain_too", "--results", results_of(organs).path, cwd=organs)
    assert compared.returncode == 0, compared.stderr
    assert "is labelled in 5 of 8 scored cases" in compared.stdout


def test_verify_scores_the_saved_masks_again(organs: Path, without_figures: None) -> None:
    done = benchbench("verify", results_of(organs).path, "--from-masks", organs / "data", cwd=organs)
    assert done.returncode == 0, done.stdout + done.stderr


def test_further_distances_are_measured_on_the_labelled_regions(organs: Path, without_page: None) -> None:
    folder, records, _ = carried(
        organs / "organs.toml", organs / "data", organs, 'protocol.metrics=["dice", "hd95"]', only=["model=plain"]
    )
    cases = folder.run(records[0].key).read_table("cases.parquet", records[0]).to_pylist()
    assert all(row["hd95_px"] is not None for row in cases)


def test_a_mean_over_regions_counts_every_case_once_and_a_run_without_the_region_has_no_value_of_it() -> None:
    rows = []
    for fold, case, region, counts in (
        (0, "a", "liver", (1, 1, 0, 8)),
        (0, "b", "liver", (2, 0, 0, 8)),
        (1, "c", "spleen", (1, 0, 2, 7)),
    ):
        tp, fp, fn, tn = counts
        rows.append(
            {"fold": fold, "seed": 0, "case": case, "region": region, "tp": tp, "fp": fp, "fn": fn, "tn": tn}
        )
    lines = {
        (line.aggregate, line.region): line
        for line in summaries(pd.DataFrame(rows), None, metrics=["dice"], empty="score")
    }
    assert {place: line.n for place, line in lines.items() if place[0] == "case"} == {
        ("case", "mean"): 3,
        ("case", "liver"): 2,
        ("case", "spleen"): 1,
    }
    assert lines["case", "liver"].mean == pytest.approx((2 / 3 + 1) / 2)
    assert lines["case", "mean"].mean == pytest.approx(((2 / 3 + 1) / 2 + 1 / 2) / 2)
    assert lines["pooled", "spleen"].fold_mean == pytest.approx(0.5)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_organs(tmp_path, 0) / "organs"


VALUES: dict[str, Any] = {"regions": {"liver": 1, "spleen": 2}}


def test_a_column_of_the_table_declares_what_is_labelled(root: Path) -> None:
    lines = [f"p{number},{'liver' if number <= 3 else ''}" for number in range(1, 9)]
    (root / "cases.csv").write_text("\n".join(["case,labelled", *lines]))
    dataset = Folders(root, **VALUES, table="cases.csv", labelled_column="labelled")
    assert dataset.load("p2").labelled_regions == ("liver",)
    assert dataset.load("p4").labelled_regions is None
    assert root / "cases.csv" in dataset.files("p2"), "another declaration is another case"
    (root / "cases.csv").write_text("\n".join(["case,labelled", *lines]).replace("p4,", "p4,liver; spleen"))
    dataset = Folders(root, **VALUES, table="cases.csv", labelled_column="labelled")
    assert dataset.load("p4").labelled_regions == ("liver", "spleen")


def test_files_of_regions_are_missing_only_where_that_is_declared(tmp_path: Path) -> None:
    for case in ("a", "b"):
        (tmp_path / "i").mkdir(exist_ok=True)
        write_image(tmp_path / "i" / f"{case}.png", np.full((1, 8, 8), 9, np.uint8))
        (tmp_path / "liver").mkdir(exist_ok=True)
        write_image(tmp_path / "liver" / f"{case}.png", np.eye(8, dtype=np.uint8)[None])
    (tmp_path / "spleen").mkdir()
    write_image(tmp_path / "spleen" / "b.png", np.ones((1, 8, 8), np.uint8))
    masks = {"spleen": "spleen/{case}.png", "liver": "liver/{case}.png"}
    with pytest.raises(DataError, match=r"i/a\.png: found no mask for it, expected spleen/a\.png"):
        Folders(tmp_path, images="i/{case}.png", masks=masks).load("a")
    dataset = Folders(tmp_path, images="i/{case}.png", masks=masks, labelled_regions={"a": ("liver",)})
    assert dataset.cases() == [CaseRef("a", "a"), CaseRef("b", "b")]
    case = dataset.load("a")
    assert case.labelled_regions == ("liver",)
    bits = region_bits(case.label, dataset.task, labelled=case.labelled_regions)
    assert np.array_equal(bits == 0b10, np.eye(8, dtype=bool))
    assert dataset.load("b").label.min() == 1


def test_declarations_that_name_nothing_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"labelled_regions\.p1: found 'kidney', expected some of liver, spleen"):
        Folders(root, **VALUES, labelled_regions={"p1": ("kidney",)})
    with pytest.raises(DataError, match=r"labelled_regions\.p99: found no case of that name"):
        Folders(root, **VALUES, labelled_regions={"p99": ("liver",)}).cases()
    twice = Folders(root, **VALUES, labelled_regions={"p1": ("liver",), "p*": ("spleen",)})
    with pytest.raises(DataError, match=r"p1: found several patterns of `labelled_regions` for it"):
        twice.load("p1")
    with pytest.raises(DataError, match=r"labelled_column: found a column without a table"):
        Folders(root, **VALUES, labelled_column="labelled")


def test_an_entry_of_dataset_json_declares_what_is_labelled(tmp_path: Path) -> None:
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    write_image(tmp_path / "imagesTr" / "a_0000.png", np.full((1, 8, 8), 9, np.uint8))
    write_image(tmp_path / "labelsTr" / "a.png", np.eye(8, dtype=np.uint8)[None])
    content = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1, "spleen": 2},
        "file_ending": ".png",
        "labelled_regions": {"a": ["liver"]},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert describe(tmp_path)["labelled_regions"] == {"a": ["liver"]}
    regions = {"liver": 1, "spleen": 2}
    dataset = NnUnetLayout(
        tmp_path, channels=("CT",), regions=regions, file_ending=".png", labelled_regions={"a": ("liver",)}
    )
    assert dataset.load("a").labelled_regions == ("liver",)
    (tmp_path / "dataset.json").write_text(json.dumps(content | {"labelled_regions": ["a"]}))
    with pytest.raises(DataError, match=r"labelled_regions: found \['a'\], expected a table of cases"):
        describe(tmp_path)


def test_counts_of_a_case_are_those_of_its_labelled_regions(tmp_path: Path) -> None:
    label = np.array([[[1, 0], [2, 3]]], np.uint8)
    case = declare(keep_slices(tmp_path / "case", np.zeros((1, 1, 2, 2), np.uint8), label), 0b01)
    masks = np.ones((1, 2, 2, 2), bool)
    assert count_case(case, masks).tolist() == [[[0, 0, 0, 0], [2, 2, 0, 0]]]
