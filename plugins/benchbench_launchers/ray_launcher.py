"""Ray: one `benchbench work` command for each task, on the CPUs and GPUs of this machine.

Ray listens on the local address alone, without its dashboard, its token file and its usage statistics. Events of
the workers are shown as they come. A worker that was killed is started again.

Source: Ray, https://docs.ray.io
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field

from benchbench import BenchbenchError, LauncherPlugin, UsageError, WorkOrder, hookimpl
from benchbench.cores import available_cores

Count = Annotated[int, Field(ge=1)]
Losses = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(gt=0)]
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_VARIABLES = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux, it makes Ray use 127.0.0.1 alone
    "RAY_raylet_start_wait_time_s": "300",  # a busy machine takes minutes
}
"""Settings that Ray reads while it is imported."""
_STOP_SECONDS = 60.0  # for the step under way and for saving the state


def launch(
    order: WorkOrder,
    *,
    workers: Count | None = None,
    cpus: Count = 1,
    gpus: Share | None = None,
    losses: Losses = 5,
    work_options: tuple[str, ...] = (),
) -> None:
    """Start workers as tasks of Ray and show their events until all have ended.

    workers: Most workers at the same time. Default: as many as the CPUs and GPUs of the machine suffice for.
    cpus: CPU cores of a worker.
    gpus: GPUs of a worker. Default: one for each process of a run, divided by `--per-device`; none without GPUs.
    losses: Number of workers that are started again after they were lost, all together.
    work_options: Further options of `benchbench work`, such as ["--scratch", "/local"].
    """
    ray = _start_ray()
    try:
        resources = ray.cluster_resources()
        share = _gpu_share(order, resources, gpus)
        count = _count_workers(order, resources, workers=workers, cpus=cpus, share=share)
        words = _command(order, cpus=cpus, share=share, count=count, more=work_options)
        task = ray.remote(num_cpus=cpus, num_gpus=share, max_retries=0, num_returns="streaming")(run_worker)
        _follow(ray, task, words, order, count=count, losses=losses)
    finally:
        ray.shutdown()


def _start_ray() -> Any:
    """Start Ray on this machine alone, and return its module.

    Raises:
        BenchbenchError: Ray did not start.
    """
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    import ray  # noqa: PLC0415 an extra, which takes a second to import

    try:
        ray.init(
            address="local",
            num_cpus=available_cores(),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:
        advice = "see its log in the folder ray among the temporary files of this machine"
        raise BenchbenchError(f"--launch ray: Ray did not start ({error}); {advice}") from error
    finally:
        for number, handler in handlers.items():  # Ray's own would end this command without a report
            signal.signal(number, handler)
    return ray


def run_worker(words: Sequence[str]) -> Iterator[str]:
    """Run one worker and yield the lines that it prints; when the task is cancelled, the worker saves its run.

    Raises:
        RuntimeError: a signal killed the worker, as the system does where memory runs out.
    """
    with subprocess.Popen(  # noqa: S603 the command of the order
        words,
        stdin=subprocess.PIPE,  # closed when this process dies, so that the worker ends, too
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
        start_new_session=True,
    ) as worker:
        assert worker.stdout is not None
        try:
            for line in worker.stdout:  # noqa: UP028 Ray calls `send` of what `yield from` delegates to
                yield line
        except BaseException:
            worker.send_signal(signal.SIGTERM)
            worker.wait(_STOP_SECONDS)
            raise
        code = worker.wait()
    if code < 0:
        raise RuntimeError(f"killed by signal {-code}")


def _gpu_share(order: WorkOrder, resources: dict[str, float], gpus: float | None) -> float:
    """Return the GPUs of a worker, as a fraction where runs share one.

    Raises:
        UsageError: the machine has too few GPUs, or they are not enough for the processes of a run.
    """
    available = resources.get("GPU", 0.0)
    if order.device == "cpu" or not available:
        return 0.0
    share = order.processes / order.runs_per_device if gpus is None else gpus
    if order.processes > 1:
        share = order.processes if gpus is None else gpus
        if share < order.processes:
            raise UsageError(
                f"--launch ray: gpus = {share:g}, but a run has {order.processes} processes, each with a GPU of"
                f" its own; set gpus to {order.processes} or protocol.world_size to 1"
            )
    if share > available:
        raise UsageError(
            f"--launch ray: a worker needs {share:g} GPUs, but Ray finds {available:g} on this machine; lower gpus"
            " or protocol.world_size"
        )
    return share


def _count_workers(
    order: WorkOrder, resources: dict[str, float], *, workers: int | None, cpus: int, share: float
) -> int:
    """Return the number of workers, not more than there are runs.

    Raises:
        UsageError: the machine has too few CPU cores for one worker.
    """
    available = int(resources.get("CPU", 0.0))
    if cpus > available:
        raise UsageError(f"--launch ray: cpus = {cpus}, but this process may use {available} cores; lower cpus")
    count = min(order.runs, available // cpus)
    if share:
        count = min(count, int(resources["GPU"] / share))
    return count if workers is None else min(count, workers)


def _command(order: WorkOrder, *, cpus: int, share: float, count: int, more: Sequence[str]) -> tuple[str, ...]:
    """Return the command of a worker that carries out one run at a time on its part of the machine."""
    sharing = count  # all of them use the CPU
    if share:
        sharing = max(1, int(1 / share))
    options = ("--jobs", "1", "--per-device", str(sharing), "--cores", str(cpus), "--end-with-stdin")
    return (*order.words, *options, *more)


def _follow(ray: Any, task: Any, words: tuple[str, ...], order: WorkOrder, *, count: int, losses: int) -> None:
    """Pass on the lines of all workers, and start those again that were lost."""
    streams = [task.remote(words) for _ in range(count)]
    try:
        while streams:
            ready, _ = ray.wait(streams, num_returns=1)
            (stream,) = ready
            try:
                line = ray.get(next(stream))
            except StopIteration:
                streams.remove(stream)
            except ray.exceptions.RayError as error:
                streams.remove(stream)
                order.print_line(f"a worker was lost ({_describe_loss(error)})")
                if losses:
                    losses -= 1
                    streams.append(task.remote(words))
            else:
                order.print_line(line)
    except BaseException:
        _stop(ray, streams)
        raise


def _describe_loss(error: Exception) -> str:
    """Return how a worker ended, or the name of Ray's error where Ray lost the process of the task, too."""
    cause = getattr(error, "cause", None)
    return type(error).__name__ if cause is None else str(cause)


def _stop(ray: Any, streams: Sequence[Any]) -> None:
    """Cancel the workers and wait until they have saved their runs."""
    for stream in streams:
        ray.cancel(stream, force=False)
    completed = [stream.completed() for stream in streams]
    ray.wait(completed, num_returns=len(completed), timeout=_STOP_SECONDS)


@hookimpl
def benchbench_launchers() -> list[LauncherPlugin]:
    return [
        LauncherPlugin(
            name="ray",
            launch=launch,
            source="https://docs.ray.io",
            is_detached=False,
            needs=("ray",),
            extra="ray",
        )
    ]
