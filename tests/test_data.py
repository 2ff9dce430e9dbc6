from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from benchbench import DataError, DataNotFoundError
from benchbench.data.digests import case_digests, dataset_digest
from benchbench.data.folder import open_dataset
from benchbench.data.phantom import is_phantom, phantom_root, write_phantom
from benchbench.errors import UsageError
from benchbench.registry.registry import discover
from benchbench.spec.benchmark_file import PhantomSize

SIZE = PhantomSize(patients=2, size=32)


def test_a_missing_folder_is_reported_with_where_to_get_the_data(tmp_path: Path) -> None:
    plugin = discover(["toy"]).dataset("squares")
    for root in (None, tmp_path):
        with pytest.raises(DataNotFoundError) as caught:
            open_dataset(plugin, {}, data_root=root)
        assert "https://example.org/squares" in str(caught.value)
        assert "--rehearse" in str(caught.value)


def test_a_digest_depends_only_on_the_bytes_of_the_case(squares: Path) -> None:
    from toy_plugin import Squares

    dataset = Squares(squares / "squares")
    before = case_digests(dataset, dataset.cases(), threads=2)
    path = squares / "squares" / "patient01-a.npz"
    path.touch()
    assert case_digests(dataset, dataset.cases(), threads=1) == before
    path.write_bytes(path.read_bytes() + b" ")
    after = case_digests(dataset, dataset.cases(), threads=2)
    assert [name for name in before if before[name] != after[name]] == ["patient01-a"]
    assert dataset_digest(before) != dataset_digest(after)


def test_the_faults_of_all_cases_are_reported_together(squares: Path) -> None:
    from toy_plugin import Squares

    dataset = Squares(squares / "squares")
    cases = dataset.cases()
    for name in ("patient00-a", "patient02-a"):
        (squares / "squares" / f"{name}.npz").unlink()
    with pytest.raises(DataError) as caught:
        case_digests(dataset, cases, threads=2)
    assert len(caught.value.problems) == 2
    assert "patient02-a.npz" in caught.value.problems[1]


def test_phantom_data_are_marked_and_never_mixed_with_other_files(tmp_path: Path) -> None:
    plugin = discover(["toy"]).dataset("squares")
    write_phantom(plugin, tmp_path / "squares", SIZE)
    assert is_phantom(tmp_path / "squares")
    assert json.loads((tmp_path / "squares" / "PHANTOM.json").read_text())["patients"] == 2
    with pytest.raises(UsageError, match="not empty"):
        write_phantom(plugin, tmp_path / "squares", SIZE)


def test_a_phantom_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    from dataclasses import replace

    from toy_plugin import write_squares

    def fail(root: Path, **_: object) -> None:
        write_squares(root, patients=1, size=32, seed=0)
        raise MemoryError

    plugin = replace(discover(["toy"]).dataset("squares"), phantom=fail)
    with pytest.raises(MemoryError):
        write_phantom(plugin, tmp_path / "squares", SIZE)
    assert not (tmp_path / "squares").exists()


def test_phantom_data_of_one_recipe_are_generated_once(tmp_path: Path) -> None:
    plugin = discover(["toy"]).dataset("squares")
    root = phantom_root(plugin, SIZE, cache=tmp_path)
    made = (root / "squares" / "patient00-a.npz").stat().st_mtime_ns
    assert phantom_root(plugin, SIZE, cache=tmp_path) == root
    assert (root / "squares" / "patient00-a.npz").stat().st_mtime_ns == made
    assert phantom_root(plugin, SIZE.model_copy(update={"seed": 1}), cache=tmp_path) != root


@pytest.mark.parametrize("spoil", ["flip", "truncate", "remove", "add", "marker"])
def test_phantom_data_that_were_damaged_in_the_cache_are_generated_again_and_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: str
) -> None:
    plugin = discover(["toy"]).dataset("squares")
    folder = phantom_root(plugin, SIZE, cache=tmp_path) / "squares"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    path = folder / "patient00-a.npz"
    content = bytearray(before[path.name])
    content[100] ^= 1
    if spoil == "flip":
        path.write_bytes(content)
    elif spoil == "truncate":
        path.write_bytes(b"")
    elif spoil == "remove":
        path.unlink()
    elif spoil == "add":
        (folder / "patient09-a.npz").write_bytes(content)
    else:
        (folder / "PHANTOM.json").write_text("{}")
    phantom_root(plugin, SIZE, cache=tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "squares: damaged in the cache, generated again" in caplog.text
    assert list(folder.parent.iterdir()) == [folder]


def test_the_phantom_of_a_faster_process_is_used(tmp_path: Path) -> None:
    from dataclasses import replace

    plugin = discover(["toy"]).dataset("squares")
    calls: list[Path] = []

    def write_slowly(root: Path, **size: int) -> None:
        if not calls:
            calls.append(root)
            phantom_root(slow, SIZE, cache=tmp_path)  # another process begins later and ends first
        plugin.phantom(root, **size)

    slow = replace(plugin, phantom=functools.partial(write_slowly))
    root = phantom_root(slow, SIZE, cache=tmp_path)
    assert is_phantom(root / "squares")
    assert list(root.iterdir()) == [root / "squares"]


def test_two_that_write_a_phantom_to_one_folder_leave_one_phantom(tmp_path: Path) -> None:
    from dataclasses import replace

    plugin = discover(["toy"]).dataset("squares")

    def write_slowly(root: Path, **size: int) -> None:
        write_phantom(plugin, tmp_path / "squares", SIZE)
        plugin.phantom(root, **size)

    with pytest.raises(UsageError, match="not empty"):
        write_phantom(replace(plugin, phantom=write_slowly), tmp_path / "squares", SIZE)
    assert is_phantom(tmp_path / "squares")
    assert list(tmp_path.iterdir()) == [tmp_path / "squares"]


def test_verifying_lists_all_problems_and_remarks(squares: Path) -> None:
    import numpy as np
    from toy_plugin import Squares

    from benchbench.data.verify import verify

    folder = squares / "squares"
    dataset = Squares(folder)
    clean = verify(dataset, threads=2, progress=lambda: None)
    assert (clean.problems, clean.remarks) == ((), ())
    assert clean.digest == dataset_digest(case_digests(dataset, dataset.cases(), threads=1))
    with np.load(folder / "patient00-a.npz") as stored:
        image, label = stored["image"], stored["label"]
    np.savez(folder / "patient00-a.npz", image=image, label=label * 3)
    np.savez(folder / "patient01-a.npz", image=image[:, :2], label=label)
    np.savez(folder / "patient02-a.npz", image=image, label=label * 0)
    np.savez(folder / "patient04-a.npz", image=image, label=label)
    (folder / "patient03-a.npz").write_bytes(b"not an archive")
    verification = verify(dataset, threads=2, progress=lambda: None)
    expected = [
        "found 3, expected 0 and 1",
        "found image (1, 2",
        "the dataset plugin failed",
        "the same image, voxel",
    ]
    assert len(verification.problems) == len(expected)
    for problem, words in zip(verification.problems, expected, strict=True):
        assert words in problem
    assert verification.remarks == ("patient02-a: nothing is labelled",)


def test_verifying_remarks_once_on_a_near_duplicate_of_another_patient(squares: Path) -> None:
    import numpy as np
    from toy_plugin import Squares

    from benchbench.data.verify import verify

    folder = squares / "squares"
    with np.load(folder / "patient00-a.npz") as stored:
        image, label = stored["image"], stored["label"]
    np.savez(folder / "patient01-a.npz", image=image // 2 * 2, label=label)
    verification = verify(Squares(folder), threads=1, progress=lambda: None)
    assert verification.problems == ()
    (remark,) = verification.remarks
    assert remark.startswith("patient01-a: its image is nearly the same as patient00-a of another patient")
