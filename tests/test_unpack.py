from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchbench import DataError
from benchbench.data import unpack as module
from benchbench.data.unpack import is_archive, unpack

Files = Mapping[str, bytes]
FILES = {"data/a.txt": b"A" * 50, "data/deep/b.bin": bytes(range(256)), "c": b""}


def make_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: Files, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def make_tgz(path: Path, files: Files) -> Path:
    return make_tar(path, files, "w:gz")


MAKERS: tuple[Callable[[Path, Files], Path], ...] = (make_zip, make_tar, make_tgz)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_refused(archive: Path, reason: str) -> None:
    """Check that the archive is refused for this reason and that nothing is written."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(DataError, match=reason) as caught:
        unpack(archive, archive.parent / "out")
    assert str(archive) in str(caught.value)
    assert sorted(archive.parent.rglob("*")) == before


@pytest.mark.parametrize("make", MAKERS)
def test_unpacked_files_equal_the_packed_ones(tmp_path: Path, make: Callable[[Path, Files], Path]) -> None:
    archive = make(tmp_path / "archive", FILES)
    assert is_archive(archive)
    unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../x", "leads out of the folder"),
        ("a/../../x", "leads out of the folder"),
        ("a\\..\\x", "leads out of the folder"),
        ("/etc/x", "absolute"),
        ("C:/x", "absolute"),
        ("a\nb", "control character"),
        ("DATA/a.txt", "in another case"),
        ("data/A.TXT", "in another case"),
        ("data", "a name that is there already"),
        ("c/d", "the name of a file"),
        ("./c", "a name that is there already"),
    ],
)
def test_an_archive_with_an_unsafe_member_is_refused(
    tmp_path: Path, make: Callable[[Path, Files], Path], name: str, reason: str
) -> None:
    check_refused(make(tmp_path / "archive", {**FILES, name: b"x"}), reason)


def test_names_that_differ_in_unicode_coding_clash(tmp_path: Path) -> None:
    check_refused(
        make_tar(tmp_path / "archive", {"\u00e9": b"1", "e\u0301": b"2"}), "a name that is there already"
    )


def test_a_repeated_name_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("x", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x", b"2")
    check_refused(tmp_path / "a", "a name that is there already")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes, reason: str) -> None:
    with tarfile.open(tmp_path / "a", "w") as archive:
        member = tarfile.TarInfo("odd")
        member.type = kind
        member.linkname = "/etc/passwd"
        archive.addfile(member)
    check_refused(tmp_path / "a", reason)


@pytest.mark.parametrize(("mode", "reason"), [(stat.S_IFLNK, "a link"), (stat.S_IFCHR, "a device")])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, mode: int, reason: str) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        member = zipfile.ZipInfo("odd")
        member.external_attr = (mode | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    check_refused(tmp_path / "a", reason)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a", {"x": b"secret"})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag, in the file's own header and in the table at the end
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    check_refused(path, "encrypted")


@pytest.mark.parametrize("make", MAKERS)
def test_too_many_members_are_refused(
    tmp_path: Path, make: Callable[[Path, Files], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_MEMBERS", 2)
    check_refused(make(tmp_path / "a", FILES), "more than 2 members")


@pytest.mark.parametrize("make", [make_zip, make_tgz])
def test_an_archive_bomb_is_refused_by_its_ratio(tmp_path: Path, make: Callable[[Path, Files], Path]) -> None:
    check_refused(make(tmp_path / "a", {"zeros": bytes(10**7)}), "more bytes than")


def test_an_archive_larger_than_the_free_disk_space_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=100))
    check_refused(make_tar(tmp_path / "a", FILES), "more bytes than the 100 ")


def test_a_huge_size_in_a_tar_is_refused_before_it_is_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("huge")
    member.size = 2**60
    (tmp_path / "a").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    check_refused(tmp_path / "a", "more bytes than")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_tar_leaves_no_folder(tmp_path: Path, share: float) -> None:
    path = make_tar(tmp_path / "a", {str(number): os.urandom(30_000) for number in range(5)})
    path.write_bytes(path.read_bytes()[: int(share * 150_000)])
    check_refused(path, "damaged archive|neither a zip nor a tar")


def test_a_flipped_bit_in_a_zip_leaves_no_folder(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a", {"x": os.urandom(2000)})
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    check_refused(path, "damaged archive")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("<html>please log in</html>")
    check_refused(tmp_path / "a", "neither a zip nor a tar")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.sampled_from("aA./\\ é\u0301:-~"), min_size=1, max_size=8), max_size=4, unique=True))
def test_no_member_is_written_outside_the_folder_or_over_another(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    make_tar(folder / "archive.tar", {name: name.encode() for name in names})
    try:
        unpack(folder / "archive.tar", folder / "out")
    except DataError:
        assert [path.name for path in folder.iterdir()] == ["archive.tar"]
    else:
        assert {path.name for path in folder.iterdir()} <= {"archive.tar", "out"}
        assert len(tree(folder / "out")) == len(names)
