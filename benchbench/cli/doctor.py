"""`benchbench doctor`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from benchbench.cli.json_output import document_of, format_option
from benchbench.cli.options import cache_option, data_root_option, results_option

if TYPE_CHECKING:
    import torch

_GIB = 2**30
_LITTLE_SPACE_GIB = 5


class Finding(NamedTuple):
    """The state of one part of the installation."""

    subject: str
    state: str
    advice: str = ""
    """How to fix a problem; empty if there is none."""
    is_optional: bool = False
    """True if nothing is broken without the advice."""

    @property
    def is_problem(self) -> bool:
        return bool(self.advice) and not self.is_optional


@click.command("doctor")
@data_root_option
@results_option
@cache_option
@format_option
def doctor_command(*, data_root: Path | None, results: Path, cache: Path, output_format: str) -> int:
    """Check versions, devices, plugins, data and disk space, and print how to fix problems."""
    from benchbench.cli.terminal import print_text  # noqa: PLC0415 printing only

    with document_of("doctor", output_format) as document:
        findings = [
            *_check_packages(),
            *_check_devices(),
            *_check_plugins(),
            *_check_extras(),
            _check_folder("results", results),
            _check_folder("cache", cache),
            _check_data_root(data_root),
            *_list_defaults(),
        ]
        if not document.is_json:
            for finding in findings:
                print_text(_describe(finding), indent=6)
        rows = [{**finding._asdict(), "is_problem": finding.is_problem} for finding in findings]
        document.content = {"findings": rows}
    return 1 if any(finding.is_problem for finding in findings) else 0


def _describe(finding: Finding) -> str:
    """Return the line of a finding: FAIL for a problem, - for what is optional and not installed."""
    text = f"{finding.subject}: {finding.state}"
    if not finding.advice:
        return f"ok    {text}"
    mark = "-   " if finding.is_optional else "FAIL"
    return f"{mark}  {text}; {finding.advice}"


def _check_packages() -> Iterator[Finding]:
    from benchbench.extras import EXTRAS  # noqa: PLC0415 after --help has answered
    from benchbench.records.provenance import versions  # noqa: PLC0415

    for package, version in versions().items():
        if version != "not installed":
            yield Finding(package, version)
        elif package in EXTRAS:
            continue  # it has a line there
        elif package == "opencv-python-headless" and find_spec("cv2") is not None:
            yield Finding(package, "OpenCV comes from another distribution")
        else:
            yield Finding(package, version, f"pip install {package}")


def _check_devices() -> Iterator[Finding]:
    import torch  # noqa: PLC0415 only this command needs it

    from benchbench.engine.devices.remarks import has_nvidia_card, reason_without_gpu  # noqa: PLC0415

    if not torch.cuda.is_available():
        if has_nvidia_card():
            yield Finding("GPU", "torch cannot use the NVIDIA GPU of this machine", reason_without_gpu())
        else:
            built_for = torch.version.cuda
            yield Finding("GPU", f"none that torch can use (built for CUDA {built_for}); runs use the CPU")
        yield from _check_computations(torch.device("cpu"))
    for number in range(torch.cuda.device_count()):
        yield _check_gpu(f"cuda:{number}")
        yield from _check_computations(torch.device(f"cuda:{number}"))


def _check_gpu(name: str) -> Finding:
    """Describe a GPU: its memory, driver, clocks and slices, and whether torch has code for it."""
    import torch  # noqa: PLC0415 as above

    from benchbench.engine.devices.gpu_state import describe_gpu  # noqa: PLC0415
    from benchbench.engine.devices.remarks import is_bf16_emulated, read_gpus, unsupported_reason  # noqa: PLC0415

    device = torch.device(name)
    (gpu,) = read_gpus([name])
    free, total = torch.cuda.mem_get_info(device)
    details = [gpu.name, f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free", *describe_gpu(name)]
    if is_bf16_emulated(gpu):
        details.append("bf16 by emulation: set protocol.precision to fp16 or fp32")
    reason = unsupported_reason(gpu)
    return Finding(name, ", ".join(details), reason and f"{reason}: install another torch")


def _check_computations(device: torch.device) -> Iterator[Finding]:
    """Compare a convolution, an attention and a 3D convolution in bf16 with 64 bits."""
    from benchbench.engine.devices.arithmetic import set_arithmetic  # noqa: PLC0415 as above
    from benchbench.engine.devices.probes import probe  # noqa: PLC0415

    set_arithmetic(device, "fp32", deterministic=False)
    for result in probe(device):
        subject = f"{device}, {result.name}"
        if result.is_correct:
            yield Finding(subject, f"differs from 64 bits by {result.difference:.1e} of the largest value")
        else:
            state = result.failure or f"differs by {result.difference:.1e}, more than {result.tolerance:.0e}"
            yield Finding(subject, state, "install a torch that fits the driver, or use another device")


def _check_plugins() -> Iterator[Finding]:
    from benchbench.registry.registry import discover  # noqa: PLC0415 as above

    registry = discover()
    yield Finding("datasets", ", ".join(sorted(registry.datasets)) or "none")
    yield Finding("models", ", ".join(sorted(registry.models)) or "none")
    for broken in registry.broken:
        if broken.is_optional and broken.origin.distribution == "benchbench":
            continue  # its extra has a line of its own
        subject = f"plugin {broken.name}"
        yield Finding(subject, broken.reason, broken.advice, is_optional=broken.is_optional)


def _check_extras() -> Iterator[Finding]:
    """Yield each extra of benchbench, installed or not."""
    from benchbench.extras import EXTRAS, has_extra, install_command  # noqa: PLC0415 after --help has answered

    for name, extra in EXTRAS.items():
        if has_extra(name):
            yield Finding(f"extra {name}", f"{extra.purpose}: installed")
        else:
            yield Finding(
                f"extra {name}", f"{extra.purpose}: not installed", install_command(name), is_optional=True
            )


def _check_folder(name: str, folder: Path) -> Finding:
    """Check that a folder, or the one in which it will be created, has space and can be written."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free_gib = shutil.disk_usage(existing).free / _GIB
    advice = ""
    if not existing.is_dir():
        advice = f"{existing} is a file: choose another folder with --{name}"
    elif free_gib < _LITTLE_SPACE_GIB:
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


def _list_defaults() -> Iterator[Finding]:
    """Yield the defaults of options that files and the environment give; the environment wins."""
    from benchbench.cli.defaults import environment_defaults, read_defaults  # noqa: PLC0415 as above

    for default in [*read_defaults().values(), *environment_defaults()]:
        yield Finding(f"default of --{default.name.replace('_', '-')}", f"{default.value}, from {default.origin}")
