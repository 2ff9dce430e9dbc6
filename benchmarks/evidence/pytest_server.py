"""Runs pytest many times without importing torch, pandas and matplotlib each time.

    python benchmarks/evidence/pytest_server.py 120 < requests

Each line of the standard input is a JSON list of arguments of pytest. The answer is a line with its exit status,
124 if it takes longer than so many seconds. Each run is a fork of this process, which has imported large
libraries, but nothing of benchbench: a run sees the code as it is on disk. What pytest prints is dropped.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import traceback

import pytest
from hypothesis import Phase, settings

LIBRARIES = [
    "albumentations",
    "click",
    "cv2",
    "filelock",
    "hypothesis.extra.numpy",
    "isal.igzip",
    "jinja2",
    "matplotlib.pyplot",
    "nibabel",
    "numpy",
    "pandas",
    "PIL.Image",
    "pluggy",
    "pyarrow.parquet",
    "pydantic",
    "rich",
    "safetensors.torch",
    "scipy.ndimage",
    "scipy.spatial",
    "scipy.stats",
    "skimage.restoration",
    "tifffile",
    "torch.utils.flop_counter",
]
TIMEOUT_STATUS = 124  # as of the command timeout
BROKEN_STATUS = 70
# pytest warns of plugins that are imported before it, as hypothesis is here
OPTIONS = [
    "-x",
    "-q",
    "-p",
    "no:cacheprovider",
    "--hypothesis-seed=0",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
]


def main() -> None:
    seconds = int(sys.argv[1])
    # a failure is enough; the smallest example of it takes long to find
    settings.register_profile("first failure", phases=[Phase.explicit, Phase.generate])
    settings.load_profile("first failure")
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        status = run_forked(json.loads(line), seconds)
        print(status, flush=True)


def run_forked(arguments: list[str], seconds: int) -> int:
    """Return pytest's exit status, or `TIMEOUT_STATUS`."""
    process = os.fork()
    if process == 0:
        _become_pytest(arguments)
    signal.signal(signal.SIGALRM, _raise_timeout)
    signal.alarm(seconds)
    try:
        _, status = os.waitpid(process, 0)
    except TimeoutError:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return TIMEOUT_STATUS
    finally:
        signal.alarm(0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)  # what its tests have left running
    return os.waitstatus_to_exitcode(status)


def _become_pytest(arguments: list[str]) -> None:
    """Run pytest in this process and end it."""
    status = BROKEN_STATUS
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        status = int(pytest.main([*OPTIONS, *arguments]))
    except BaseException:  # noqa: BLE001 the status says it, whatever it is
        traceback.print_exc()
    finally:
        os._exit(status)


def _raise_timeout(*_: object) -> None:
    raise TimeoutError


if __name__ == "__main__":
    main()
