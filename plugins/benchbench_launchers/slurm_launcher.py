"""SLURM through submitit: an array of `benchbench work` commands, which needs the submitting command no longer.

Before its time limit, a job gets SIGUSR1: its worker saves the run and ends, and the job is queued again and
continues.
The cluster "local" of submitit starts the same jobs as processes of this machine.

Source: submitit, https://github.com/facebookincubator/submitit
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from benchbench import LauncherPlugin, UsageError, WorkOrder, hookimpl

Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
_MARGIN = 1.5  # of time and memory over what was measured
_START_MINUTES = 10
_MINUTES = 8 * 60  # a limit that is too short costs a restart: the job is queued again
_MEMORY_GB = 16
_LEAST_MEMORY_GB = 2
_IDLE_SECONDS = 60  # after a run of a lost worker could have been taken over
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.2
_SOME = 8
_ENDS = {0, 1, 128 + signal.SIGTERM, 128 + signal.SIGUSR1}
"""Exit codes of a worker that found no further runs to do, all done or not, or that a signal has stopped."""


@dataclass
class WorkJob:
    """A job that runs one worker; submitit pickles it and calls `checkpoint` before the time limit."""

    words: tuple[str, ...]
    _worker: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __call__(self) -> int:
        """Run the worker and return its exit code: 0, 1, or that of a worker that a signal stopped.

        SLURM sends the signal that cancels a job, or queues it again, to the worker as well.

        Raises:
            RuntimeError: the worker could not start or was killed; the job then counts as failed.
        """
        words = [os.path.expandvars(word) for word in self.words]
        self._worker = subprocess.Popen(words)  # noqa: S603 the command of the order
        # `wait` would keep `checkpoint`, a signal handler, from waiting
        while (code := self._worker.poll()) is None:
            time.sleep(_POLL_SECONDS)
        if code not in _ENDS:
            raise RuntimeError(f"the worker ended with exit code {code}; the log of the job has its last lines")
        return code

    def checkpoint(self) -> Any:
        """End the worker, which saves its run, and return the job that continues it."""
        import submitit  # noqa: PLC0415 an extra

        if self._worker is not None:
            self._worker.terminate()
            try:
                self._worker.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._worker.kill()
        return submitit.helpers.DelayedSubmission(WorkJob(self.words))


def launch(  # noqa: PLR0913 as many as the launcher has options
    order: WorkOrder,
    *,
    cluster: Literal["slurm", "local"] = "slurm",
    partition: str = "",
    minutes: Count | None = None,
    memory_gb: Count | None = None,
    cpus: Count = 4,
    gpus: NonNegative | None = None,
    max_jobs: Count = 100,
    min_minutes: Count = 10,
    signal_seconds: Count = 120,
    requeues: NonNegative = 100,
    sbatch: dict[str, str | int | bool] = {},  # noqa: B006 never changed
    work_options: tuple[str, ...] = (),
) -> None:
    """Submit an array of workers.

    cluster: "slurm", or "local" for processes of this machine that are started in the same way.
    partition: Partition of SLURM. Default: that of the site.
    minutes: Time limit of a job. Default: from finished runs of the same models, else 480.
    memory_gb: Memory of a job. Default: from finished runs of the same models on a CPU, else 16.
    cpus: CPU cores of a job.
    gpus: GPUs of a job. Default: one for each process of a run; none with `--device cpu`.
    max_jobs: Most jobs at the same time.
    min_minutes: Least time that a job should last: short runs are bundled into fewer jobs.
    signal_seconds: Time between the signal and the time limit.
    requeues: Number of times that a job is queued again after it reached its time limit.
    sbatch: Further options of sbatch, such as { account = "lab", gres = "shard:1" }.
    work_options: Further options of `benchbench work`; variables such as $SLURM_JOB_ID are those of the job.
    """
    gpus_per_job = _gpus_per_job(order, gpus)
    jobs = count_jobs(order, max_jobs=max_jobs, min_minutes=min_minutes)
    time_limit = minutes or job_minutes(order, jobs, min_minutes=min_minutes)
    parameters: dict[str, Any] = {"name": "benchbench", "cpus_per_task": cpus, "timeout_min": time_limit}
    if gpus_per_job:
        parameters["gpus_per_node"] = gpus_per_job
    if cluster == "slurm":
        parameters |= {
            "mem_gb": memory_gb or job_memory_gb(order),
            "slurm_array_parallelism": max_jobs,
            "slurm_signal_delay_s": signal_seconds,
            "slurm_additional_parameters": {"requeue": True, **sbatch},
        }
        if partition:
            parameters["slurm_partition"] = partition
    wait = math.ceil(order.takeover_seconds + _IDLE_SECONDS)
    job = WorkJob((*order.words, "--wait", str(wait), "--cores", str(cpus), *work_options))
    logs = order.folder / "slurm"
    ids = _submit(job, jobs, logs, cluster=cluster, parameters=parameters, requeues=requeues)
    order.print_line(_describe(ids, cluster, logs=str(logs)))


def _submit(
    job: WorkJob, count: int, logs: Path, *, cluster: str, parameters: Mapping[str, Any], requeues: int
) -> list[str]:
    """Submit a job so many times, as an array, and return the ids.

    Raises:
        UsageError: there is no SLURM, or it refuses the options.
    """
    import submitit  # noqa: PLC0415 an extra
    from submitit.core.job_environment import JobEnvironment  # noqa: PLC0415
    from submitit.core.utils import FailedJobError  # noqa: PLC0415

    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = JobEnvironment.USR_SIG = "USR1"  # jobs read the variable
    try:
        executor = submitit.AutoExecutor(folder=logs, cluster=cluster, slurm_max_num_timeout=requeues)
        executor.update_parameters(**parameters)
        with executor.batch():
            submitted = [executor.submit(job) for _ in range(count)]
    except (RuntimeError, FailedJobError) as error:
        message = " ".join(str(error).split())
        advice = "correct the options file, or set cluster = 'local'"
        raise UsageError(f"--launch slurm: {message}; {advice}") from error
    return [submission.job_id for submission in submitted]


def count_jobs(order: WorkOrder, *, max_jobs: int, min_minutes: int) -> int:
    """Return the number of jobs: each lasts some minutes, if the time of the runs is known."""
    jobs = math.ceil(order.runs / order.runs_per_device)
    if order.seconds is not None:
        jobs = math.ceil(jobs * order.seconds / (60 * min_minutes))
    return max(1, min(jobs, max_jobs, order.runs))


def job_minutes(order: WorkOrder, jobs: int, *, min_minutes: int) -> int:
    """Return the time limit of a job."""
    if order.seconds is None:
        return _MINUTES
    runs_per_job = math.ceil(order.runs / (jobs * order.runs_per_device))
    return max(min_minutes, math.ceil(_MARGIN * runs_per_job * order.seconds / 60)) + _START_MINUTES


def job_memory_gb(order: WorkOrder) -> int:
    """Return the memory of a job, for all runs that share its GPUs."""
    if order.memory_bytes is None:
        return _MEMORY_GB
    needed = _MARGIN * order.memory_bytes * order.runs_per_device / 1e9
    return max(_LEAST_MEMORY_GB, math.ceil(needed))


def _gpus_per_job(order: WorkOrder, gpus: int | None) -> int:
    """Return the GPUs of a job.

    Raises:
        UsageError: they are fewer than the processes of a run.
    """
    if order.device == "cpu":
        return 0
    if gpus is None:
        return order.processes
    if gpus and gpus < order.processes:
        raise UsageError(
            f"--launch slurm: gpus = {gpus}, but a run has {order.processes} processes, each with a GPU of its"
            f" own on one node; set gpus to {order.processes} or protocol.world_size to 1"
        )
    return gpus


def _describe(ids: Sequence[str], cluster: str, *, logs: str) -> str:
    names = ", ".join(ids[:_SOME])
    if len(ids) > _SOME:
        names += f" and {len(ids) - _SOME} more"
    noun = "job" if len(ids) == 1 else "jobs"
    return f"submitted {len(ids)} {noun} to {cluster}: {names}; logs in {logs}"


@hookimpl
def benchbench_launchers() -> list[LauncherPlugin]:
    return [
        LauncherPlugin(
            name="slurm",
            launch=launch,
            source="https://github.com/facebookincubator/submitit",
            is_detached=True,
            needs=("submitit",),
            extra="slurm",
        )
    ]
