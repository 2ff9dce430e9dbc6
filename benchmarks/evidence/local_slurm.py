"""A SLURM of one node on the loopback address of this machine, which ends with the block that uses it.

Needs root and, on Debian: apt-get install slurmctld slurmd slurm-client munge
It has its own key, socket and ports, so that a SLURM that this machine is part of is not touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
_SYSTEM_FOLDERS = "/usr/sbin:/sbin"
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0
_PAUSE_SECONDS = 0.2
_KEY_BYTES = 128
_CONFIGURATION = """
ClusterName=evidence
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={megabytes}
PartitionName=evidence Nodes={host} Default=YES MaxTime=INFINITE
"""
"""A job that is queued again waits until its credential expires: ten seconds, and not two minutes."""


def reason_without_slurm() -> str:
    """Return why this machine cannot start SLURM, '' where it can."""
    missing = [name for name in _PROGRAMS if _find(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return "only root can start SLURM" if os.geteuid() else ""


@contextlib.contextmanager
def local_slurm(folder: Path) -> Iterator[None]:
    """Start SLURM and let the commands of this process use it inside the block.

    Raises:
        TimeoutError: the node is not idle after two minutes; its logs are in the folder.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    configuration = folder / "slurm.conf"
    configuration.write_text(_configuration(folder))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(_KEY_BYTES))
    key.chmod(0o400)
    own_files = [f"--{name}={folder}/munge.{name}" for name in ("socket", "pid-file", "log-file", "seed-file")]
    earlier = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(configuration)
    with contextlib.ExitStack() as stack:
        # a temporary folder is writable for all, which munged refuses without --force
        stack.enter_context(_running(["munged", "-F", "--force", f"--key-file={key}", *own_files], folder))
        stack.enter_context(_running(["slurmctld", "-D"], folder))
        stack.enter_context(_running(["slurmd", "-D"], folder))
        stack.callback(_restore, earlier)
        _wait_until_idle()
        yield


def _configuration(folder: Path) -> str:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _CONFIGURATION.format(
        folder=folder,
        host=socket.gethostname().partition(".")[0],
        ports=[_free_port(), _free_port()],
        cpus=os.cpu_count(),
        megabytes=pages // 2**20 * 3 // 4,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}")


@contextlib.contextmanager
def _running(words: Sequence[str], folder: Path) -> Iterator[None]:
    """Run a daemon inside the block; its log is NAME.log."""
    program = _find(words[0])
    assert program is not None
    with (
        (folder / f"{words[0]}.log").open("wb") as log,
        subprocess.Popen([program, *words[1:]], stdout=log, stderr=log, start_new_session=True) as daemon,  # noqa: S603
    ):
        try:
            yield
        finally:
            daemon.terminate()
            try:
                daemon.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.kill()


def _wait_until_idle() -> None:
    end = time.monotonic() + _START_SECONDS
    words = ["sinfo", "--noheader", "--format=%T"]
    while subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() != "idle":  # noqa: S603
        if time.monotonic() > end:
            raise TimeoutError("the node of SLURM is not idle; see slurmctld.log and slurmd.log")
        time.sleep(_PAUSE_SECONDS)


def _restore(configuration: str | None) -> None:
    if configuration is None:
        del os.environ["SLURM_CONF"]
    else:
        os.environ["SLURM_CONF"] = configuration
