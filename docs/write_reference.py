"""Writes docs/reference and benchmarks/schema.json from the code: `python docs/write_reference.py`."""

from __future__ import annotations

import json
from pathlib import Path

from benchbench.cli.reference import pages
from benchbench.registry.file_schema import file_schema

FOLDER = Path(__file__).parent / "reference"
SCHEMA = Path(__file__).parent.parent / "benchmarks" / "schema.json"


def main() -> None:
    """Write every page, and the schema that editors read."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    SCHEMA.write_text(json.dumps(file_schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
