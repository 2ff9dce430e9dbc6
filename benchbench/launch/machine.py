"""The folders, devices and options of a `benchbench run`, and the devices of runs that share the machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchbench.cores import available_cores
from benchbench.data.cache import COMPILED_FOLDER
from benchbench.engine.cost.gpu_use import SharedGpu
from benchbench.engine.devices.settings import DEFAULT_SETTINGS, ComputeSettings
from benchbench.errors import UsageError

Slot = tuple[str, ...]
"""The devices of one run at a time: one for each of its processes."""
_MOST_PACKED = 4
"""Most runs on a GPU: each of them also takes memory of the machine, which is not measured before."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The folders, devices and options of a plan that is carried out."""

    results: Path
    cache: Path
    data_root: Path | None
    devices: tuple[str, ...]
    jobs: int | None
    """Number of runs at the same time; None for one per device, 0 for runs in this process."""
    per_device: int | Literal["auto"] = 1
    """Number of runs that share each device; auto for as many as fit each of `shared_gpus`."""
    shared_gpus: tuple[SharedGpu, ...] = ()
    """The GPUs that runs share by what they need; none where `per_device` is a number, and on a CPU."""
    cores: int | None = None
    """Number of CPU cores for all runs together; None for all that this process may use."""
    settings: ComputeSettings = DEFAULT_SETTINGS
    """The way in which each run is computed."""
    compress_cache: bool = False
    """True if prepared cases are compressed on disk; runs then keep them in memory."""
    check_data: bool = False
    """True if every file of the datasets is read for its digest, whatever earlier commands stored."""
    save_predictions: bool = False
    """True if runs write their predictions as NIfTI files."""
    pictures: bool = True
    """True if the report shows galleries of test cases."""


def settings_of_runs(machine: Machine) -> ComputeSettings:
    """Return the way in which each run is computed; runs that are compiled share a folder of the cache."""
    if machine.settings.compile == "off":
        return machine.settings
    return replace(machine.settings, compile_cache=machine.cache.absolute() / COMPILED_FOLDER)


def threads_per_run(machine: Machine, processes: int = 1) -> int:
    """Return each run's share of the cores, for all of its processes together."""
    runs = max(1, len(device_slots(machine, processes)))
    cores = machine.cores or available_cores()
    return max(1, cores // runs)


def most_per_device(machine: Machine, processes: int = 1) -> int:
    """Return the largest number of runs that share a device.

    Runs that are packed have a core each; those of several processes are not packed.
    """
    if machine.per_device != "auto":
        return machine.per_device
    if not machine.shared_gpus or processes > 1:
        return 1
    cores = machine.cores or available_cores()
    return max(1, min(_MOST_PACKED, cores // len(machine.devices)))


def device_slots(machine: Machine, processes: int) -> tuple[Slot, ...]:
    """Return the devices of each run that can be active at the same time."""
    devices = machine.devices * most_per_device(machine, processes)
    if processes > 1:  # no device twice within a run
        devices = tuple(dict.fromkeys(devices))
    count = machine.jobs
    if count is None:
        count = max(1, len(devices) // processes)
    slots = []
    for number in range(count):
        first = number * processes
        slots.append(tuple(devices[(first + rank) % len(devices)] for rank in range(processes)))
    return tuple(slots)


def check_processes(machine: Machine, processes: int) -> None:
    """Refuse runs with more processes than GPUs; a CPU serves any number.

    Raises:
        UsageError: with the option to change.
    """
    if processes == 1:
        return
    if machine.jobs == 0:
        raise UsageError(
            f"--jobs 0: runs in one process, but protocol.world_size is {processes}; leave --jobs out or set"
            " protocol.world_size to 1"
        )
    devices = set(machine.devices)
    if devices != {"cpu"} and ("cpu" in devices or len(devices) < processes):
        raise UsageError(
            f"--device {','.join(machine.devices)}: expected cpu alone or {processes} GPUs, one for each"
            " process of a run; give more devices or lower protocol.world_size"
        )
