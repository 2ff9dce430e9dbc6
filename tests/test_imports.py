"""Commands import what they need and no more, which is what makes them answer at once."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version
from toy_benchmark import Finished

HEAVY = {"torch", "pandas", "numpy", "pydantic", "albumentations", "rich", "matplotlib", "requests", "pooch"}
LIBRARIES_OF_MODELS = {"monai", "segmentation_models_pytorch", "timm", "dynamic_network_architectures"}
HELP = [["--help"], ["run", "--help"], ["report", "--help"], ["list", "--help"], ["data", "--help"]]
SCRIPT = """
import json, sys
from benchbench.cli import _run
stages = {}
for name, commands in json.loads(sys.argv[1]).items():
    codes = [_run(words) for words in commands]
    stages[name] = [codes, sorted(module for module in sys.modules if "." not in module)]
print(json.dumps(stages), file=sys.stderr)
"""
BUILD = """
import sys
from benchbench import Geometry
from benchbench.launch.preflight import _find_refusals
from benchbench.registry.registry import discover
for name in sys.argv[1:]:
    shapes = []
    inspect = lambda model: shapes.extend(str(parameter.device) for parameter in model.parameters()) or ()
    assert _find_refusals(discover().model(name), Geometry(3, 1, (64, 64)), {}, inspect) == ()
    assert set(shapes) == {"meta"}
print("torch._dynamo" in sys.modules)
"""
DRAWING_MODELS = ["unet", "unext", "transunet"]


class Stage:
    """The exit codes of some commands, and the modules imported by them and by those before them."""

    def __init__(self, codes: list[int], modules: list[str]) -> None:
        self.ended_well = set(codes) == {0}
        self.modules = set(modules)


@pytest.fixture(scope="module")
def folder(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder without one of its tables."""
    root = finished.copy(tmp_path_factory.mktemp("imports")).root
    (root / "results" / "squares" / "folds.csv").unlink()
    return root


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    """One process for all, as each takes seconds; the commands that import least come first."""
    commands = {"help": HELP, "report": [["report", "results"]], "list": [["list"]]}
    words = [sys.executable, "-c", SCRIPT, json.dumps(commands)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def stages(done: subprocess.CompletedProcess[str]) -> dict[str, Stage]:
    return {name: Stage(*stage) for name, stage in json.loads(done.stderr.splitlines()[-1]).items()}


def test_help_imports_nothing_heavy(done: subprocess.CompletedProcess[str], stages: dict[str, Stage]) -> None:
    assert stages["help"].ended_well
    assert stages["help"].modules.isdisjoint(HEAVY)
    assert done.stdout.count("Usage:") == len(HELP)


def test_report_never_imports_torch(
    done: subprocess.CompletedProcess[str], stages: dict[str, Stage], folder: Path
) -> None:
    assert stages["report"].ended_well
    assert "torch" not in stages["report"].modules
    assert "2 of 2 runs" in done.stdout
    assert (folder / "results" / "squares" / "folds.csv").exists()


def test_listing_imports_no_library_of_models(
    done: subprocess.CompletedProcess[str], stages: dict[str, Stage]
) -> None:
    assert stages["list"].ended_well
    assert stages["list"].modules.isdisjoint(LIBRARIES_OF_MODELS)
    assert "smp_unet" in done.stdout
    assert "unetr" in done.stdout


@pytest.mark.skipif(
    Version(version("torch")) < Version("2.9"), reason="torch 2.8 imports its compiler in any case"
)
def test_building_models_for_a_plan_does_not_import_the_compiler_of_torch() -> None:
    words = [sys.executable, "-c", BUILD, *DRAWING_MODELS]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
