"""Files in the folder of a dataset that belong to no case."""

from __future__ import annotations

from pathlib import Path

from carry import carry

from benchbench.data.unused_files import unused_files


def touch(root: Path, *names: str) -> list[Path]:
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_every_file_that_is_not_used_is_in_an_entry(tmp_path: Path) -> None:
    used = touch(tmp_path, "p1/a1.nii.gz", "p2/a2.nii.gz")
    touch(tmp_path, "p1/4d.nii.gz", "p2/4d.nii.gz", "p2/.x", "DOWNLOAD.json", "PHANTOM.json", "p1/PHANTOM.json")
    touch(tmp_path, "old/p1/a1.nii.gz", "old/readme.md", "P3/a3.nii.gz", "p4/a4.NII.GZ")
    assert unused_files(tmp_path, used) == [
        "P#/ (1 file)",
        "old/ (2 files)",
        "p#/ (1 file)",
        "p#/#d.nii.gz (2 files)",
        "p#/.x (1 file)",
        "p#/PHANTOM.json (1 file)",
    ]
    assert unused_files(tmp_path, used, only_similar=True) == [
        "P#/ (1 file)",
        "old/ (1 file)",
        "p#/ (1 file)",
        "p#/#d.nii.gz (2 files)",
    ]


def test_a_run_names_files_like_those_of_cases_that_belong_to_none(
    benchmark_file: Path, squares: Path, without_report: None
) -> None:
    touch(squares / "squares", "notes.txt", "more/patient9-a.npz")
    *_, recorder = carry(benchmark_file, squares, benchmark_file.parent, "protocol.epochs=1", only=["fold=0"])
    assert "squares: files of no case: more/ (1 file)" in recorder.remarks
