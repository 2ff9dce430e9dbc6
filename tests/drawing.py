"""Figures without PDF and PNG, which cost most of their time and which most tests do not read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from matplotlib.figure import Figure as Drawing

from benchbench.report.figures import canvas


@contextlib.contextmanager
def only_svg() -> Iterator[None]:
    """Leave the PDF and the PNG of every figure empty."""
    save = canvas._save

    def save_svg(drawing: Drawing, kind: str, name: str) -> bytes:
        return save(drawing, kind, name) if kind == "svg" else b""

    with mock.patch.object(canvas, "_save", save_svg):
        yield
