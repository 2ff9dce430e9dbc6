"""Writes docs/reference from the code: `python docs/write_reference.py`."""

from __future__ import annotations

from pathlib import Path

from benchbench.cli.reference import pages

FOLDER = Path(__file__).parent / "reference"


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
