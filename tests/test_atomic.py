from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchbench.data.atomic import new_folder, write_atomic
from benchbench.errors import StorageError


def fail(*_: object, **__: object) -> None:
    raise OSError("the machine went down")


@pytest.mark.parametrize("step", ["pathlib.Path.replace", "os.fsync"])
def test_a_write_that_is_cut_off_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "run.json"
    write_atomic(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(step, fail)
        with pytest.raises(StorageError, match="the machine went down"):
            write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_replaces_the_old_content_and_makes_the_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_new_folder_appears_with_all_its_files_when_the_block_ends(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "folder"
    with new_folder(folder) as temporary:
        (temporary / "file").write_text("content")
        assert not folder.exists()
    assert (folder / "file").read_text() == "content"
    assert list(folder.parent.iterdir()) == [folder]


def write_in_new_folder(folder: Path, meanwhile: Callable[[], None]) -> None:
    with new_folder(folder) as temporary:
        (temporary / "file").write_text("ours")
        meanwhile()


def test_an_error_in_the_block_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the machine went down"):
        write_in_new_folder(tmp_path / "folder", fail)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_faster_process_stays(tmp_path: Path) -> None:
    folder = tmp_path / "folder"

    def other_process() -> None:
        folder.mkdir()
        (folder / "file").write_text("theirs")

    with pytest.raises(FileExistsError, match="another process"):
        write_in_new_folder(folder, other_process)
    assert (folder / "file").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [folder]
