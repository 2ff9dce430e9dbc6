"""`benchbench doctor`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from benchbench.cli.options import cache_option, data_root_option, results_option

_LITTLE_SPACE = 5 * 2**30


class Finding(NamedTuple):
    """One thing looked at; `mend` is empty where all is well."""

    subject: str
    found: str
    mend: str = ""


@click.command("doctor")
@data_root_option
@results_option
@cache_option
def doctor_command(*, data_root: Path | None, results: Path, cache: Path) -> int:
    """Check the installation: versions, devices, plugins, data, disk; say how to mend what is wrong."""
    findings = [*_packages(), *_devices(), *_plugins(), *_folders(results, cache), _data(data_root)]
    for finding in findings:
        mark = "mend" if finding.mend else "ok"
        click.echo(f"{mark:<5} {finding.subject}: {finding.found}{f'; {finding.mend}' if finding.mend else ''}")
    return 1 if any(finding.mend for finding in findings) else 0


def _packages() -> Iterator[Finding]:
    from benchbench.results.provenance import versions  # noqa: PLC0415 after --help has answered

    for package, version in versions().items():
        missing = version == "not installed"
        yield Finding(package, version, f"pip install {package}" if missing else "")


def _devices() -> Iterator[Finding]:
    import torch  # noqa: PLC0415 this is the command that looks

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            yield Finding(f"cuda:{number}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    else:
        built = torch.version.cuda
        yield Finding("GPU", f"none that torch can use (built for CUDA {built}); runs use the CPU")


def _plugins() -> Iterator[Finding]:
    from benchbench.registry.registry import discover  # noqa: PLC0415 as above

    registry = discover()
    yield Finding("datasets", ", ".join(sorted(registry.datasets)) or "none")
    yield Finding("models", ", ".join(sorted(registry.models)) or "none")
    for broken in registry.broken:
        yield Finding(f"plugin {broken.name}", broken.reason, f"repair or uninstall {broken.origin.distribution}")


def _folders(results: Path, cache: Path) -> Iterator[Finding]:
    for name, folder in (("results", results), ("cache", cache)):
        existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
        free = shutil.disk_usage(existing).free
        mend = (
            f"under {_LITTLE_SPACE // 2**30} GiB: make room or choose another with --{name}"
            if free < _LITTLE_SPACE
            else ""
        )
        yield Finding(
            f"{name} folder", f"{folder}, {free / 2**30:.0f} GiB free", mend or _writable(existing, name)
        )


def _writable(folder: Path, name: str) -> str:
    import os  # noqa: PLC0415 one question

    return "" if os.access(folder, os.W_OK) else f"{folder} cannot be written: choose another with --{name}"


def _data(data_root: Path | None) -> Finding:
    if data_root is None:
        return Finding("data root", "none given; --data-root or BENCHBENCH_DATA, or rehearse without")
    if not data_root.is_dir():
        return Finding("data root", f"{data_root} is no folder", "give the folder that holds lgg/ and the others")
    return Finding(
        "data root",
        f"{data_root}: {', '.join(sorted(each.name for each in data_root.iterdir() if each.is_dir()))}",
    )
