"""Doctor: what is optional is not broken, and what is broken has a remedy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from commands import benchbench

from benchbench.extras import EXTRAS

NNUNET = "dynamic_network_architectures"


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Let these modules seem not to be installed."""
    find_spec = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> object:
        return None if name in modules else find_spec(name, package)

    monkeypatch.setattr("benchbench.extras.find_spec", find)


def test_an_extra_that_is_not_installed_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, NNUNET)
    done = benchbench("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert "-     extra nnunet: networks of nnU-Net: not installed; pip install 'benchbench[nnunet]'" in lines
    assert "ok    extra monai: networks of MONAI: installed" in lines
    assert "uninstall" not in done.stdout


def test_every_extra_has_a_line(tmp_path: Path) -> None:
    lines = benchbench("doctor", cwd=tmp_path).stdout.splitlines()
    for name, extra in EXTRAS.items():
        (line,) = [line for line in lines if f" extra {name}: " in line]
        assert extra.purpose in line


def test_a_missing_dependency_is_a_failure_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "torchvision")
    done = benchbench("doctor", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        "FAIL  plugin mask_dino: needs torchvision, which is not installed; pip install torchvision" in done.stdout
    )


def test_opencv_may_come_from_another_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"python": "3.11", "opencv-python-headless": "not installed"}
    monkeypatch.setattr("benchbench.records.provenance.versions", lambda: versions)
    done = benchbench("doctor", cwd=tmp_path)
    assert done.returncode == 0
    assert "ok    opencv-python-headless: OpenCV comes from another distribution" in done.stdout
    versions["tifffile"] = "not installed"
    done = benchbench("doctor", cwd=tmp_path)
    assert (done.returncode, "FAIL  tifffile: not installed; pip install tifffile" in done.stdout) == (1, True)


def test_a_folder_below_a_file_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    done = benchbench("doctor", "--results", tmp_path / "notes.txt" / "results", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "results folder" in line]
    assert line.startswith("FAIL  results folder: ")
    assert line.endswith(f"{tmp_path / 'notes.txt'} is a file: choose another folder with --results")
