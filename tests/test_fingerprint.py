from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchbench import CaseRef, DataError, Dataset
from benchbench.data import fingerprint as module
from benchbench.data.digests import case_digests, dataset_digest
from benchbench.data.fingerprint import fingerprint, known_fingerprint, remembered_digests


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled as soon as they are written."""
    monkeypatch.setattr(module, "SETTLED_SECONDS", 0.0)


@pytest.fixture
def opened(squares: Path) -> Dataset:
    from toy_plugin import Squares

    dataset: Dataset = Squares(squares / "squares")
    return dataset


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The cases whose files are read."""
    ids: list[str] = []

    def counted(dataset: Dataset, cases: Sequence[CaseRef], *, threads: int) -> dict[str, str]:
        ids.extend(case.id for case in cases)
        return case_digests(dataset, cases, threads=threads)

    monkeypatch.setattr(module, "case_digests", counted)
    return ids


def test_a_fingerprint_is_computed_once_and_then_stored(
    opened: Dataset, squares: Path, tmp_path: Path, read: list[str]
) -> None:
    cases = opened.cases()
    where = {"folder": squares / "squares", "cache": tmp_path / "cache"}
    assert known_fingerprint(opened, cases, **where) is None
    digest = fingerprint(opened, cases, **where, threads=1)
    assert digest == dataset_digest(case_digests(opened, cases, threads=1))
    assert len(read) == len(cases)
    assert known_fingerprint(opened, cases, **where) == digest
    assert fingerprint(opened, cases, **where, threads=1) == digest
    assert len(read) == len(cases)


@pytest.mark.parametrize("change", ["size", "time"])
def test_only_a_changed_file_is_read_again(
    opened: Dataset, squares: Path, tmp_path: Path, read: list[str], change: str
) -> None:
    where = {"folder": squares / "squares", "cache": tmp_path / "cache"}
    before = fingerprint(opened, opened.cases(), **where, threads=1)
    read.clear()
    path = squares / "squares" / "patient01-a.npz"
    if change == "size":
        path.write_bytes(path.read_bytes() + b" ")
    else:
        os.utime(path, ns=(1, 1))
    assert known_fingerprint(opened, opened.cases(), **where) is None
    assert (fingerprint(opened, opened.cases(), **where, threads=1) == before) == (change == "time")
    assert read == ["patient01-a"]


def test_a_missing_or_new_case_changes_the_fingerprint(opened: Dataset, squares: Path, tmp_path: Path) -> None:
    where = {"folder": squares / "squares", "cache": tmp_path / "cache"}
    before = fingerprint(opened, opened.cases(), **where, threads=1)
    path = squares / "squares" / "patient01-a.npz"
    path.rename(squares / "squares" / "patient09-a.npz")
    assert known_fingerprint(opened, opened.cases(), **where) is None
    assert fingerprint(opened, opened.cases(), **where, threads=1) != before


def test_a_missing_file_has_no_fingerprint(opened: Dataset, squares: Path, tmp_path: Path) -> None:
    cases = opened.cases()
    where = {"folder": squares / "squares", "cache": tmp_path / "cache"}
    fingerprint(opened, cases, **where, threads=1)
    (squares / "squares" / "patient01-a.npz").unlink()
    assert known_fingerprint(opened, cases, **where) is None
    with pytest.raises(DataError, match=r"patient01-a\.npz"):
        fingerprint(opened, cases, **where, threads=1)


@pytest.mark.parametrize("content", ["", "[]", '{"patient01-a": 3}', "{"])
def test_a_damaged_store_is_computed_again(opened: Dataset, squares: Path, tmp_path: Path, content: str) -> None:
    where = {"folder": squares / "squares", "cache": tmp_path / "cache"}
    digest = fingerprint(opened, opened.cases(), **where, threads=1)
    (memory,) = (tmp_path / "cache" / "fingerprints").iterdir()
    memory.write_text(content)
    assert known_fingerprint(opened, opened.cases(), **where) is None
    assert fingerprint(opened, opened.cases(), **where, threads=1) == digest


def test_a_file_that_was_written_just_now_is_read_again(
    opened: Dataset, squares: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"folder": squares / "squares", "cache": tmp_path / "cache"}
    monkeypatch.setattr(module, "SETTLED_SECONDS", 3600.0)
    for _ in range(2):
        fingerprint(opened, opened.cases(), **where, threads=1)
    assert read == [case.id for case in opened.cases()] * 2


def test_another_content_with_the_old_size_and_time_is_read(
    opened: Dataset, squares: Path, tmp_path: Path, read: list[str]
) -> None:
    where = {"folder": squares / "squares", "cache": tmp_path / "cache"}
    before = fingerprint(opened, opened.cases(), **where, threads=1)
    read.clear()
    path = squares / "squares" / "patient01-a.npz"
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert fingerprint(opened, opened.cases(), **where, threads=1) != before
    assert read == ["patient01-a"]


def test_all_files_are_read_when_asked(opened: Dataset, squares: Path, tmp_path: Path, read: list[str]) -> None:
    where = {"folder": squares / "squares", "cache": tmp_path / "cache"}
    expected = remembered_digests(opened, opened.cases(), **where, threads=1)
    read.clear()
    assert remembered_digests(opened, opened.cases(), **where, threads=1) == expected
    assert read == []
    assert remembered_digests(opened, opened.cases(), **where, threads=1, read_all=True) == expected
    assert read == [case.id for case in opened.cases()]
