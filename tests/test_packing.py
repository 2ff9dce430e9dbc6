"""Runs share a GPU by what the first run of their row needed, here on GPUs that a test makes up."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from carry import carry

from benchbench.cli import options
from benchbench.engine.cost.gpu_use import SharedGpu
from benchbench.errors import IntegrityError, UsageError
from benchbench.launch.attempts import REPEATED_ALONE
from benchbench.launch.machine import Machine, device_slots, most_per_device, threads_per_run
from benchbench.launch.packing import EVERY_SLOT, Need, Packing, sharing_of
from benchbench.launch.run_queue import RunQueue
from benchbench.launch.work_order import order_work
from benchbench.plan.run import RunKey

GIB = 2**30
CARD = SharedGpu("cuda:0", "Card", 16 * GIB, is_measured=True)


class Folder:
    """A run folder of which only the record is there."""

    def __init__(self) -> None:
        self.record: Any = None

    def read_record(self) -> Any:
        return self.record


@dataclass(frozen=True)
class Planned:
    """The fields of an assignment that queue and packing read."""

    key: RunKey
    digest: str
    folder: Folder = field(default_factory=Folder)
    members: tuple[Any, ...] = ()
    retries: tuple[str, ...] = ()
    runs_per_device: int = 0
    gpu_bytes: int | None = None


def planned(model: str, fold: int = 0) -> Any:
    return Planned(RunKey("discs", model, "default", fold, 0), f"{model}{fold}")


def end(run: Any, *, gib: float, busy: float, name: str = "Card", runs_per_device: int = 1) -> None:
    """Write the record of a run that needed so much."""
    cost = {"gpu_memory_bytes": int(gib * GIB), "gpu_busy": busy, "runs_per_device": runs_per_device}
    run.folder.record = SimpleNamespace(digest=run.digest, cost=cost, provenance={"name": name})


def packing_of(*runs: Any, gpus: tuple[SharedGpu, ...] = (CARD,)) -> Packing:
    return Packing(gpus, runs, most=4)


SLOT = ("cuda:0",)


def test_the_first_run_of_a_row_has_the_gpu_to_itself() -> None:
    first, second, other = planned("a"), planned("a", 1), planned("b")
    packing = packing_of(first, second, other)
    assert packing.admits(first, SLOT)
    assert packing.start(first, SLOT) == replace(first, runs_per_device=1)
    assert not packing.admits(second, SLOT)
    assert not packing.admits(other, SLOT)
    end(first, gib=2, busy=0.2)
    assert not packing.admits(second, SLOT)  # it is known what the first needs, but its time is still measured
    packing.end(first.key)
    assert packing.admits(second, SLOT)
    started = packing.start(second, SLOT)
    assert (started.runs_per_device, started.gpu_bytes) == (4, int(1.1 * 2 * GIB))
    assert not packing.admits(other, SLOT)  # the first of its row


@pytest.mark.parametrize(
    ("gib", "busy", "admitted"),
    [
        (5, 0.4, True),  # 2 x 5.5 of 16 GiB; the second finds 0.6 of the time
        (7, 0.4, True),
        (7.5, 0.4, False),  # 2 x 8.25 GiB
        (1, 0.66, True),  # 0.34 of the time is left, more than half of what the second needs
        (1, 0.68, False),
        (1, 1.0, False),
        (1, 0.0, True),
    ],
)
def test_a_run_joins_another_if_memory_and_half_of_its_time_are_left(
    gib: float, busy: float, *, admitted: bool
) -> None:
    first, second, third = (planned("a", fold) for fold in range(3))
    end(first, gib=gib, busy=busy)
    packing = packing_of(first, second, third)
    packing.start(second, SLOT)
    assert packing.admits(third, SLOT) is admitted


def test_a_run_that_needs_more_than_a_gpu_has_starts_on_an_idle_one() -> None:
    first, second = planned("a"), planned("a", 1)
    end(first, gib=40, busy=1.0)
    assert packing_of(first, second).admits(second, SLOT)


@pytest.mark.parametrize(
    "measured",
    [
        {"name": "Other card"},
        {"runs_per_device": 4},  # its time and memory are not those of a run alone
    ],
)
def test_another_gpu_or_a_shared_one_shows_nothing_of_the_needs(measured: dict[str, Any]) -> None:
    first, second, third = (planned("a", fold) for fold in range(3))
    end(first, gib=1, busy=0.1, **measured)
    packing = packing_of(first, second, third)
    packing.start(second, SLOT)
    assert not packing.admits(third, SLOT)


def test_a_record_without_use_or_of_other_settings_shows_nothing() -> None:
    first, second, third = (planned("a", fold) for fold in range(3))
    end(first, gib=1, busy=0.1)
    first.folder.record.digest = "of other settings"
    end(second, gib=1, busy=0.1)
    del second.folder.record.cost["gpu_busy"]
    packing = packing_of(first, second, third)
    assert packing.start(third, SLOT).runs_per_device == 1


def test_a_run_without_memory_is_repeated_without_a_limit_from_others() -> None:
    first, second = planned("a"), replace(planned("a", 1), retries=(REPEATED_ALONE,))
    end(first, gib=1, busy=0.1)
    started = packing_of(first, second).start(second, SLOT)
    assert (started.runs_per_device, started.gpu_bytes) == (1, None)


def test_gpus_are_filled_each_for_itself() -> None:
    gpus = (CARD, SharedGpu("cuda:1", "Small card", 4 * GIB, is_measured=True))
    first, second, third = (planned("a", fold) for fold in range(3))
    packing = packing_of(first, second, third, gpus=gpus)
    packing.start(first, SLOT)
    assert packing.admits(second, ("cuda:1",))
    packing.start(second, ("cuda:1",))
    end(first, gib=3, busy=0.3)
    packing.end(first.key)
    assert packing.start(third, SLOT).runs_per_device == 4
    assert not packing.admits(first, ("cuda:1",))  # nothing is known of this card


def test_a_cpu_next_to_gpus_takes_one_run_at_a_time() -> None:
    first, second, third = (planned("a", fold) for fold in range(3))
    end(first, gib=1, busy=0.1)
    packing = packing_of(first, second, third)
    assert packing.admits(second, ("cpu",))
    assert packing.start(second, ("cpu",)).runs_per_device == 1
    assert not packing.admits(third, ("cpu",))
    assert packing.admits(third, SLOT)


def test_a_damaged_record_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Folder) -> None:
        raise IntegrityError("not a run record")

    monkeypatch.setattr(Folder, "read_record", refuse)
    first = planned("a")
    assert packing_of(first).start(first, SLOT).runs_per_device == 1


class Gpus:
    """Made-up GPUs: what each run really needs, and what happens on them."""

    def __init__(self, needs: dict[str, tuple[float, float]]) -> None:
        self.needs = needs
        self.active: dict[str, list[Any]] = {"cuda:0": [], "cuda:1": []}
        self.most: Counter[str] = Counter()
        self.alone: list[str] = []
        self.problems: list[str] = []
        self.lock = threading.Lock()

    def carry_out(self, run: Any, device: str) -> None:
        active = self.active[device]
        with self.lock:
            active.append(run)
            self.most[device] = max(self.most[device], len(active))
            self.check(active)
        time.sleep(random.Random(run.digest).uniform(0.002, 0.02))  # noqa: S311
        with self.lock:
            self.check(active)
            active.remove(run)
            gib, busy = self.needs[run.key.model]
            end(run, gib=gib, busy=busy, runs_per_device=run.runs_per_device)
            if run.runs_per_device == 1:
                self.alone.append(run.key.model)

    def check(self, active: list[Any]) -> None:
        if len(active) > 1 and any(run.runs_per_device == 1 for run in active):
            self.problems.append("a run that is timed shares its GPU")
        if sum(self.needs[run.key.model][0] for run in active) > 16:
            self.problems.append("out of memory")


def test_a_benchmark_on_two_gpus_is_packed_and_every_row_is_timed_alone() -> None:
    needs = {"small": (1.0, 0.2), "middle": (4.0, 0.45), "large": (12.0, 0.9)}
    runs = [planned(model, fold) for model in needs for fold in range(12)]
    gpus = Gpus(needs)
    cards = (CARD, replace_device(CARD, "cuda:1"))
    run_queue = RunQueue(runs, Packing(cards, runs, most=4))

    def serve(device: str) -> None:
        while (run := run_queue.take((device,))) is not None:
            gpus.carry_out(run, device)
            run_queue.finish(run)

    threads = [
        threading.Thread(target=serve, args=(device,), daemon=True) for device in gpus.active for _ in "1234"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert gpus.problems == []
    assert set(gpus.alone) == set(needs)
    assert max(gpus.most.values()) > 1
    assert all(run.folder.record is not None for run in runs)


def replace_device(gpu: SharedGpu, device: str) -> SharedGpu:
    return gpu._replace(device=device)


def machine(**given: Any) -> Machine:
    fields = {"devices": ("cuda:0", "cuda:1"), "jobs": None, "cores": 16, "per_device": "auto"}
    gpus = (CARD, replace_device(CARD, "cuda:1"))
    fields = {**fields, "shared_gpus": gpus, **given}
    return Machine(results=Path(), cache=Path(), data_root=None, **fields)


def test_auto_has_slots_for_several_runs_with_a_core_each() -> None:
    assert device_slots(machine(), 1) == (("cuda:0",), ("cuda:1",)) * 4
    assert threads_per_run(machine()) == 2
    assert most_per_device(machine(cores=5)) == 2
    assert most_per_device(machine(cores=1)) == 1
    assert device_slots(machine(jobs=3), 1) == (("cuda:0",), ("cuda:1",), ("cuda:0",))


def test_runs_are_not_packed_on_a_cpu_in_this_process_or_in_several_processes() -> None:
    assert isinstance(sharing_of(machine(), [], processes=1), Packing)
    assert sharing_of(machine(), [], processes=2) is EVERY_SLOT
    assert device_slots(machine(), 2) == (("cuda:0", "cuda:1"),)
    assert sharing_of(machine(jobs=0), [], processes=1) is EVERY_SLOT
    assert sharing_of(machine(per_device=3), [], processes=1) is EVERY_SLOT
    on_cpu = machine(devices=("cpu",), shared_gpus=())
    assert sharing_of(on_cpu, [], processes=1) is EVERY_SLOT
    assert device_slots(on_cpu, 1) == (("cpu",),)


@pytest.mark.usefixtures("without_report")
def test_workers_of_a_benchmark_are_packed_after_the_first_run_of_each_row(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def need_of(assignment: Any, _gpu: str) -> Need | None:
        return None if assignment.folder.read_record() is None else Need(GIB, 0.2)

    monkeypatch.setattr("benchbench.launch.packing._measured_need", need_of)  # the device of the test is the CPU
    cpu = SharedGpu("cpu", "CPU", 16 * GIB, is_measured=True)
    options = {"per_device": "auto", "shared_gpus": (cpu,), "cores": 2, "jobs": None}
    _, records, _ = carry(benchmark_file, squares, tmp_path, machine_options=options)
    rows: dict[str, list[int]] = {}
    for record in records:
        assert record is not None
        assert record.status == "done"
        rows.setdefault(record.model, []).append(record.cost["runs_per_device"])
        assert "gpu_busy" not in record.cost
    assert rows == {model: [1, *[2] * (len(shared) - 1)] for model, shared in rows.items()}
    assert max(len(shared) for shared in rows.values()) > 1


@pytest.mark.parametrize(("per_device", "runs", "words"), [("auto", 1, ["auto"]), (2, 2, ["2"]), (1, 1, [])])
def test_launched_workers_pack_the_gpus_that_they_get(
    per_device: int | Literal["auto"], runs: int, words: list[str]
) -> None:
    plan: Any = SimpleNamespace(folder=SimpleNamespace(path=Path("results")), assignments=[], unfinished=[])
    given = machine(per_device=per_device, shared_gpus=())
    order = order_work(plan, given, device="auto", is_detached=True, print_line=print)
    assert order.runs_per_device == runs
    position = order.words.index("--per-device") if "--per-device" in order.words else len(order.words)
    assert list(order.words[position + 1 : position + 2]) == words


def test_auto_asks_for_the_package_that_measures_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchbench.extras.absent_modules", list)
    with pytest.raises(
        UsageError, match=r"^--per-device auto needs pynvml, which is not installed; pip install .*energy"
    ):
        options.choose_shared_gpus("auto", ("cuda:0",))


def test_a_gpu_whose_use_is_unknown_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slice_of_one = CARD._replace(device="cuda:1", is_measured=False)
    monkeypatch.setattr("benchbench.extras.absent_modules", lambda _: [])
    monkeypatch.setattr("benchbench.launch.child.call_in_child", lambda _: [CARD, slice_of_one])
    assert options.choose_shared_gpus("auto", ("cuda:0", "cuda:1")) == (CARD, slice_of_one)
    (note,) = capsys.readouterr().err.splitlines()
    assert note.startswith("note: --per-device auto: one run at a time on cuda:1, because its driver")
    assert options.choose_shared_gpus("auto", ("cpu",)) == options.choose_shared_gpus(2, ("cuda:0",)) == ()
