"""Unpacks archives of unknown origin: all members are checked first, and nothing is written if one is refused.

Written here because `tarfile` and `zipfile` limit neither the size nor the number of members, and have no filter
that refuses names that clash on another file system.
"""

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
"""Largest ratio of unpacked to packed bytes of a whole archive; masks can reach it, but not with their images."""
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class Member(NamedTuple):
    """An entry of an archive."""

    name: str
    size: int
    """Unpacked size in bytes."""
    is_folder: bool
    oddity: str
    """Kind of an entry that is neither a plain file nor a folder; '' for these two."""


def is_archive(path: Path) -> bool:
    """Return True if the content of a file is a zip or a tar."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of a zip or tar into a new folder; after an error there is no folder.

    Raises:
        DataError: the archive is damaged or too large, or a member is outside the folder, is a link, a device or
            encrypted, or has the name of another one, apart from case.
    """
    folder.mkdir(parents=True)
    try:
        with _opened(archive) as opened:
            paths = _checked_paths(opened, archive, free_bytes=shutil.disk_usage(folder).free)
            for name, path in paths.items():
                _write(opened, name, folder / path)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, _DAMAGE):
            raise DataError(
                f"{archive}: found a damaged archive ({error}), expected a whole one;"
                " delete it to download it again"
            ) from error
        if isinstance(error, OSError):
            raise DataError(
                f"{archive}: cannot be unpacked into {folder.parent} ({error});"
                " free disk space or correct the folder"
            ) from error
        raise


class _Zip:
    def __init__(self, path: Path) -> None:
        self._file = zipfile.ZipFile(path)
        self.close = self._file.close

    def members(self) -> Iterator[Member]:
        for info in self._file.infolist():
            is_encrypted = info.flag_bits & 1
            oddity = "an encrypted member" if is_encrypted else _mode_oddity(info.external_attr >> 16)
            yield Member(info.orig_filename, info.file_size, info.is_dir(), oddity)

    def open(self, name: str) -> IO[bytes]:
        return self._file.open(name)


class _Tar:
    def __init__(self, path: Path) -> None:
        self._file = tarfile.open(path)  # noqa: SIM115 closed by _opened
        self._members: dict[str, tarfile.TarInfo] = {}
        self.close = self._file.close

    def members(self) -> Iterator[Member]:
        for info in self._file:  # one at a time: a size is checked before the member is skipped
            self._members[info.name] = info
            yield Member(info.name, info.size, info.isdir(), _tar_oddity(info))

    def open(self, name: str) -> IO[bytes]:
        content = self._file.extractfile(self._members[name])
        assert content is not None, "all members are checked"
        return content


def _mode_oddity(mode: int) -> str:
    """Return the kind of a Unix mode; some programs store 0 for plain files."""
    if stat.S_ISLNK(mode):
        return "a link"
    return "" if stat.S_IFMT(mode) in {0, stat.S_IFREG, stat.S_IFDIR} else "a device"


def _tar_oddity(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "a link"
    return "" if info.isreg() or info.isdir() else "a device"


@contextmanager
def _opened(archive: Path) -> Iterator[_Zip | _Tar]:
    if not is_archive(archive):
        raise DataError(
            f"{archive}: found neither a zip nor a tar, expected one of them; delete it to download it again"
        )
    opened = _Zip(archive) if zipfile.is_zipfile(archive) else _Tar(archive)
    try:
        yield opened
    finally:
        opened.close()


def _checked_paths(opened: _Zip | _Tar, archive: Path, *, free_bytes: int) -> dict[str, PurePosixPath]:
    """Return the name of each file in the archive -> its path below the folder.

    Raises:
        DataError: a member is refused.
    """
    paths: dict[str, PurePosixPath] = {}
    names = _Names()
    total_bytes = 0
    most_bytes = min(MOST_BYTES, MOST_RATIO * archive.stat().st_size, free_bytes)
    for count, member in enumerate(opened.members(), start=1):
        total_bytes += member.size
        path = PurePosixPath(member.name)
        fault = _fault(member, path) or names.add(path, is_folder=member.is_folder)
        if count > MOST_MEMBERS:
            fault = f"more than {MOST_MEMBERS:,} members"
        if total_bytes > most_bytes:
            fault = (
                f"more bytes than the {most_bytes:,} that its own size, the free disk space and our limit allow"
            )
        if fault:
            raise DataError(
                f"{archive}: {member.name!r}: found {fault}, expected plain files in one folder; the archive is"
                " refused and nothing of it is unpacked; delete it to download it again"
            )
        if not member.is_folder:
            paths[member.name] = path
    return paths


class _Names:
    """All paths so far; a path that would overwrite one of them on some file system is refused."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: dict[str, str] = {}

    def add(self, path: PurePosixPath, *, is_folder: bool) -> str:
        """Add a path with its parents; return why it is refused, or ''."""
        parents = [parent for parent in path.parents if parent.parts]
        if is_folder:
            return self._add_folders([path, *parents] if path.parts else parents)
        key = _fold(path)
        if key in self._files or key in self._folders:
            return "a name that is there already, or there in another case"
        self._files.add(key)
        return self._add_folders(parents)

    def _add_folders(self, folders: list[PurePosixPath]) -> str:
        for folder in folders:
            key = _fold(folder)
            if key in self._files:
                return "a folder with the name of a file"
            if self._folders.setdefault(key, str(folder)) != str(folder):
                return f"a folder that is there in another case, as {self._folders[key]}"
        return ""


def _fold(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


def _fault(member: Member, path: PurePosixPath) -> str:
    if member.oddity:
        return member.oddity
    if path.is_absolute() or ":" in "".join(path.parts[:1]):
        return "an absolute path"
    if ".." in path.parts or "\\" in member.name:
        return "a path that leads out of the folder"
    if any(ord(letter) < 32 for letter in member.name):
        return "a control character in a name"
    return "" if path.parts or member.is_folder else "a file without a name"


def _write(opened: _Zip | _Tar, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(name) as source, path.open("xb") as file:
        shutil.copyfileobj(source, file, 2**20)
