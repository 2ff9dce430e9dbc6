"""`benchbench data` as a person types it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchbench.cli.data import data_command
from benchbench.data.cache import using
from benchbench.data.phantom import phantom_root
from benchbench.errors import BenchbenchError
from benchbench.registry.registry import discover
from benchbench.spec.benchmark_file import PhantomSize

Run = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("BENCHBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCHBENCH_DATA", raising=False)
    monkeypatch.setattr("benchbench.data.fingerprint.SETTLED_SECONDS", 0.0)

    def run(*words: object, answer: str | None = None) -> Result:
        return CliRunner().invoke(data_command, [str(word) for word in words], input=answer)

    return run


# status and path


def test_status_describes_a_dataset(data: Run, squares: Path) -> None:
    first = data("status", "squares", "--data-root", squares)
    assert first.output == (
        "squares: present: 4 cases of 4 patients, 0 with metadata; fingerprint not known: add --fingerprint\n"
    )
    computed = data("status", "squares", "--data-root", squares, "--fingerprint").output
    assert len(computed.strip().rpartition("fingerprint ")[2]) == 64
    assert data("status", "squares", "--data-root", squares).output == computed
    (squares / "squares" / "patient00-a.npz").touch()
    assert "fingerprint not known" in data("status", "squares", "--data-root", squares).output


def test_status_uses_the_fingerprint_that_verify_computed(data: Run, squares: Path) -> None:
    verified = data("verify", "squares", "--data-root", squares, "--threads", 1)
    digest = verified.output.strip().rpartition("fingerprint ")[2]
    assert verified.output.startswith("squares: 4 cases (12 slices) of 4 patients are valid; ")
    assert data("status", "squares", "--data-root", squares).output.strip().endswith(f"fingerprint {digest}")


def test_verify_and_status_take_parameters_of_the_dataset(data: Run, tmp_path: Path) -> None:
    from brats_patients import labels, write_patient

    for visit in ("000", "001"):
        folder = tmp_path / "brats21" / f"BraTS-GLI-00000-{visit}"
        write_patient(folder, label=labels(1, 2, 3), separator="-", names=("t2f", "t1n", "t1c", "t2w"))
    words = ("--data-root", tmp_path, "--set", "edition=2023")
    assert "2 cases of 1 patient" in data("status", "brats21", *words).output
    verified = data("verify", "brats21", *words)
    assert "2 cases" in str(verified.exception or verified.output)
    assert "found no folder BraTS2021_" in data("status", "brats21", "--data-root", tmp_path).output
    for command in ("verify", "status"):
        wrong = data(command, "brats21", "--data-root", tmp_path, "--set", "editoin=2023")
        assert "did you mean 'edition'?" in str(wrong.exception)
    assert "--set changes one dataset: name it" in data("status", *words).output


def test_verify_names_files_of_no_case_and_counts_faulty_cases(data: Run, squares: Path) -> None:
    for name in ("notes.txt", "scan1.dcm", "scan22.dcm"):
        (squares / "squares" / name).touch()
    (squares / "squares" / "extra" / "deep").mkdir(parents=True)
    (squares / "squares" / "extra" / "deep" / "patient09-a.npz").touch()
    output = data("verify", "squares", "--data-root", squares).output
    assert "note: files of no case: extra/ (1 file), notes.txt (1 file), scan#.dcm (2 files)\n" in output
    (squares / "squares" / "patient00-a.npz").write_bytes(b"x")
    problems = str(data("verify", "squares", "--data-root", squares).exception).splitlines()
    assert problems[-1] == "squares: 1 problem; 1 of 4 cases with faulty files"


def test_status_of_all_datasets_includes_those_that_are_not_found(data: Run, squares: Path) -> None:
    lines = data("status", "--data-root", squares).output.splitlines()
    assert [line.partition(":")[0] for line in lines] == sorted(
        set(discover().datasets) - {"bids", "folders", "nnunet"}
    )
    assert sum("not found" in line for line in lines) == len(lines) - 1


def test_status_compares_with_the_published_number_of_patients(data: Run, tmp_path: Path) -> None:
    folder = tmp_path / "brats20"
    discover(["brats20"]).dataset("brats20").phantom(folder, patients=2, size=32, seed=0)
    assert "incomplete, 2 of 369 patients" in data("status", "brats20", "--data-root", tmp_path).output
    (folder / "PHANTOM.json").touch()
    assert "phantom data: 2 cases" in data("status", "brats20", "--data-root", tmp_path).output


def test_only_the_path_is_printed(data: Run, tmp_path: Path) -> None:
    assert data("path", "--data-root", tmp_path).output == f"{tmp_path}\n"
    assert data("path", "squares", "--data-root", tmp_path).output == f"{tmp_path / 'squares'}\n"
    assert data("cache", "path").output == f"{tmp_path / 'cache'}\n"
    assert "--data-root" in data("path").output
    assert isinstance(data("path", "nothing", "--data-root", tmp_path).exception, BenchbenchError)


# get


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of datasets that would have been downloaded."""
    names: list[str] = []

    def note(plugin: object, **_: object) -> int:
        names.append(plugin.name)  # type: ignore[attr-defined]
        return 110

    monkeypatch.setattr("benchbench.data.download.download_dataset", note)
    return names


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_nothing_is_downloaded_before_its_licence_is_accepted(
    data: Run, tmp_path: Path, downloads: list[str], answer: str
) -> None:
    refused = data("get", "lgg", "--data-root", tmp_path, answer=answer)
    assert "licence: CC BY-NC-SA 4.0" in refused.output
    assert "--accept-licence" in refused.output
    assert refused.exit_code == 2
    assert downloads == []


@pytest.mark.parametrize("words", [["--accept-licence"], []])
def test_a_licence_is_accepted_by_an_answer_or_an_option(
    data: Run, tmp_path: Path, downloads: list[str], words: list[str]
) -> None:
    done = data("get", "lgg", "--data-root", tmp_path, *words, answer=None if words else "y\n")
    assert f"110 cases in {tmp_path / 'lgg'}" in done.output
    assert f"benchbench data verify lgg --data-root {tmp_path}" in done.output
    assert downloads == ["lgg"]


@pytest.mark.parametrize("name", ["acdc", "cardiac", "brats20 --by-hand", "brats21 --by-hand", "lgg --by-hand"])
def test_steps_of_a_download_by_hand_end_with_the_verify_command(data: Run, tmp_path: Path, name: str) -> None:
    printed = data("get", *name.split(), "--data-root", tmp_path)
    name = name.partition(" ")[0]
    assert printed.exit_code == 0
    assert str(tmp_path / name) in printed.output
    last = printed.output.splitlines()[-1].strip()
    assert last.endswith(f"run: benchbench data verify {name} --data-root {tmp_path}")
    assert last[0].isdigit()
    assert list(tmp_path.iterdir()) == []


# the cache


@pytest.fixture
def phantoms(tmp_path: Path, data: Run) -> tuple[Path, Path]:
    """Return a phantom used just now and one unused for three days."""
    plugin = discover(["toy"]).dataset("squares")
    new, old = (
        phantom_root(plugin, PhantomSize(patients=1, size=32, seed=seed), cache=tmp_path / "cache")
        for seed in (0, 1)
    )
    then = time.time() - 3 * 86400
    for path in (old, *old.rglob("*")):
        os.utime(path, (then, then))
    return new, old


def test_the_cache_is_listed_by_kind_and_dataset(data: Run, phantoms: tuple[Path, Path]) -> None:
    heading, _, first, last = data("cache", "ls").output.splitlines()
    assert heading.split() == ["kind", "dataset", "entries", "size", "last", "used"]
    assert first.split()[:3] == ["phantom", "squares", "2"]
    assert last.startswith("2 entries, ")


def test_pruning_keeps_entries_in_use_unless_forced(data: Run, phantoms: tuple[Path, Path]) -> None:
    new, old = phantoms
    assert data("cache", "prune").exit_code == 2
    assert data("cache", "prune", "--all", "--keep", "1G").exit_code == 2
    assert "would remove 1 entry," in data("cache", "prune", "--all", "--dry-run").output
    assert old.exists()
    assert "1 more in use" in data("cache", "prune", "--all").output
    assert (new.exists(), old.exists()) == (True, False)
    assert "removed 1 entry," in data("cache", "prune", "--all", "--force").output
    assert not new.exists()


def test_pruning_during_a_benchmark_removes_only_entries_unused_since_its_start(
    data: Run, phantoms: tuple[Path, Path], tmp_path: Path
) -> None:
    new, old = phantoms
    with using(tmp_path / "cache"):
        data("cache", "prune", "--all")
    assert (new.exists(), old.exists()) == (True, False)


def test_pruning_by_age_and_by_size(data: Run, phantoms: tuple[Path, Path]) -> None:
    new, old = phantoms
    assert "removed 0 entries" in data("cache", "prune", "--older-than", "4").output
    assert "removed 0 entries" in data("cache", "prune", "--keep", "20 GiB").output
    assert "removed 1 entry," in data("cache", "prune", "--keep", "1k").output
    assert (new.exists(), old.exists()) == (True, False)
    assert "expected a size" in data("cache", "prune", "--keep", "much").output
