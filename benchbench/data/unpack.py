"""Unpacks archives from elsewhere: looked through whole first, then written, or refused with nothing written."""

from __future__ import annotations

import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from benchbench.errors import DataError

MOST_MEMBERS = 200_000
MOST_BYTES = 512 * 2**30
MOST_RATIO = 200
"""Of unpacked to packed bytes, over the whole archive: masks alone shrink that much, never their images too."""
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class Member(NamedTuple):
    """An entry of an archive, as the archive has it."""

    name: str
    size: int
    is_folder: bool
    oddity: str
    """What it is, where that is neither a plain file nor a folder."""


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or a tar, by content."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(archive: Path, folder: Path) -> None:
    """Writes the files of a zip or tar into a new folder.

    Raises:
        DataError: a member would lie elsewhere, is a link, device or encrypted, is there twice, or differs from
            another by case alone; there is too much of them; or the archive is damaged. No folder is left then.
    """
    folder.mkdir(parents=True)
    try:
        with _opened(archive) as opened:
            for name, path in _checked(opened, archive, room=shutil.disk_usage(folder).free).items():
                _write(opened, name, folder / path)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, _DAMAGE):
            raise DataError(
                f"{archive}: found a damaged archive ({error}), expected a whole one; delete it to get it anew"
            ) from error
        if isinstance(error, OSError):
            raise DataError(f"{archive}: cannot be unpacked into {folder.parent}: {error}") from error
        raise


class _Zip:
    def __init__(self, path: Path) -> None:
        self._file = zipfile.ZipFile(path)
        self.close = self._file.close

    def members(self) -> Iterator[Member]:
        for each in self._file.infolist():
            oddity = "an encrypted member" if each.flag_bits & 1 else _oddity(each.external_attr >> 16)
            yield Member(each.orig_filename, each.file_size, each.is_dir(), oddity)

    def open(self, name: str) -> IO[bytes]:
        return self._file.open(name)


class _Tar:
    def __init__(self, path: Path) -> None:
        self._file = tarfile.open(path)  # noqa: SIM115 closed by whoever opened this
        self._members: dict[str, tarfile.TarInfo] = {}
        self.close = self._file.close

    def members(self) -> Iterator[Member]:
        for each in self._file:  # one by one: a size is judged before so much is passed over
            self._members[each.name] = each
            yield Member(each.name, each.size, each.isdir(), _tar_oddity(each))

    def open(self, name: str) -> IO[bytes]:
        content = self._file.extractfile(self._members[name])
        assert content is not None, "members were checked"
        return content


def _oddity(mode: int) -> str:
    """Of a Unix mode, which some writers leave 0."""
    if stat.S_ISLNK(mode):
        return "a link"
    return "" if stat.S_IFMT(mode) in {0, stat.S_IFREG, stat.S_IFDIR} else "a device"


def _tar_oddity(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "a link"
    return "" if member.isreg() or member.isdir() else "a device"


@contextmanager
def _opened(archive: Path) -> Iterator[_Zip | _Tar]:
    if not is_archive(archive):
        raise DataError(
            f"{archive}: found neither a zip nor a tar, expected one of them; delete it to get it anew"
        )
    opened = _Zip(archive) if zipfile.is_zipfile(archive) else _Tar(archive)
    try:
        yield opened
    finally:
        opened.close()


def _checked(opened: _Zip | _Tar, archive: Path, *, room: int) -> dict[str, PurePosixPath]:
    """Member's name -> where its file goes below the folder."""
    paths: dict[str, PurePosixPath] = {}
    names = _Names()
    total = 0
    most = min(MOST_BYTES, MOST_RATIO * archive.stat().st_size, room)
    for count, member in enumerate(opened.members(), start=1):
        total += member.size
        path = PurePosixPath(member.name)
        fault = _fault(member, path) or names.clash(path, is_folder=member.is_folder)
        if count > MOST_MEMBERS:
            fault = f"more than {MOST_MEMBERS:,} members"
        if total > most:
            fault = f"more bytes than the {most:,} that its own size, the free disk and our limit allow"
        if fault:
            raise DataError(
                f"{archive}: {member.name!r}: found {fault}, expected plain files in one folder; the archive is"
                " refused and nothing of it is unpacked; delete it to get it anew"
            )
        if not member.is_folder:
            paths[member.name] = path
    return paths


class _Names:
    """Every path so far, so that nothing is written over on any file system."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: dict[str, str] = {}

    def clash(self, path: PurePosixPath, *, is_folder: bool) -> str:
        """What stands against one more path; "" where nothing does."""
        folders = [each for each in (path, *path.parents) if each.parts]
        if not is_folder:
            folded = _fold(path)
            if folded in self._files or folded in self._folders:
                return "a name that is there already, or there in another case"
            self._files.add(folded)
            folders = folders[1:]
        for folder in folders:
            if _fold(folder) in self._files:
                return "a folder with the name of a file"
            if self._folders.setdefault(_fold(folder), str(folder)) != str(folder):
                return f"a folder that is there in another case, as {self._folders[_fold(folder)]}"
        return ""


def _fold(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


def _fault(member: Member, path: PurePosixPath) -> str:
    if member.oddity:
        return member.oddity
    if path.is_absolute() or ":" in "".join(path.parts[:1]):
        return "an absolute path"
    if ".." in path.parts or "\\" in member.name:
        return "a path that leads elsewhere"
    if any(ord(letter) < 32 for letter in member.name):
        return "a control character in a name"
    return "" if path.parts or member.is_folder else "a file without a name"


def _write(opened: _Zip | _Tar, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(name) as source, path.open("xb") as file:
        shutil.copyfileobj(source, file, 2**20)
