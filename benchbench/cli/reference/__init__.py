"""The reference, generated from the code: pages of the documentation and `benchbench show protocol`."""

from __future__ import annotations

from collections.abc import Mapping

NOTE = "<!-- written by docs/write_reference.py from the code: change the code, not this page -->\n\n"


def pages() -> Mapping[str, str]:
    """Return every page of the reference in Markdown, by its file name."""
    from benchbench.cli.reference.benchmark_file import benchmark_file_page  # noqa: PLC0415 only where it is printed
    from benchbench.cli.reference.commands import commands_page  # noqa: PLC0415
    from benchbench.cli.reference.exit_codes import exit_codes_page  # noqa: PLC0415
    from benchbench.cli.reference.files import files_page  # noqa: PLC0415
    from benchbench.cli.reference.metrics import metrics_page  # noqa: PLC0415

    written = {
        "benchmark_file.md": benchmark_file_page(),
        "commands.md": commands_page(),
        "exit_codes.md": exit_codes_page(),
        "files.md": files_page(),
        "metrics.md": metrics_page(),
    }
    return {name: NOTE + text for name, text in written.items()}
