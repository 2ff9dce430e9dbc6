"""Training steps compiled by torch: what is compiled, what is recorded, and what happens where it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from carry import carry
from commands import benchbench
from safetensors.torch import load_file
from test_train import protocol, run, training
from torch import Tensor, nn

from benchbench.cli.run import BenchmarkEnd, Surroundings
from benchbench.engine.devices.distributed import Processes
from benchbench.engine.devices.settings import ComputeSettings
from benchbench.engine.training.forward import ForwardPass, choose_compiled, set_up_compiler
from benchbench.engine.training.train import Training
from benchbench.engine.training.trial_step import try_steps
from benchbench.launch.machine import Machine, settings_of_runs
from benchbench.launch.work_order import order_work
from benchbench.run.resumable_training import resume_tag
from benchbench.tables.cost_tables import cost_table
from benchbench.tables.results import read_results

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
AUTO = ComputeSettings(compile="auto")
RUN = Path("runs") / "squares" / "plain" / "default" / "fold0_seed0"
Compiler = Callable[[Callable[..., Any]], Callable[..., Any]]


def compile_with(monkeypatch: pytest.MonkeyPatch, compiler: Compiler) -> None:
    """Let another function take the place of torch's compiler, which takes a minute."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiler(function))
    monkeypatch.setattr("benchbench.run.first_steps.set_up_compiler", lambda *_, **__: None)
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)


def refuse(_: Callable[..., Any]) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise RuntimeError("no C++ compiler\nis installed")

    return fail


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / RUN / name).read_bytes() for name in ("cases.parquet", "best.safetensors")}


def test_full_batches_are_compiled_and_the_others_computed_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(training(tmp_path), 1)
    sizes: list[int] = []

    def remember(function: Callable[..., Any]) -> Callable[..., Any]:
        def compute(model: nn.Module, images: Tensor, labels: Tensor) -> Any:
            sizes.append(len(images))
            return function(model, images, labels)

        return compute

    compile_with(monkeypatch, remember)
    compiled = training(tmp_path)
    compiled = Training(
        compiled.model,
        compiled.train_source,
        compiled.validation_source,
        compiled.protocol,
        regions=compiled.regions,
        forward=ForwardPass(compiled.protocol, regions=1, compiled="on"),
    )
    run(compiled, 1)
    assert sizes == [3, 3], "of eight samples in batches of three, the last two are a smaller batch"
    for name, value in plain.history[0].items():
        if "seconds" not in name:
            assert compiled.history[0][name] == value


@pytest.mark.parametrize(
    ("requested", "device", "changes", "expected"),
    [
        ("off", GPU, {}, "off"),
        ("auto", GPU, {}, "on"),
        ("graph", GPU, {}, "graph"),
        ("graph", CPU, {}, "on"),
        ("graph", GPU, {"batch": 4, "accumulate": 2}, "on"),
        ("graph", GPU, {"batch": 4, "world_size": 2}, "on"),
    ],
)
def test_graphs_are_recorded_on_a_gpu_for_steps_of_one_pass(
    requested: Any, device: torch.device, changes: dict[str, Any], expected: str
) -> None:
    assert choose_compiled(requested, protocol(**changes), device) == expected


@pytest.mark.parametrize(
    ("changes", "processes", "size"),
    [
        ({"batch": 3}, Processes(), 3),
        ({"batch": 4, "accumulate": 2}, Processes(), 2),
        ({"batch": 4}, Processes(1, 2), 2),
    ],
)
def test_the_compiled_size_is_that_of_a_pass_in_a_full_batch(
    changes: dict[str, Any], processes: Processes, size: int
) -> None:
    assert ForwardPass(protocol(**changes), regions=1, processes=processes).size == size


def test_trial_steps_change_neither_the_network_nor_the_random_draws(tmp_path: Path) -> None:
    state = training(tmp_path)
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    draws = torch.get_rng_state()
    trial = try_steps(state.model, state.forward, channels=1, device=CPU)
    assert trial.memory_bytes is None
    assert torch.equal(torch.get_rng_state(), draws)
    for name, tensor in state.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.usefixtures("without_report")
def test_where_the_compiler_fails_a_run_gives_the_bytes_of_one_without(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = ("protocol.epochs=2",)
    plain, (expected,), _ = carry(benchmark_file, squares, tmp_path / "off", *sets, only=["fold=0"])
    compile_with(monkeypatch, refuse)
    folder, (record,), recorder = carry(
        benchmark_file, squares, tmp_path / "auto", *sets, only=["fold=0"], settings=AUTO
    )
    assert expected is not None
    assert record is not None
    assert record.digest == expected.digest
    assert files(folder.path) == files(plain.path)
    remark = "the training steps were not compiled, because the compiler failed: RuntimeError: no C++ compiler"
    assert record.remarks == (*expected.remarks, remark)
    assert remark in [getattr(event, "remark", "") for _, event in recorder.events]
    for done in (expected, record):
        assert (done.provenance["compiled"], done.cost["compile_seconds"]) == ("off", None)
    assert cost_table(read_results(folder))["precision"].dropna().tolist() == ["fp32"]
    folder.run(record.key).write_record(replace(record, provenance={**record.provenance, "compiled": "on"}))
    assert cost_table(read_results(folder))["precision"].dropna().tolist() == ["fp32, compiled"]


@pytest.mark.usefixtures("without_report")
def test_a_model_that_its_plugin_excludes_is_not_compiled(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_with(monkeypatch, refuse)
    registry = mock.Mock()
    registry.model.return_value.compiles = False
    monkeypatch.setattr("benchbench.run.first_steps.discover", lambda _: registry)
    _, (record,), _ = carry(benchmark_file, squares, tmp_path, "protocol.epochs=1", only=["fold=0"], settings=AUTO)
    assert record is not None
    assert record.remarks[-1] == "the training steps of plain are not compiled, because its plugin excludes it"


def test_a_state_of_compiled_steps_is_not_resumed_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_with(monkeypatch, lambda function: function)
    plain = training(tmp_path)
    compiled = training(tmp_path)
    compiled._step.forward = ForwardPass(compiled.protocol, regions=1, compiled="on")
    compiled.compile_seconds = 4.0
    compiled.load(compiled.save())
    assert compiled.compile_seconds == 4.0, "a state before the first step has spent nothing"
    run(compiled, 1)
    with pytest.raises(ValueError, match="compilation of its steps: on; of those to come: off"):
        plain.load(compiled.save())
    with pytest.raises(ValueError, match="compilation of its steps: off; of those to come: on"):
        compiled.load(plain.save())
    again = training(tmp_path)
    again._step.forward = compiled.forward
    again.compile_seconds = 1.0
    again.load(compiled.save())
    assert again.spent()["compile_seconds"] == 5.0
    tags = set()
    for requested in ("off", "auto", "graph"):
        assignment = mock.Mock(device="cpu", digest="a", data_digest="b", split_digest="c")
        assignment.settings = ComputeSettings(compile=requested)  # type: ignore[arg-type]
        tags.add(resume_tag(assignment))
    assert len(tags) == 3


def test_the_option_reaches_runs_and_workers(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines: list[Machine] = []

    def record(plan: object, surroundings: Surroundings) -> BenchmarkEnd:
        machines.append(surroundings.machine)
        return BenchmarkEnd(0, "")

    monkeypatch.setattr("benchbench.cli.run._carry_out", record)
    words = ["run", benchmark_file, "--data-root", squares, "--cache", tmp_path / "cache"]
    cwd = benchmark_file.parent
    assert benchbench(*words, "--compile", "graph", cwd=cwd).returncode == 0
    assert benchbench(*words, cwd=cwd, BENCHBENCH_COMPILE="auto").returncode == 0
    (cwd / "benchbench.toml").write_text('compile = "auto"\n')
    assert benchbench(*words, cwd=cwd).returncode == 0
    assert benchbench(*words, "--compile", "off", cwd=cwd).returncode == 0
    assert [machine.settings.compile for machine in machines] == ["graph", "auto", "auto", "off"]
    assert settings_of_runs(machines[0]).compile_cache == tmp_path / "cache" / "compiled"
    assert settings_of_runs(machines[-1]).compile_cache is None
    planned = mock.Mock(unfinished=[], assignments=[])
    planned.folder.path = tmp_path
    orders = [order_work(planned, one, device="cpu", is_detached=True, print_line=print) for one in machines]
    assert ["--compile" in order.words for order in orders] == [True, True, True, False]
    done = benchbench(*words, "--compile", "on", cwd=cwd)
    assert (done.returncode, "'on' is not one of 'off', 'auto', 'graph'" in done.stderr) == (2, True)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")  # of the compiler, about a call of time.sleep in the network
@pytest.mark.usefixtures("without_report")
def test_a_compiled_run_has_the_results_of_another_up_to_rounding(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    sets = ("protocol.epochs=2", 'protocol.optimizer={ name = "sgd", lr = 0.1, momentum = 0.9 }')
    plain, _, _ = carry(benchmark_file, squares, tmp_path / "off", *sets, only=["fold=0"])
    folder, (record,), _ = carry(benchmark_file, squares, tmp_path / "auto", *sets, only=["fold=0"], settings=AUTO)
    assert record is not None
    assert (record.status, record.provenance["compiled"]) == ("done", "on"), record.remarks
    seconds = record.cost["compile_seconds"]
    assert 0 < record.cost["train_seconds"] < seconds < record.seconds
    weights = load_file(folder.path / RUN / "best.safetensors")
    for name, expected in load_file(plain.path / RUN / "best.safetensors").items():
        torch.testing.assert_close(weights[name], expected, rtol=0, atol=1e-5)
    assert list((tmp_path / "auto" / "cache" / "compiled").rglob("*.so"))
    listed = benchbench("data", "cache", "ls", "--cache", tmp_path / "auto" / "cache", cwd=tmp_path).stdout
    assert "compiled" in listed


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("without_report")
def test_two_processes_compile_the_network_alone(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchbench.launch.machine.available_cores", lambda: 2)
    sets = (
        "models.plain.norm=false",
        "protocol.batch=2",
        "protocol.world_size=2",
        'protocol.optimizer={ name = "sgd", lr = 0.1, momentum = 0.9 }',
    )
    plain, _, _ = carry(benchmark_file, squares, tmp_path / "off", *sets, only=["fold=0"], jobs=1)
    folder, (record,), _ = carry(
        benchmark_file, squares, tmp_path / "auto", *sets, only=["fold=0"], jobs=1, settings=AUTO
    )
    assert record is not None
    assert (record.status, record.provenance["compiled"]) == ("done", "on"), (record.reason, record.remarks)
    weights = load_file(folder.path / RUN / "best.safetensors")
    for name, expected in load_file(plain.path / RUN / "best.safetensors").items():
        torch.testing.assert_close(weights[name], expected, rtol=0, atol=1e-5)


def test_graphs_are_asked_for_and_know_where_a_step_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: list[dict[str, Any]] = []
    begun: list[int] = []

    def remember(function: Callable[..., Any], **named: Any) -> Callable[..., Any]:
        options.append(named)
        return function

    monkeypatch.setattr(torch, "compile", remember)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(1))
    state = training(tmp_path)
    state._step.forward = ForwardPass(state.protocol, regions=1, compiled="graph")
    run(state, 1)
    assert options == [{"mode": "reduce-overhead", "dynamic": False}]
    assert len(begun) == 2, "the last, smaller batch is no graph"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")  # of the compiler
def test_a_compiled_training_resumes_with_the_bytes_of_one_without_interruption(tmp_path: Path) -> None:
    def start() -> Training:
        state = training(tmp_path)
        set_up_compiler(tmp_path / "compiled", threads=1)
        state._step.forward = ForwardPass(state.protocol, regions=1, compiled="on")
        try_steps(state.model, state.forward, channels=1, device=CPU)
        return state

    whole = run(start(), 2)
    first = run(start(), 1)
    second = start()
    second.load(first.save())
    run(second, 1)
    plain = run(training(tmp_path), 2)
    for name, expected in whole.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], expected), name
    losses = [[row["train_loss"] for row in state.history] for state in (plain, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4), "dropout draws the same with and without the compiler"
