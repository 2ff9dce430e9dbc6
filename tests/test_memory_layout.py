"""The memory layout of volumes: which layers keep it, how it is chosen, and where it is recorded."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from carry import carry
from handmade_case import keep_volume
from torch import Tensor, nn
from toy_benchmark import PAIR, write_benchmark

from benchbench import Geometry
from benchbench.comparison.recipes import differences
from benchbench.engine.batches.patches import open_source
from benchbench.engine.devices.distributed import ALONE, Processes
from benchbench.engine.devices.settings import ComputeSettings
from benchbench.engine.network.memory_layout import has_choice_of_layout, layout_of, to_channels_last_3d
from benchbench.engine.network.network import move_to_device
from benchbench.engine.training.forward import ForwardPass
from benchbench.engine.training.train import Training, layout_of_state
from benchbench.engine.training.trial_step import Trial, try_steps
from benchbench.registry.registry import discover
from benchbench.report.page.evidence import _machine
from benchbench.run import first_steps, members
from benchbench.run.first_steps import get_steps_ready
from benchbench.spec.protocol import Protocol
from benchbench.tables.cost_tables import cost_table
from benchbench.tables.results import read_results

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
LAYOUT = torch.channels_last_3d
NNUNET = {"norm": "instance", "activation": "leaky_relu", "down": "stride", "deep_supervision": 1}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1),
        nn.InstanceNorm3d(4, affine=True),
        nn.LeakyReLU(inplace=True),
        nn.Dropout3d(0.2),
        nn.Conv3d(4, 4, 3, padding=1),
        nn.Conv3d(4, 1, 1),
    )


@contextmanager
def layouts(model: nn.Module) -> Iterator[dict[str, bool]]:
    """Yield, filled by the passes inside the block: layer and direction -> True if its tensor is channels_last_3d.

    The input of convolutions, and the gradient of their output; that of heads has the layout of the loss.
    """
    is_channels_last: dict[str, bool] = {}

    def remember(name: str, tensor: Tensor) -> None:
        # a half of a joined tensor is not dense, but has its channels next to each other
        is_channels_last[name] = tensor.is_contiguous(memory_format=LAYOUT) or tensor.stride(1) == 1

    def watch(name: str, output: Tensor) -> None:
        output.register_hook(lambda gradient: remember(f"{name} backward", gradient))

    handles = []
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            continue
        handles.append(module.register_forward_pre_hook(lambda _, inputs, name=name: remember(name, inputs[0])))
        if not name.startswith("heads"):
            handles.append(module.register_forward_hook(lambda _, __, output, name=name: watch(name, output)))
    yield is_channels_last
    for handle in handles:
        handle.remove()


def step(model: nn.Module, images: Tensor) -> list[Tensor]:
    heads = model(images)
    sum(head.square().mean() for head in heads).backward()
    return [*(head.detach() for head in heads), *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("params", [{}, {"residual": True}, {"attention": True}])
def test_every_convolution_of_the_3d_unet_keeps_the_layout_forward_and_backward(params: Mapping[str, Any]) -> None:
    geometry = Geometry(2, 1, (16, 32, 16))
    torch.manual_seed(0)
    model = discover().model("unet").build(geometry, widths=(4, 8, 8), **NNUNET, **params)
    other = to_channels_last_3d(copy.deepcopy(model))
    assert (layout_of(model), layout_of(other)) == ("contiguous", "channels_last_3d")
    assert list(model.state_dict()) == list(other.state_dict())
    images = torch.randn(2, 2, 16, 32, 16)
    with layouts(other) as is_channels_last:
        results = step(other, images.contiguous(memory_format=LAYOUT))
    assert len(is_channels_last) > 20
    assert [name for name, is_kept in is_channels_last.items() if not is_kept] == []
    for result, expected in zip(results, step(model, images), strict=True):
        # a value near zero may go the other way in an activation
        assert float((result - expected).norm()) <= 2e-3 * float(expected.norm()) + 1e-6


def test_networks_of_libraries_keep_the_layout() -> None:
    model = discover().model("nnunet_plain").build(Geometry(2, 1, (16, 16, 16)), widths=(4, 8, 8))
    with layouts(to_channels_last_3d(model)) as is_channels_last:
        model(torch.randn(2, 2, 16, 16, 16).contiguous(memory_format=LAYOUT)).mean().backward()
    assert len(is_channels_last) > 10
    assert all(is_kept for name, is_kept in is_channels_last.items() if "seg_layers" not in name)


def test_a_layout_is_chosen_for_volumes_on_a_gpu() -> None:
    slices = nn.Conv2d(2, 2, 3)
    assert has_choice_of_layout(network(), GPU)
    assert not has_choice_of_layout(network(), CPU)
    assert not has_choice_of_layout(slices, GPU)
    assert layout_of(slices.to(memory_format=torch.channels_last)) == "channels_last"
    assert layout_of(move_to_device(network(), CPU)) == "contiguous"


def choose(
    monkeypatch: pytest.MonkeyPatch,
    seconds: Mapping[str, float | Exception],
    *,
    model: nn.Module | None = None,
    processes: Processes = ALONE,
    gpu_bytes: int | None = None,
    other_loss: float = 1.0,
    **settings: Any,
) -> tuple[str, int | None, list[str | None]]:
    """The layout of the network, the memory of the training, and the layouts that were tried.

    `seconds` has the time of a step in each layout, or an error of it; steps in channels_last_3d take 2000 bytes,
    others 1000. The first loss is 1, and `other_loss` in channels_last_3d.
    """
    tried: list[str | None] = []

    def try_one(*_: Any, timed_layout: str | None = None, **__: Any) -> Trial:
        tried.append(timed_layout)
        spent = seconds.get(timed_layout or "", 1.0)
        if isinstance(spent, Exception):
            raise spent
        if timed_layout == "channels_last_3d":
            return Trial(2000, 0.0, spent, other_loss)
        return Trial(1000, 0.0, spent, 1.0)

    monkeypatch.setattr(first_steps, "geometry_of", lambda _: Geometry(1, 1, (8, 8, 8)))
    monkeypatch.setattr(first_steps, "try_steps", try_one)
    monkeypatch.setattr(first_steps, "weights_bytes", lambda _: 0)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (3000, 4000))
    assignment: Any = SimpleNamespace(
        settings=ComputeSettings(**settings),
        protocol=SimpleNamespace(keep=1, ema=None, world_size=1, batch=2, accumulate=1),
        regions=("a",),
        train=(SimpleNamespace(unlabelled_bits=0),),
        runs_per_device=1,
        gpu_bytes=gpu_bytes,
    )
    model = network() if model is None else model
    steps = get_steps_ready(assignment, model, GPU, processes)
    return layout_of(model), steps.memory_bytes, tried


BOTH = ["contiguous", "channels_last_3d"]
FASTER, SLOWER = {"contiguous": 1.0, "channels_last_3d": 0.9}, {"contiguous": 1.0, "channels_last_3d": 1.2}


def test_a_layout_that_is_clearly_faster_is_chosen_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, FASTER) == ("channels_last_3d", 2000, BOTH)
    assert choose(monkeypatch, SLOWER) == ("contiguous", 1000, BOTH)
    assert choose(monkeypatch, {"contiguous": 1.0, "channels_last_3d": 0.97}) == ("contiguous", 1000, BOTH)
    assert choose(monkeypatch, FASTER, keeps_data_on_gpu=False) == ("channels_last_3d", None, BOTH)


@pytest.mark.parametrize(
    ("loss", "chosen"), [(1.05, BOTH[1]), (1.2, BOTH[0]), (0.5, BOTH[0]), (math.nan, BOTH[0])]
)
def test_a_layout_with_another_loss_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch, loss: float, chosen: str
) -> None:
    layout, _, _ = choose(monkeypatch, FASTER, other_loss=loss)
    assert layout == chosen


def test_a_packed_run_takes_no_layout_with_more_memory_than_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, FASTER, gpu_bytes=2300) == ("channels_last_3d", 2000, BOTH)
    assert choose(monkeypatch, FASTER, gpu_bytes=2100) == ("contiguous", 1000, BOTH)


def test_a_layout_that_fails_or_takes_too_much_memory_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("view size is not compatible")):
        failing = {"contiguous": 1.0, "channels_last_3d": error}
        assert choose(monkeypatch, failing) == ("contiguous", 1000, BOTH)
        layout, _, _ = choose(monkeypatch, {"contiguous": error, "channels_last_3d": 0.1})
        assert layout == "contiguous"
    monkeypatch.setattr(first_steps, "_RESERVE", 1.6)  # 3200 of the 3000 bytes that are free
    assert choose(monkeypatch, FASTER) == ("contiguous", 1000, BOTH)


def test_nothing_is_timed_where_there_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, FASTER, deterministic=True) == ("contiguous", 1000, [None])
    slices = nn.Conv2d(2, 4, 3).to(memory_format=torch.channels_last)
    assert choose(monkeypatch, FASTER, model=slices) == ("channels_last", 1000, [None])


@pytest.mark.parametrize(("other", "expected"), [(True, "channels_last_3d"), (False, "contiguous")])
def test_all_processes_take_the_same_layout(
    monkeypatch: pytest.MonkeyPatch, expected: str, *, other: bool
) -> None:
    monkeypatch.setattr(Processes, "gather", lambda _, value: [value, other])
    assert choose(monkeypatch, FASTER, processes=Processes(0, 2))[0] == expected
    assert choose(monkeypatch, SLOWER, processes=Processes(0, 2))[0] == "contiguous"


def protocol() -> Protocol:
    fields = {
        "ndim": 3,
        "patch": (8, 8, 8),
        "epochs": 2,
        "batch": 2,
        "optimizer": {"name": "adam", "lr": 0.01},
        "loss": "bce+dice",
    }
    return Protocol.model_validate(fields)


def training(folder: Path, model: nn.Module) -> Training:
    rng = np.random.default_rng(0)
    cases = []
    for number in range(4):
        label = (rng.random((8, 10, 9)) > 0.5).astype(np.uint8)
        image = rng.standard_normal((1, 8, 10, 9)).astype(np.float16)
        cases.append(keep_volume(folder / str(number), image, label))
    sources = [open_source(part, protocol(), device=CPU) for part in (cases[:3], cases[3:])]
    return Training(model, *sources, protocol(), regions=("disc",))


def run(state: Training, epochs: int) -> Training:
    for _ in range(epochs):
        torch.manual_seed(len(state.history))
        state.run_epoch(torch.Generator().manual_seed(len(state.history)), progress=lambda _: None)
    return state


def test_trial_steps_time_a_copy_in_each_layout() -> None:
    model = network()
    forward = ForwardPass(protocol(), regions=1)
    trials = [try_steps(model, forward, channels=1, device=CPU, timed_layout=layout) for layout in BOTH]
    for trial in trials:
        assert (trial.memory_bytes, trial.step_seconds > 0) == (None, True)
    assert 0 < trials[0].loss < 10
    assert trials[0].loss == pytest.approx(trials[1].loss, rel=1e-4)
    assert layout_of(model) == "contiguous"


def test_a_layer_that_refuses_the_layout_in_eval_mode_is_noticed() -> None:
    class Flattening(nn.Conv3d):
        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                self.weight.view(-1)
            return super().forward(x)

    model = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), Flattening(4, 1, 3, padding=1))
    forward = ForwardPass(protocol(), regions=1)
    try_steps(model, forward, channels=1, device=CPU, timed_layout="contiguous")
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        try_steps(model, forward, channels=1, device=CPU, timed_layout="channels_last_3d")


def test_a_resumed_training_keeps_its_layout_and_equals_one_without_interruption(tmp_path: Path) -> None:
    whole = run(training(tmp_path, to_channels_last_3d(network())), 2)
    saved = run(training(tmp_path, to_channels_last_3d(network())), 1).save()
    assert layout_of_state(saved) == "channels_last_3d"
    assert layout_of_state(training(tmp_path, network()).save()) == "contiguous"
    assert layout_of_state(b"damaged") is None
    with pytest.raises(
        ValueError, match="memory layout of its weights: channels_last_3d; of the network: contiguous"
    ):
        training(tmp_path, network()).load(saved)
    resumed = training(tmp_path, to_channels_last_3d(network()))
    resumed.load(saved)
    run(resumed, 1)
    assert resumed.layout == "channels_last_3d"
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name]), name
    plain = run(training(tmp_path, network()), 1)
    assert plain.history[0]["train_loss"] == pytest.approx(whole.history[0]["train_loss"], rel=1e-3)


@pytest.mark.usefixtures("without_report")
def test_members_of_an_ensemble_predict_in_the_layout_that_they_were_trained_in(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[nn.Module] = []
    monkeypatch.setattr(Training, "layout", "channels_last_3d")
    monkeypatch.setattr(members, "has_choice_of_layout", lambda *_: True)
    monkeypatch.setattr(members, "to_channels_last_3d", converted.append)
    file = write_benchmark(tmp_path, PAIR)
    _, records, _ = carry(file, squares, tmp_path, "protocol.epochs=1", only=["fold=0"])
    done = [record for record in records if record is not None]
    layouts = [record.provenance.get("memory_layout") for record in done]
    assert layouts == ["channels_last_3d", "channels_last_3d", None], "an ensemble has no training of its own"
    assert len(converted) == 2


@pytest.mark.usefixtures("without_report")
def test_the_layout_is_in_the_record_and_older_records_are_read_without(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    folder, (record,), _ = carry(benchmark_file, squares, tmp_path, "protocol.epochs=1", only=["fold=0"])
    assert record is not None
    assert record.provenance["memory_layout"] == "contiguous"
    older = {key: value for key, value in record.provenance.items() if key != "memory_layout"}
    texts = []
    for provenance in (older, record.provenance, {**older, "memory_layout": "channels_last_3d"}):
        changed = replace(record, provenance=provenance)
        folder.run(record.key).write_record(changed)
        costs = cost_table(read_results(folder)).dropna(subset="precision")
        texts.append((*costs["memory_layout"], _machine(changed).partition(", ")[2]))
    (unknown, older_text), (layout, text), (other_layout, other_text) = texts
    assert (pd.isna(unknown), layout, other_layout) == (True, "contiguous", "channels_last_3d")
    assert older_text == text
    assert other_text == "fp32, channels_last_3d" + text.removeprefix("fp32")
    (difference,) = differences([record], [changed])
    assert difference == ("on.memory_layout", "contiguous", "channels_last_3d")
