"""Ends a worker process when the process that started it ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


def end_with_parent(wait_for_parent: Callable[[], object]) -> None:
    """End this process as soon as `wait_for_parent` returns; it is called in another thread.

    Without this, a run whose parent was killed would continue unnoticed.
    """

    def watch() -> None:
        wait_for_parent()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
