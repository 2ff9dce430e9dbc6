"""Losses, metrics, transforms, optimisers and schedules of another package, as docs/extending.md writes them."""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from carry import carry
from commands import benchbench
from torch import Tensor
from toy_benchmark import BENCHMARK, write_benchmark, write_data

import benchbench as door
from benchbench import LossPlugin, MetricPlugin, OptimizerPlugin, SchedulePlugin, TrainingTime, TransformPlugin
from benchbench.engine.augmentation import plugin_transforms
from benchbench.engine.augmentation.augment import augment
from benchbench.engine.network import plugin_loss
from benchbench.engine.network.losses import compute_loss, loss_of_cases, loss_sums
from benchbench.engine.training import optimise
from benchbench.errors import PluginError, SpecError
from benchbench.metrics.plugin_metrics import measure_plugin
from benchbench.plan.expand import plan_runs
from benchbench.records.folder import ResultsFolder
from benchbench.registry import extensions, registry
from benchbench.registry.registry import discover
from benchbench.spec import metric_names
from benchbench.spec.augmentation import AugmentStep
from benchbench.spec.benchmark import read_benchmark
from benchbench.spec.plugin_choice import PluginLoss, PluginSchedule, PluginTransform
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.results import read_results
from benchbench.testing import examine_extension

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text()
(MODULE,) = re.findall(r"```python\n# my_extensions.py\n(.*?)```", PAGE, re.DOTALL)
PROTOCOL = re.findall(r"```toml\n\[protocol\]\n(.*?)```", PAGE, re.DOTALL)[0]
POINTS = "[benchbench]\nmy_extensions = my_extensions\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the page, in the form in which pip installs it."""
    folder = tmp_path / "site"
    described = folder / "my_extensions-1.0.dist-info"
    described.mkdir(parents=True)
    (folder / "my_extensions.py").write_text(MODULE)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: my-extensions\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(metric_names, "_DECLARED", {})
    importlib.invalidate_caches()
    yield folder
    sys.modules.pop("my_extensions", None)
    extensions._registry.cache_clear()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find the plugins of the page and the toy alone: others take seconds to import."""
    monkeypatch.setattr(registry, "discover", lambda *_: discover(["my_extensions", "toy"]))


def with_protocol(text: str = PROTOCOL) -> str:
    """The toy benchmark with the loss, the augmentation and the metrics of the page."""
    lines = [line for line in BENCHMARK.splitlines() if not line.startswith(("loss", "augment"))]
    return "\n".join(lines).replace("[protocol]", f"[protocol]\n{text}").replace("epochs = 2", "epochs = 1")


@pytest.mark.usefixtures("few", "package")
def test_plugins_written_from_the_page_pass_check_and_are_listed(tmp_path: Path) -> None:
    for name in ("brier", "volume_error", "fog"):
        done = benchbench("check", name, cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        assert "0 failed" in done.stdout
    listed = benchbench("list", cwd=tmp_path).stdout
    for title, name in (("losses", "brier"), ("metrics", "volume_error"), ("transforms", "fog")):
        assert re.search(rf"^{title}\n  {name} .*\n.*my-extensions 1.0", listed, re.MULTILINE)
    content = json.loads(benchbench("list", "metrics", "--format", "json", cwd=tmp_path).stdout)
    assert content["metrics"][0]["range"] == [0, None]
    text = benchbench("show", "volume_error", cwd=tmp_path).stdout
    assert "range: 0 to inf, less is better" in text
    assert (
        "strength: float = 0.2\n      largest share of the way." in benchbench("show", "fog", cwd=tmp_path).stdout
    )


@pytest.mark.usefixtures("package", "without_page")
def test_a_benchmark_trains_with_them_and_the_metric_is_in_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carry.discover", lambda _: discover(["my_extensions", "toy"]))
    folder, records, _ = carry(write_benchmark(tmp_path, with_protocol()), write_data(tmp_path), tmp_path)
    assert [record and record.status for record in records] == ["done", "done"], records
    results = read_results(folder)
    cases = results.cases
    predicted, reference = cases["tp"] + cases["fp"], cases["tp"] + cases["fn"]
    expected = ((predicted - reference).abs() / reference).where(predicted > 0, 1.0)  # of our own counts
    assert list(cases["volume_error"]) == pytest.approx(list(expected))
    board = leaderboard(results)
    assert board.loc[0, "volume_error"] == pytest.approx(expected.mean())
    assert metric_names.is_lower_better("volume_error")
    assert set(pd.read_csv(folder.path / "summary.csv")["metric"]) == {"dice", "volume_error"}
    assert "volume_error" in (folder.path / "leaderboard.md").read_text()
    digests = records[0].resolved["extensions"] if records[0] else {}
    assert set(digests) == {"losses/brier", "transforms/fog"}


@pytest.mark.usefixtures("package", "without_page")
def test_tables_are_written_again_without_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carry.discover", lambda _: discover(["my_extensions", "toy"]))
    text = with_protocol('metrics = ["volume_error", "dice"]\nloss = "bce"\n')
    folder, _, _ = carry(write_benchmark(tmp_path, text), write_data(tmp_path), tmp_path)
    before = leaderboard(read_results(folder))
    monkeypatch.setattr(metric_names, "_DECLARED", {})
    sys.path.remove(str(tmp_path / "site"))
    after = leaderboard(read_results(ResultsFolder(folder.path)))
    pd.testing.assert_frame_equal(before, after)
    assert "volume_error" in after


def test_the_metric_scores_arrays_and_files(package: Path) -> None:
    reference = np.zeros((8, 8), bool)
    reference[:2, :2] = True
    prediction = np.zeros((8, 8), bool)
    prediction[:2, :3] = True
    scores = door.score(reference, prediction, metrics=["volume_error", "dice"])
    assert scores.cases.loc[0, "volume_error"] == 0.5  # 6 voxels instead of 4
    nothing = np.zeros((8, 8), bool)
    assert door.score(reference, nothing, metrics=["volume_error"]).cases.loc[0, "volume_error"] == 1
    assert door.score(nothing, nothing, metrics=["volume_error"]).cases.loc[0, "volume_error"] == 0
    left_out = door.score(nothing, nothing, metrics=["volume_error"], empty="monai")
    assert math.isnan(left_out.cases.loc[0, "volume_error"])


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (
            'loss = { plugin = "brire" }',
            r"protocol.loss: no loss plugin 'brire' is installed; did you mean 'brier'",
        ),
        (
            'loss = { plugin = "brier", powwer = 2 }',
            "protocol.loss: brier.powwer: no such parameter; did you mean 'power'",
        ),
        ('loss = { plugin = "brier", power = "2" }', "protocol.loss: brier.power: .*found '2'"),
        ('loss = { plugin = "brier", activation = "softmax" }', "found activation 'softmax', expected sigmoid"),
        ('loss = "bce"\naugment = [{ plugin = "smoke" }]', "no transform plugin 'smoke' is installed; known: fog"),
        ('loss = "bce"\naugment = [{ plugin = "fog", p = 2 }]', "augment"),
        ('loss = "bce"\nmetrics = ["volume_eror"]', "no such metric 'volume_eror'; did you mean 'volume_error'"),
        ('loss = { plugin = "brier" }\nworld_size = 2', "is computed in one process, found world_size = 2"),
    ],
)
def test_faults_of_a_file_are_reported_with_their_place(
    package: Path, tmp_path: Path, protocol: str, message: str
) -> None:
    installed = discover(["my_extensions", "toy"])
    file = write_benchmark(tmp_path, with_protocol(protocol))
    with pytest.raises(SpecError, match=message) as caught:
        plan_runs(read_benchmark(file, check=installed.check), installed)
    assert re.match(rf"{re.escape(str(file))}:\d+: ", str(caught.value))


def test_a_changed_source_changes_the_digest_of_the_run(package: Path, tmp_path: Path) -> None:
    def digests() -> list[str]:
        installed = discover(["my_extensions", "toy"])
        return [run.digest for run in plan_runs(read_benchmark(file, check=installed.check), installed)]

    file = write_benchmark(tmp_path, with_protocol())
    first = digests()
    (package / "my_extensions.py").write_text(MODULE.replace("** power", "** (power + 0)"))
    assert not set(first) & set(digests())


# the parts, against values worked out by hand


def test_the_loss_sees_masks_and_scored_voxels(package: Path) -> None:
    labels = torch.tensor([[[1, 0, 255]]], dtype=torch.uint8)  # the last voxel is ignored
    logits = torch.tensor([[[[0.0, math.log(3), 9.0]]]], requires_grad=True)
    loss = PluginLoss(plugin="brier")
    value = compute_loss(loss, logits, labels)
    assert value.item() == pytest.approx((0.5**2 + 0.75**2) / 2)
    value.backward()
    assert logits.grad is not None
    assert logits.grad[0, 0, 0, 2] == 0
    both = torch.cat([logits, logits * 0]).detach()
    of_cases = loss_of_cases(loss, loss_sums(loss, both, labels.repeat(2, 1, 1)))
    assert float(of_cases) == pytest.approx(((0.5**2 + 0.75**2) / 2 + 0.25) / 2)


def test_a_transform_changes_chosen_samples_alike_in_parts_of_a_batch(package: Path) -> None:
    images, labels = torch.rand(6, 1, 4, 4), torch.ones(6, 4, 4, dtype=torch.uint8)

    def changed(p: float) -> Tensor:
        steps: list[AugmentStep] = [PluginTransform(plugin="fog", p=p, strength=1.0)]
        new, _ = augment(images, labels, steps, generator=torch.Generator().manual_seed(0))
        return new

    assert torch.equal(changed(0.0), images)
    every = changed(1.0)
    for before, after in zip(images, every, strict=True):
        share = (after - before) / (before.mean() - before)
        assert torch.allclose(share, share.flatten()[0].expand_as(share), atol=1e-4)
        assert 0 < float(share.flatten()[0]) < 1
    some = changed(0.5)
    is_changed = (some != images).flatten(1).any(1)
    assert 0 < int(is_changed.sum()) < 6
    assert torch.equal(some, changed(0.5))


# rules: each faulty plugin fails the rule that it breaks


def failed(plugin: Any) -> set[str]:
    return set(examine_extension(plugin).failed)


def loss_of(function: Callable[..., Any], **fields: Any) -> LossPlugin:
    return LossPlugin(name="l", build=lambda: function, source="x", **fields)


@pytest.mark.parametrize(
    ("function", "rules"),
    [
        (lambda logits, targets, scored: (logits.sigmoid() - targets.float()).square(), {"scalar"}),
        (
            lambda logits, targets, scored: (
                -((logits.sigmoid() - targets.float()).square() * scored[:, None]).mean()
            ),
            {"direction"},
        ),
        (
            lambda logits, targets, scored: ((logits > 0) != targets).float().mean() + 0 * logits.sum(),
            {"gradient", "ignored voxels"},
        ),
        (lambda logits, targets, scored: (logits.sigmoid() - targets.float()).square().mean(), {"ignored voxels"}),
        (
            lambda logits, targets, scored: (
                ((logits.sigmoid() - targets.float()).square() * scored[:, None]).sum() / targets.sum()
            ),
            {"no foreground"},
        ),
    ],
)
def test_a_faulty_loss_fails_its_rule(function: Callable[..., Any], rules: set[str]) -> None:
    assert failed(loss_of(function)) == rules


def metric_of(measure: Callable[..., float], **changes: Any) -> MetricPlugin:
    fields: dict[str, Any] = {"is_lower_better": True, "range": (0, 1), "both_empty": 0, "one_empty": 1}
    return MetricPlugin(name="m", measure=measure, source="x", **{**fields, **changes})


def error_share(reference: np.ndarray, prediction: np.ndarray, spacing_mm: object) -> float:
    """Return the share of wrong voxels."""
    return float((reference != prediction).mean())


def destroy(reference: np.ndarray, prediction: np.ndarray, spacing_mm: object) -> float:
    reference[:] = False
    return 0.0


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (metric_of(error_share), set()),
        (metric_of(error_share, range=(1, 0)), {"range"}),
        (metric_of(error_share, is_lower_better=False), {"direction"}),
        (metric_of(error_share, one_empty=math.nan), {"empty masks"}),
        (metric_of(error_share, both_empty=2), {"empty masks"}),
        (metric_of(destroy), {"inputs"}),
    ],
)
def test_a_faulty_metric_fails_its_rule(plugin: MetricPlugin, rules: set[str]) -> None:
    assert failed(plugin) == rules


def test_a_score_outside_of_its_range_is_an_error() -> None:
    mask = np.ones((2, 2), bool)
    with pytest.raises(PluginError, match=r"metric 'm': found 3, expected a score in \[0, 1\]"):
        measure_plugin(metric_of(lambda *_: 3.0), mask, mask, spacing_mm=None)
    with pytest.raises(PluginError, match="metric 'm': ZeroDivisionError"):
        measure_plugin(metric_of(lambda *_: 1 / 0), mask, mask, spacing_mm=None)


def transform_of(function: Callable[..., Any]) -> TransformPlugin:
    return TransformPlugin(name="t", build=lambda: function, source="x")


@pytest.mark.parametrize(
    ("function", "rules"),
    [
        (lambda image, label, generator: (image, label.flip(0)), set()),
        (lambda image, label, generator: (image[:, :4], label), {"form"}),
        (lambda image, label, generator: (image, label.float()), {"form"}),
        (lambda image, label, generator: (image, label // 2), {"values"}),
        (lambda image, label, generator: (image / 0, label), {"values"}),
        (lambda image, label, generator: (image + torch.rand(()), label), {"seeded"}),
    ],
)
def test_a_faulty_transform_fails_its_rule(function: Callable[..., Any], rules: set[str]) -> None:
    assert failed(transform_of(function)) == rules


def test_the_plugins_of_a_protocol_are_built_once_for_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[tuple[str, float]] = []

    def counted(kind: str, result: Any) -> Callable[..., Any]:
        def build(*, strength: float = 1.0) -> Any:
            builds.append((kind, strength))
            return result

        return build

    plugins = {
        LossPlugin: LossPlugin(name="l", build=counted("loss", lambda logits, *_: logits.mean()), source="x"),
        TransformPlugin: TransformPlugin(name="t", build=counted("transform", lambda *both: both[:2]), source="x"),
        SchedulePlugin: SchedulePlugin(name="s", build=counted("schedule", lambda _: 1.0), source="x"),
    }
    for module in (plugin_loss, plugin_transforms, optimise):
        monkeypatch.setattr(module, "extension", lambda kind, _: plugins[kind])
    images, labels = torch.rand(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.uint8)
    steps: list[AugmentStep] = [
        PluginTransform(plugin="t", p=1.0),
        PluginTransform(plugin="t", p=1.0, strength=2.0),
    ]
    for step in range(3):
        augment(images, labels, steps, generator=torch.Generator())
        compute_loss(PluginLoss(plugin="l"), images, labels)
        schedule = PluginSchedule(plugin="s")
        optimise.learning_rate(schedule, 0.1, step=step, steps_per_epoch=3, epochs=1, validation_losses=())
    assert sorted(builds) == [("loss", 1.0), ("schedule", 1.0), ("transform", 1.0), ("transform", 2.0)]


class SignDescent(torch.optim.Optimizer):
    """Steps of one size, by a rate of its own or that of its groups."""

    def __init__(self, parameters: Any, lr: float, *, own_rate: bool = False, ascends: bool = False) -> None:
        super().__init__(parameters, {"lr": lr})
        self.own_rate, self.sign = own_rate, 1.0 if ascends else -1.0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                rate = 0.1 if self.own_rate else group["lr"]
                parameter.add_(self.sign * rate * parameter.grad.sign())


@pytest.mark.parametrize(
    ("changes", "rules"), [({}, set()), ({"own_rate": True}, {"rate"}), ({"ascends": True}, {"learns"})]
)
def test_a_faulty_optimiser_fails_its_rule(changes: dict[str, bool], rules: set[str]) -> None:
    def build(parameters: Any, *, lr: float) -> torch.optim.Optimizer:
        return SignDescent(parameters, lr, **changes)

    assert failed(OptimizerPlugin(name="o", build=build, source="x")) == rules


@pytest.mark.parametrize(
    ("function", "rules"),
    [
        (lambda time: 1 - time.step / time.steps, set()),
        (lambda time: 1 - time.step / 10, {"factor"}),
        (lambda time: float(np.random.default_rng().random()), {"factor"}),
    ],
)
def test_a_faulty_schedule_fails_its_rule(function: Callable[[TrainingTime], float], rules: set[str]) -> None:
    assert failed(SchedulePlugin(name="s", build=lambda: function, source="x")) == rules


def test_a_metric_that_benchbench_has_itself_is_set_aside(package: Path) -> None:
    (package / "my_extensions.py").write_text(MODULE.replace('name="volume_error"', 'name="hd95"'))
    installed = discover(["my_extensions"])
    assert installed.extensions["metrics"] == {}
    (broken,) = installed.broken
    assert (broken.name, broken.reason) == ("hd95", "benchbench has a metric 'hd95' itself")


def test_two_losses_of_one_name_are_set_aside(package: Path) -> None:
    twice = MODULE.replace("-> list[LossPlugin]:\n    return [", "-> list[LossPlugin]:\n    return 2 * [")
    (package / "my_extensions.py").write_text(twice)
    installed = discover(["my_extensions"])
    assert installed.extensions["losses"] == {}
    assert {broken.reason.partition(":")[0] for broken in installed.broken} == {"two plugins have this name"}
