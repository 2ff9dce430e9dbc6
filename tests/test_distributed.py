from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from carry import carry
from safetensors.torch import load_file
from test_patches import protocol as volume_protocol
from test_patches import volume
from torch import Tensor

from benchbench.engine.augmentation.augment import augment
from benchbench.engine.batches.patches import Patches
from benchbench.engine.devices.distributed import ALONE, Part, Processes
from benchbench.errors import SpecError, UsageError
from benchbench.launch.machine import Machine, check_processes, device_slots
from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder

pytestmark = pytest.mark.usefixtures("without_report")

TWO = (Processes(0, 2), Processes(1, 2))
EQUAL = (
    "models.plain.norm=false",
    "protocol.batch=2",
    'protocol.optimizer={ name = "sgd", lr = 0.1, momentum = 0.9 }',
    'protocol.augment=[{ name = "flip" }, { name = "rotate", degrees = 20.0 }, { name = "noise", sigma = [0.0, 0.1] }]',
)


def key() -> RunKey:
    return RunKey("squares", "plain", "default", 0, 0)


def weights(folder: ResultsFolder) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = load_file(folder.run(key()).path / "best.safetensors")
    return tensors


def history(folder: ResultsFolder) -> pd.DataFrame:
    return pd.read_csv(folder.run(key()).path / "history.csv").drop(columns=["seconds", "cpu_seconds"])


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchbench.launch.machine.available_cores", lambda: 2)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread", "without_report")
def test_two_processes_train_as_one_does_with_the_same_batch(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    # three slices in batches of two: they become one batch, in which the processes have unequal parts
    one, _, _ = carry(benchmark_file, squares, tmp_path / "one", *EQUAL, only=["fold=0"])
    (tmp_path / "two").mkdir()
    two, (record,), recorder = carry(
        benchmark_file, squares, tmp_path / "two", "protocol.world_size=2", *EQUAL, only=["fold=0"], jobs=1
    )
    assert record is not None
    assert (record.status, record.reason) == ("done", "")
    assert record.resolved["protocol"]["world_size"] == record.provenance["world_size"] == 2
    assert record.provenance["threads"] == 1
    (remark,) = record.remarks
    assert remark.startswith("the last batch of every epoch had 3 samples and not 2, because 1 left over")
    assert any("loss" in getattr(event, "note", "") for _, event in recorder.events)
    expected, actual = weights(one), weights(two)
    assert expected.keys() == actual.keys()
    for name, values in expected.items():
        torch.testing.assert_close(actual[name], values, rtol=0, atol=1e-5)
    pd.testing.assert_frame_equal(history(two), history(one), rtol=1e-4)
    assert [path.name for path in two.run(key()).path.glob("best*")] == ["best.safetensors"]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread", "without_report")
@pytest.mark.parametrize(
    ("explode", "reason"),
    [
        ("second raise", "process 2 of 2: RuntimeError: the model fell over (see worker.log)"),
        ("second kill", "process 2 of 2: killed by signal 9 (SIGKILL) (see worker.log)"),
    ],
)
def test_a_process_that_dies_ends_the_run_with_its_reason(
    benchmark_file: Path, squares: Path, tmp_path: Path, explode: str, reason: str
) -> None:
    sets = ["protocol.world_size=2", f"models.plain.explode={explode}"]
    _, (record,), _ = carry(benchmark_file, squares, tmp_path, *sets, only=["fold=0"], jobs=1)
    assert record is not None
    assert (record.status, record.reason) == ("failed", reason)


def test_a_batch_that_does_not_divide_is_refused_at_planning(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match="batch is 4, expected a multiple of world_size, which is 3") as caught:
        carry(benchmark_file, squares, tmp_path, "protocol.world_size=3")
    assert len(caught.value.problems) == 1


def test_several_processes_inside_this_one_are_refused(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"^--jobs 0: runs in one process, but protocol.world_size is 2; .*$"):
        carry(benchmark_file, squares, tmp_path, "protocol.world_size=2")
    assert not (tmp_path / "cache").exists()


def machine(*devices: str, jobs: int | None = None) -> Machine:
    return Machine(results=Path(), cache=Path(), data_root=None, devices=devices, jobs=jobs)


@pytest.mark.parametrize("devices", [("cuda:0",), ("cuda:0", "cuda:0"), ("cpu", "cuda:0")])
def test_fewer_gpus_than_processes_are_refused(devices: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="expected cpu alone or 2 GPUs"):
        check_processes(machine(*devices), 2)


def test_every_process_of_a_run_has_a_gpu_of_its_own_and_shares_the_cpu() -> None:
    gpus = tuple(f"cuda:{number}" for number in range(5))
    assert device_slots(machine(*gpus), 2) == (("cuda:0", "cuda:1"), ("cuda:2", "cuda:3"))
    assert device_slots(machine(*gpus[:3], jobs=2), 3) == (gpus[:3], gpus[:3])
    assert device_slots(machine("cpu"), 2) == (("cpu", "cpu"),)
    assert device_slots(machine("cuda:0", "cuda:0"), 1) == (("cuda:0",), ("cuda:0",))


@pytest.mark.parametrize("promise", [None, False, True])
def test_processes_look_for_idle_weights_unless_the_model_promises_that_it_has_none(
    monkeypatch: pytest.MonkeyPatch, promise: bool | None
) -> None:
    options: dict[str, Any] = {}
    monkeypatch.setattr("torch.nn.parallel.DistributedDataParallel", lambda _, **given: options.update(given))
    model = torch.nn.Conv2d(1, 1, 1)
    if promise is not None:
        model.uses_all_parameters = promise
    TWO[0].parallel(model, lambda *_: None)
    assert options["find_unused_parameters"] is not (promise is True)


def test_parts_make_up_the_batch_and_a_process_without_a_sample_counts_none() -> None:
    processes = [Processes(rank, 3) for rank in range(3)]
    parts = [process.part(6) for process in processes]
    assert [(part.samples.start, part.samples.stop) for part in parts] == [(0, 2), (2, 4), (4, 6)]
    assert [process.weight(part) for process, part in zip(processes, parts, strict=True)] == [1, 1, 1]
    parts = [process.part(2) for process in processes]
    assert [part.counted for part in parts] == [0, 1, 1]
    assert all(part.samples.stop - part.samples.start == 1 for part in parts)
    assert [process.weight(part) for process, part in zip(processes, parts, strict=True)] == [0, 1.5, 1.5]
    assert ALONE.part(5) == Part(5, slice(0, 5), 5)


@pytest.mark.parametrize("space", [(12, 12), (8, 8, 8)])
def test_what_is_drawn_for_a_part_is_what_is_drawn_for_it_in_the_whole(space: tuple[int, ...]) -> None:
    moves: tuple[Any, ...] = ({"name": "flip"}, {"name": "shift", "fraction": 0.2})
    tints = ({"name": "noise", "sigma": (0.1, 0.2)}, {"name": "gamma", "range": (0.5, 2.0)})
    steps = volume_protocol(
        augment=(*moves, *tints)
    ).augment  # which are checked against the patch only when planned
    images = torch.rand(4, 1, *space, generator=torch.Generator().manual_seed(0))
    labels = (images[:, 0] > 0.5).to(torch.uint8)
    whole, whole_labels = augment(images, labels, steps, generator=torch.Generator().manual_seed(1))
    for part in (process.part(4) for process in TWO):
        generator = torch.Generator().manual_seed(1)
        images_of_part, labels_of_part = augment(
            images[part.samples], labels[part.samples], steps, generator=generator, part=part
        )
        assert torch.equal(images_of_part, whole[part.samples])
        assert torch.equal(labels_of_part, whole_labels[part.samples])


def test_the_patches_of_a_part_are_those_of_the_whole(tmp_path: Path) -> None:
    cases = [volume(tmp_path / name, 6, 7, 8) for name in ("a", "b")]
    source = Patches(cases, volume_protocol(), device=torch.device("cpu"))
    numbers = torch.tensor([0, 1, 1, 0])

    def drawn(part: Part | None) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return source.batch(numbers, generator=generator, part=part)[0].clone()

    assert torch.equal(torch.cat([drawn(process.part(4)) for process in TWO]), drawn(None))
