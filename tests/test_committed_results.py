"""The committed results: every table is recomputed from the committed counts, and nothing names a machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import benchbench

from benchbench.records.folder import benchmark_folders
from benchbench.report.page.index import write_index

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
FOLDERS = [folder.path for folder in benchmark_folders(RESULTS)]
_MACHINE = re.compile(rb"/(?:home|Users|root|tmp|work|mnt|media|scratch)/\w")
_MOST_BYTES = 10_000_000


def committed(folder: Path) -> list[Path]:
    """The tracked files of a folder; where there is no git, all files that are not hidden."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", str(folder)]
    try:
        names = subprocess.run(git, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return [ROOT / name for name in names if name]


def test_results_are_committed() -> None:
    assert [path.name for path in FOLDERS] == ["lgg_small"]


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_committed_table_is_recomputed_with_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / folder.name))
    tables = [path for suffix in ("csv", "md", "tex", "json") for path in copy.rglob(f"*.{suffix}")]
    made = [path for path in tables if not path.is_relative_to(copy / "runs") and path.name != "benchmark.json"]
    before = {path: path.read_bytes() for path in made}
    assert len(before) > 15
    for path in made:
        path.unlink()
    (copy / "SHA256SUMS").unlink()
    done = benchbench("report", copy, "--no-pictures", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() == content for path, content in before.items()} == {
        path.name: True for path in before
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_committed_results_have_no_weights_images_of_patients_and_places(folder: Path) -> None:
    files = committed(folder)
    assert files
    assert sum(path.stat().st_size for path in files) < _MOST_BYTES
    for path in files:
        assert path.suffix not in {".safetensors", ".pt", ".log"}, path
        assert not path.name.startswith(("gallery", "pictures", "planes", "metadata", "events", ".claim")), path
        assert not _MACHINE.search(path.read_bytes()), path


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_committed_numbers_say_how_many_patients_they_are_of(folder: Path) -> None:
    for name in (
        "leaderboard.md",
        "leaderboard.csv",
        "leaderboard.tex",
        "index.html",
        "differences.csv",
        "card.json",
    ):
        assert "22 of 110 patients" in (folder / name).read_text(), name
    for name in ("README.md", "index.html", "index.md"):
        assert "22 of 110 patients" in (RESULTS / name).read_text(), name


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_committed_pages_are_those_of_the_present_templates(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / folder.name))
    done = benchbench("verify", copy, cwd=tmp_path)
    assert done.returncode == 0, f"{done.stderr}run benchbench report results/{folder.name} --no-pictures"
    write_index(tmp_path)
    for name in ("index.html", "index.md"):
        assert (tmp_path / name).read_bytes() == (RESULTS / name).read_bytes(), "run benchbench report results"
