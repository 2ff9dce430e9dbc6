"""Devices: what is chosen, what a user is warned of, what a worker sees, and whether a device computes correctly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import benchbench

from benchbench.cli.run import BenchmarkEnd
from benchbench.engine.devices import probes, remarks
from benchbench.engine.devices.remarks import Gpu, check_gpus, device_remarks, unsupported_reason
from benchbench.engine.devices.visible import hide_other_gpus
from benchbench.errors import UsageError

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "compute_90")


def gpu(major: int, minor: int, architectures: tuple[str, ...] = ARCHITECTURES) -> Gpu:
    return Gpu("cuda:0", "a GPU", (major, minor), architectures)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of which the system lists an NVIDIA GPU."""
    folder = tmp_path / "dev"
    folder.mkdir()
    (folder / "nvidia0").touch()
    monkeypatch.setattr(remarks, "_CARDS", ((folder, "nvidia[0-9]*"),))
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 22:20:39 UTC 2023\n")
    monkeypatch.setattr(remarks, "_DRIVER", driver)
    return folder


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)])
def test_torch_has_code_for_later_gpus_of_a_generation_and_ptx_for_all_later_ones(
    capability: tuple[int, int],
) -> None:
    assert unsupported_reason(gpu(*capability)) == ""


@pytest.mark.parametrize(
    ("capability", "architectures"),
    [((6, 1), ARCHITECTURES), ((7, 0), ARCHITECTURES), ((12, 0), ("sm_80", "sm_90a")), ((8, 0), ("sm_86",))],
)
def test_a_gpu_without_code_is_refused_with_both_architectures(
    capability: tuple[int, int], architectures: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as caught:
        check_gpus([gpu(*capability, architectures)])
    (problem,) = caught.value.problems
    assert problem.startswith("--device cuda:0: torch ")
    assert f"no code for sm_{capability[0]}{capability[1]}, only for {architectures[0]}" in problem


def test_unknown_names_of_architectures_refuse_nothing() -> None:
    assert unsupported_reason(gpu(7, 0, ("gfx942",))) == ""
    assert unsupported_reason(gpu(7, 0, ())) == ""


def test_auto_never_falls_back_to_the_cpu_silently(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    (remark,) = device_remarks("auto", ["cpu"], [])
    assert remark.startswith("--device auto: runs use the CPU, because torch ")
    assert "is built for CUDA 13.0 and finds no GPU with driver 535.54.03; update the driver" in remark
    monkeypatch.setattr(torch.version, "cuda", None)
    (remark,) = device_remarks("auto", ["cpu"], [])
    assert "this torch is built without CUDA" in remark
    assert device_remarks("cpu", ["cpu"], []) == []
    (card / "nvidia0").unlink()
    assert device_remarks("auto", ["cpu"], []) == []


@pytest.mark.parametrize(("major", "n_remarks"), [(7, 1), (8, 0), (9, 0)])
def test_bf16_by_emulation_is_named(major: int, n_remarks: int) -> None:
    notes = device_remarks("auto", ["cuda:0"], [gpu(major, 5)], {"bf16"})
    assert len(notes) == n_remarks
    assert all("computes bf16 by emulation" in remark for remark in notes)
    assert device_remarks("auto", ["cuda:0"], [gpu(major, 5)], {"fp16"}) == []


def test_a_command_prints_the_note_before_it_trains(
    card: Path, benchmark_file: Path, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchbench.cli.run._carry_out", lambda *_: BenchmarkEnd(0, ""))
    done = benchbench("run", benchmark_file, "--data-root", squares, cwd=benchmark_file.parent)
    assert done.stderr.startswith("note: --device auto: runs use the CPU, because ")


@pytest.mark.parametrize(
    ("devices", "visible", "entries", "names"),
    [
        (["cuda:2"], None, "2", ["cuda:0"]),
        (["cuda:2"], "", "2", ["cuda:0"]),
        (["cuda:1"], "GPU-a, GPU-b", "GPU-b", ["cuda:0"]),
        (["cuda:3", "cuda:3", "cuda:1"], None, "3,1", ["cuda:0", "cuda:0", "cuda:1"]),
        (["cuda:1"], "5,MIG-c", "MIG-c", ["cuda:0"]),
    ],
)
def test_a_worker_sees_its_own_gpus_only(
    devices: list[str], visible: str | None, entries: str, names: list[str]
) -> None:
    seen = hide_other_gpus(devices, visible)
    assert seen.environment == {"CUDA_VISIBLE_DEVICES": entries}
    assert list(seen.devices) == names


def test_a_worker_of_the_cpu_has_the_environment_of_the_launcher() -> None:
    assert hide_other_gpus(["cpu", "cpu"], "0") == ({}, ("cpu", "cpu"))


def test_the_cpu_computes_as_in_64_bits() -> None:
    results = list(probes.probe(torch.device("cpu")))
    assert [result.name for result in results] == [
        "convolution in fp32",
        "attention in fp32",
        "3D convolution in bf16",
    ]
    assert all(result.is_correct for result in results)
    assert results[2].difference > 1e-4  # bf16 was computed


def test_doctor_names_a_device_that_computes_wrongly_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.nn.functional.conv2d

    def wrong(image: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        result = real(image, weights)
        return result if image.dtype is torch.float64 else result * 1.01

    def refuse(volume: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        if volume.dtype is torch.float64:
            return torch.ones(1)
        raise RuntimeError("no kernel image is available\nmore")

    monkeypatch.setattr(probes.functional, "conv2d", wrong)
    monkeypatch.setattr(probes.functional, "conv3d", refuse)
    done = benchbench("doctor", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAIL  cpu, convolution in fp32: differs by 1.0e-02, more than 1e-04; install a torch" in done.stdout
    assert "FAIL  cpu, 3D convolution in bf16: no kernel image is available; install a torch" in done.stdout
    assert "ok    cpu, attention in fp32: differs from 64 bits by " in done.stdout


def test_doctor_names_an_nvidia_gpu_that_torch_cannot_use(card: Path, tmp_path: Path) -> None:
    done = benchbench("doctor", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAIL  GPU: torch cannot use the NVIDIA GPU of this machine; " in done.stdout
