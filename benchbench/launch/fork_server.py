"""A process that has imported what every run needs, and starts each worker as a copy of itself.

The imports take several seconds, which every run would spend again. Nothing here starts a thread or uses a GPU,
because neither works in a copy. The process ends with the one that started it.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch._dynamo  # noqa: F401 the first optimiser of a process imports it, which takes two seconds

from benchbench.extras import has_extra
from benchbench.launch import worker

if has_extra("tensorboard"):
    from tensorboard.compat.proto import event_pb2, summary_pb2  # noqa: F401 every run writes events

_STOPS = {signal.SIGTERM, signal.SIGUSR1}
"""Signals that clusters send to all processes of a job; a worker saves its run, and the server has to survive."""
MESSAGE_BYTES = 1 << 18
"""Upper bound of the size of a request."""


class Files(NamedTuple):
    """File descriptors that come with a request for a worker."""

    stdin: int
    stdout: int
    stderr: int
    status: int
    """A connection for the process id of the worker at its start, and its exit code at its end."""


def main() -> int:
    """Serve the requests of the socket whose file descriptor is the argument; return the exit code of the copy."""
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        while True:
            message, descriptors, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, len(Files._fields))
            if not message:
                return 0
            files = Files(*descriptors)
            if not os.fork():
                break
            for descriptor in files:
                os.close(descriptor)
    return _watch_worker(message, files)


def _watch_worker(request: bytes, files: Files) -> int:
    """Start a worker and send how it ends; in the worker, do the run and return its exit code.

    This copy of the server exists because only the parent of a process can read its exit code, and the server
    waits for requests.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()  # Ctrl-C reaches only the launcher, which stops the workers
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)  # until the worker no longer ignores them
    if process := os.fork():
        status = Connection(files.status, readable=False)
        status.send(process)
        for descriptor in (files.stdin, files.stdout, files.stderr):
            os.close(descriptor)
        _, state = os.waitpid(process, 0)
        status.send(os.waitstatus_to_exitcode(state))
        os._exit(0)
    for number in _STOPS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    for target, descriptor in enumerate((files.stdin, files.stdout, files.stderr)):
        os.dup2(descriptor, target)
    for descriptor in files:
        os.close(descriptor)
    folder, environment = pickle.loads(request)  # noqa: S301 from the process that started us
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    return worker.main()


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the copies that watch workers leave no zombies
    sys.exit(main())
