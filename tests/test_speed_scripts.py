"""The script for a GPU runs to its end on a CPU, so that it is ready where there is a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "speed" / "gpu.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_section_of_the_script_for_a_gpu_runs_on_a_cpu(tmp_path: Path) -> None:
    words = ["--tiny", "--device", "cpu", "--ways", "as it is", "channels last"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert "U-Net, deterministic, again: equal" in lines
    assert "U-Net, deterministic, resumed: equal" in lines
    rates = [line.split(" | ") for line in lines if " | as it is | " in line]
    assert [cells[0] for cells in rates] == ["| U-Net", "| 3D U-Net"]
    rates += [line.split(" | ") for line in lines if " | channels last | " in line]
    assert [cells[0] for cells in rates[2:]] == ["| 3D U-Net"]
    assert all(float(cells[2]) > 0 for cells in rates)
    assert any(line.startswith("| 3D U-Net | fp32, channels last | ") for line in lines)
    assert any(line.startswith("largest error: benchbench") for line in lines)
    assert "6 runs, 0 failed: []" in lines  # two networks and their ensemble on two folds
    assert not list(tmp_path.iterdir())
