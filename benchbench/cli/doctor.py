"""`benchbench doctor`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from benchbench.cli.options import cache_option, data_root_option, results_option

_GIB = 2**30
_LITTLE_SPACE_GIB = 5


class Finding(NamedTuple):
    """The state of one part of the installation."""

    subject: str
    state: str
    advice: str = ""
    """How to fix a problem; empty if there is none."""


@click.command("doctor")
@data_root_option
@results_option
@cache_option
def doctor_command(*, data_root: Path | None, results: Path, cache: Path) -> int:
    """Check versions, devices, plugins, data and disk space, and print how to fix problems."""
    findings = [
        *_check_packages(),
        *_check_devices(),
        *_check_plugins(),
        _check_folder("results", results),
        _check_folder("cache", cache),
        _check_data_root(data_root),
    ]
    from benchbench.cli.terminal import print_text  # noqa: PLC0415 printing only

    for finding in findings:
        if finding.advice:
            print_text(f"FAIL  {finding.subject}: {finding.state}; {finding.advice}", indent=6)
        else:
            print_text(f"ok    {finding.subject}: {finding.state}", indent=6)
    return 1 if any(finding.advice for finding in findings) else 0


def _check_packages() -> Iterator[Finding]:
    from benchbench.results.provenance import versions  # noqa: PLC0415 after --help has answered

    for package, version in versions().items():
        is_missing = version == "not installed"
        yield Finding(package, version, f"pip install {package}" if is_missing else "")


def _check_devices() -> Iterator[Finding]:
    import torch  # noqa: PLC0415 only this command needs it

    if not torch.cuda.is_available():
        built_for = torch.version.cuda
        yield Finding("GPU", f"none that torch can use (built for CUDA {built_for}); runs use the CPU")
        return
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        yield Finding(f"cuda:{number}", f"{properties.name}, {properties.total_memory / _GIB:.0f} GiB")


def _check_plugins() -> Iterator[Finding]:
    from benchbench.registry.registry import discover  # noqa: PLC0415 as above

    registry = discover()
    yield Finding("datasets", ", ".join(sorted(registry.datasets)) or "none")
    yield Finding("models", ", ".join(sorted(registry.models)) or "none")
    for broken in registry.broken:
        yield Finding(f"plugin {broken.name}", broken.reason, f"repair or uninstall {broken.origin.distribution}")


def _check_folder(name: str, folder: Path) -> Finding:
    """Check that a folder, or the one in which it will be created, has space and can be written."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free_gib = shutil.disk_usage(existing).free / _GIB
    advice = ""
    if free_gib < _LITTLE_SPACE_GIB:
        advice = f"under {_LITTLE_SPACE_GIB} GiB: free some space or choose another folder with --{name}"
    elif not os.access(existing, os.W_OK):
        advice = f"{existing} is not writable: choose another folder with --{name}"
    return Finding(f"{name} folder", f"{folder}, {free_gib:.0f} GiB free", advice)


def _check_data_root(data_root: Path | None) -> Finding:
    subject = "data root"
    if data_root is None:
        return Finding(subject, "none given; use --data-root or BENCHBENCH_DATA, or --rehearse without real data")
    if not data_root.is_dir():
        return Finding(subject, f"{data_root} is not a folder", "give the folder that holds the dataset folders")
    names = sorted(path.name for path in data_root.iterdir() if path.is_dir())
    return Finding(subject, f"{data_root}: {', '.join(names)}")
